//! Certificates of endorsement and attestation keys (TCG EK Credential Profile 2.5; TCG Infrastructure AIK profile): who
//! issued them, what they are for, and what they say of the TPM.
//!
//! Genuine ones have an empty subject and a critical name in `subjectAltName`, names out of DER's order, or (Google's)
//! neither a name nor a purpose; what never varies is that the maker signed them, and that a key for signing is not one
//! for wrapping.

use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{
        ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
        ID_CE_SUBJECT_ALT_NAME,
    },
};
use der::{Any, Decode, Reader, SliceReader, Tag, Tagged};
use jiff::Timestamp;
use x509_cert::{
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{Manufacturer, refusal::TpmRefusal};
use crate::domain::attestation::{
    Anchors, ChainError, Refusal,
    certificate::{DeviceCertificate, MAX_CERTIFICATE_BYTES},
    chain::Errand,
    set_order,
};

/// Certificates between a key's and the root that may come with the evidence.
const MAX_INTERMEDIATES: usize = 3;

/// tcg-kp-EKCertificate.
const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// tcg-kp-AIKCertificate.
const AK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");
const MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
const MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
const VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");

/// What a key's certificate may mark critical.
const CRITICALS: [ObjectIdentifier; 5] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_CERTIFICATE_POLICIES,
    ID_CE_SUBJECT_ALT_NAME,
];

/// What a certificate says of the TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Make {
    /// Who made it.
    pub manufacturer: Option<Manufacturer>,
    /// Its part number.
    pub model: Option<String>,
    /// Its firmware, as the maker writes it.
    pub version: Option<String>,
}

/// What vouches for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// What the certificate says of the TPM.
    pub make: Make,
    /// SHA-256 of the trusted root's certificate.
    pub root_sha256: [u8; 32],
    /// Whether the certificate, or one above it, has expired.
    pub is_expired: bool,
}

/// The key that a certificate is for, whoever issued it and what for: what names a TPM whose maker delivers certificates
/// apart from the device.
///
/// # Errors
/// [`Refusal`] when it is no certificate.
pub fn key_of(der: &[u8]) -> Result<SubjectPublicKeyInfoOwned, Refusal> {
    Ok(read(der, "endorsement key's certificate")?.public_key().clone())
}

/// Checks that the certificate `der` is the endorsement key `key`'s, by a trusted maker.
///
/// # Errors
/// The first [`Refusal`].
pub fn of_endorsement_key(
    der: &[u8],
    intermediates: &[Vec<u8>],
    key: &SubjectPublicKeyInfoOwned,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Vouched, Refusal> {
    let certificate = read(der, "endorsement key's certificate")?;
    wraps_keys(&certificate).map_err(|problem| TpmRefusal::EkCertificate { problem })?;
    if certificate.public_key() != key {
        return Err(TpmRefusal::EkCertificateKey.into());
    }
    let make = make(&certificate).map_err(|problem| TpmRefusal::EkCertificate { problem })?;
    vouched(&certificate, intermediates, make, anchors, now)
}

/// Checks that the first of `certificates` is an attestation key's, by a trusted maker, and returns that key.
///
/// # Errors
/// The first [`Refusal`].
pub fn of_attestation_key(
    certificates: &[Vec<u8>],
    anchors: &Anchors,
    now: Timestamp,
) -> Result<(SubjectPublicKeyInfoOwned, Vouched), Refusal> {
    let which = "attestation key's certificate";
    let (first, above) = certificates.split_first().ok_or(Refusal::Malformed { which })?;
    let certificate = read(first, which)?;
    signs_attestations(&certificate).map_err(|problem| TpmRefusal::AkCertificate { problem })?;
    let make = make(&certificate).map_err(|problem| TpmRefusal::AkCertificate { problem })?;
    if make.manufacturer.is_none() {
        let problem = "it doesn't name the TPM";
        return Err(TpmRefusal::AkCertificate { problem }.into());
    }
    let vouched = vouched(&certificate, above, make, anchors, now)?;
    Ok((certificate.public_key().clone(), vouched))
}

fn read(der: &[u8], which: &'static str) -> Result<DeviceCertificate, Refusal> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(Refusal::TooLarge { limit: MAX_CERTIFICATE_BYTES });
    }
    DeviceCertificate::parse_unsorted(der).map_err(|_| Refusal::Malformed { which })
}

/// Follows the chain; an expired one only where no other way leads to a root.
fn vouched(
    certificate: &DeviceCertificate,
    intermediates: &[Vec<u8>],
    make: Make,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Vouched, Refusal> {
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(Refusal::TooManyCertificates { limit: MAX_INTERMEDIATES + 1 });
    }
    let offered = intermediates
        .iter()
        .map(|der| read(der, "intermediate certificate"))
        .collect::<Result<Vec<_>, _>>()?;
    let follow = |after_expiry| {
        certificate.check_criticals(&CRITICALS)?;
        certificate.check_time(now, after_expiry)?;
        anchors.path_above(certificate, offered.clone(), Errand::Tpm { after_expiry }, now)
    };
    let (path, is_expired) = match follow(false) {
        Err(ChainError::NotValidNow) => (follow(true), true),
        other => (other, false),
    };
    let root_sha256 = path.map_err(Refusal::Untrusted)?.root_sha256;
    Ok(Vouched { make, root_sha256, is_expired })
}

/// An endorsement key's purpose, by its extended key usage; where it has none, as Google's, by a key usage that only lets
/// it protect other keys.
fn wraps_keys(certificate: &DeviceCertificate) -> Result<(), &'static str> {
    is_leaf(certificate)?;
    let usage = key_usage(certificate)?;
    match purposes(certificate)? {
        Some(purposes) if !purposes.contains(&EK_CERTIFICATE) => {
            return Err("its extended key usage isn't an endorsement key's");
        }
        None if usage.is_none() => return Err("it has neither key usage nor extended key usage"),
        _ => {}
    }
    match usage {
        Some(usage) if usage.digital_signature() || usage.key_cert_sign() => Err("its key signs"),
        Some(usage) if !usage.key_encipherment() && !usage.key_agreement() => {
            Err("its key usage lets it protect no keys")
        }
        _ => Ok(()),
    }
}

fn signs_attestations(certificate: &DeviceCertificate) -> Result<(), &'static str> {
    is_leaf(certificate)?;
    if !purposes(certificate)?.is_some_and(|purposes| purposes.contains(&AK_CERTIFICATE)) {
        return Err("its extended key usage isn't an attestation key's");
    }
    match key_usage(certificate)? {
        Some(usage) if !usage.digital_signature() => Err("its key doesn't sign"),
        Some(usage) if usage.key_cert_sign() => Err("its key signs certificates"),
        _ => Ok(()),
    }
}

fn is_leaf(certificate: &DeviceCertificate) -> Result<(), &'static str> {
    let constraints: Option<BasicConstraints> = extension(certificate, ID_CE_BASIC_CONSTRAINTS)?;
    if constraints.is_some_and(|constraints| constraints.ca) {
        return Err("it is a CA's");
    }
    Ok(())
}

fn key_usage(certificate: &DeviceCertificate) -> Result<Option<KeyUsage>, &'static str> {
    extension(certificate, ID_CE_KEY_USAGE)
}

fn purposes(certificate: &DeviceCertificate) -> Result<Option<Vec<ObjectIdentifier>>, &'static str> {
    let usage: Option<ExtendedKeyUsage> = extension(certificate, ID_CE_EXT_KEY_USAGE)?;
    Ok(usage.map(|usage| usage.0))
}

/// The one extension with this identifier.
fn extension<'a, T: Decode<'a, Error = der::Error>>(
    certificate: &'a DeviceCertificate,
    oid: ObjectIdentifier,
) -> Result<Option<T>, &'static str> {
    certificate.decoded(oid).map_err(|_| "an extension of it is there twice or malformed")
}

/// The names in the `directoryName` of `subjectAltName`, where there is one.
fn make(certificate: &DeviceCertificate) -> Result<Make, &'static str> {
    let mut found = certificate.extensions(ID_CE_SUBJECT_ALT_NAME);
    let Some(first) = found.next() else { return Ok(Make::default()) };
    if found.next().is_some() {
        return Err("it has two alternative names");
    }
    // Names of several attributes in one SET, not always in DER's order.
    let sorted = set_order::sorted(first.extn_value.as_bytes());
    let attributes =
        sorted.and_then(|der| attributes(&der)).map_err(|_| "its alternative name is malformed")?;
    let text = |wanted| attributes.iter().find(|(oid, _)| *oid == wanted).map(|(_, text)| text.clone());
    let manufacturer = match text(MANUFACTURER) {
        Some(text) => Some(manufacturer(&text).ok_or("it names its maker in no form of the TCG's")?),
        None => None,
    };
    Ok(Make { manufacturer, model: text(MODEL), version: text(VERSION).map(|text| without_prefix(&text)) })
}

/// `id:` and eight hexadecimal digits.
fn manufacturer(text: &str) -> Option<Manufacturer> {
    let digits = text.strip_prefix("id:").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok().map(Manufacturer)
}

fn without_prefix(text: &str) -> String {
    text.strip_prefix("id:").unwrap_or(text).to_owned()
}

/// The attributes of all `directoryName`s of a `GeneralNames` that have printable text.
fn attributes(general_names: &[u8]) -> der::Result<Vec<(ObjectIdentifier, String)>> {
    let mut found = Vec::new();
    for name in elements(general_names)? {
        // [4] EXPLICIT Name (RFC 5280, 4.2.1.6).
        let is_directory_name =
            matches!(name.tag(), Tag::ContextSpecific { constructed: true, number } if number.value() == 4);
        if !is_directory_name {
            continue;
        }
        let rdn_sequence = Any::from_der(name.value())?;
        for rdn in each(rdn_sequence.value())? {
            for attribute in each(rdn.value())? {
                let mut parts = SliceReader::new(attribute.value())?;
                let oid = ObjectIdentifier::decode(&mut parts)?;
                let value = Any::decode(&mut parts)?;
                let text = std::str::from_utf8(value.value()).ok();
                let is_plain = |text: &&str| text.len() <= 64 && !text.chars().any(char::is_control);
                found.extend(text.filter(is_plain).map(|text| (oid, text.to_owned())));
            }
        }
    }
    Ok(found)
}

/// The elements of a SEQUENCE.
fn elements(der: &[u8]) -> der::Result<Vec<Any>> {
    let sequence = Any::from_der(der)?;
    sequence.tag().assert_eq(Tag::Sequence)?;
    each(sequence.value())
}

/// Values in a row.
fn each(octets: &[u8]) -> der::Result<Vec<Any>> {
    let mut reader = SliceReader::new(octets)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(Any::decode(&mut reader)?);
    }
    Ok(found)
}
