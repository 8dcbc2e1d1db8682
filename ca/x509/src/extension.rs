//! The extensions of Inro's profiles, each as a ready [`Extension`].

use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5280::{
            ID_AD_CA_ISSUERS, ID_AD_OCSP, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_SUBJECT_ALT_NAME,
        },
        rfc6960::ID_PKIX_OCSP_NOCHECK,
    },
};
use der::{
    Any, Encode, Sequence,
    asn1::{Ia5String, Null, OctetString},
};
use x509_cert::ext::{
    Extension,
    pkix::{
        AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
        CertificatePolicies, CrlDistributionPoints, CrlNumber, CrlReason, ExtendedKeyUsage, KeyUsage,
        KeyUsages, SubjectAltName, SubjectKeyIdentifier,
        certpolicy::PolicyInformation,
        crl::dp::DistributionPoint,
        name::{DistributionPointName, GeneralName, OtherName},
    },
};

/// id-on-hardwareModuleName (RFC 4108, 5).
pub const HARDWARE_MODULE_NAME: ObjectIdentifier = const_oid::db::rfc5911::ID_ON_HARDWARE_MODULE_NAME;

/// Yubico's arc for PIV: above the extensions of its attestations, and a YubiKey's type in a hardwareModuleName.
pub const YUBICO_PIV: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3");

/// `HardwareModuleName` (RFC 4108, 5).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct HardwareModuleName {
    /// The type of the hardware.
    pub hw_type: ObjectIdentifier,
    /// Its serial number within the type.
    pub hw_serial_num: OctetString,
}

fn encoded<T>(critical: bool, value: &T) -> der::Result<Extension>
where
    T: Encode + const_oid::AssociatedOid,
{
    raw(T::OID, critical, value)
}

fn raw(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// Critical `basicConstraints` of a CA.
///
/// # Errors
/// Only `der`'s, as with all of these.
pub fn certificate_authority(path_length: Option<u8>) -> der::Result<Extension> {
    encoded(true, &BasicConstraints { ca: true, path_len_constraint: path_length })
}

/// Critical `basicConstraints` of an end entity.
///
/// # Errors
/// Only `der`'s.
pub fn end_entity() -> der::Result<Extension> {
    encoded(true, &BasicConstraints { ca: false, path_len_constraint: None })
}

/// Critical `keyUsage`.
///
/// # Errors
/// Only `der`'s.
pub fn key_usage(usages: impl Into<der::flagset::FlagSet<KeyUsages>>) -> der::Result<Extension> {
    encoded(true, &KeyUsage(usages.into()))
}

/// `extKeyUsage`.
///
/// # Errors
/// Only `der`'s.
pub fn extended_key_usage(usages: &[ObjectIdentifier]) -> der::Result<Extension> {
    encoded(false, &ExtendedKeyUsage(usages.to_vec()))
}

/// `subjectKeyIdentifier`.
///
/// # Errors
/// Only `der`'s.
pub fn subject_key_identifier(identifier: OctetString) -> der::Result<Extension> {
    encoded(false, &SubjectKeyIdentifier(identifier))
}

/// `authorityKeyIdentifier` with the issuer's own subject key identifier.
///
/// # Errors
/// Only `der`'s.
pub fn authority_key_identifier(issuer: OctetString) -> der::Result<Extension> {
    encoded(false, &AuthorityKeyIdentifier { key_identifier: Some(issuer), ..Default::default() })
}

/// `certificatePolicies` without qualifiers.
///
/// # Errors
/// Only `der`'s.
pub fn certificate_policies(policies: &[ObjectIdentifier]) -> der::Result<Extension> {
    let information =
        |oid: &ObjectIdentifier| PolicyInformation { policy_identifier: *oid, policy_qualifiers: None };
    encoded(false, &CertificatePolicies(policies.iter().map(information).collect()))
}

/// `cRLDistributionPoints` with one full name.
///
/// # Errors
/// A `der` error when the URL isn't ASCII.
pub fn crl_distribution_point(url: &str) -> der::Result<Extension> {
    let full_name = DistributionPointName::FullName(vec![uri(url)?]);
    let point = DistributionPoint { distribution_point: Some(full_name), reasons: None, crl_issuer: None };
    encoded(false, &CrlDistributionPoints(vec![point]))
}

/// `authorityInfoAccess` with OCSP and caIssuers, whichever is given.
///
/// # Errors
/// A `der` error when a URL isn't ASCII.
pub fn authority_info_access(ocsp: Option<&str>, ca_issuers: Option<&str>) -> der::Result<Extension> {
    let given = [(ID_AD_OCSP, ocsp), (ID_AD_CA_ISSUERS, ca_issuers)];
    let descriptions = given
        .into_iter()
        .filter_map(|(method, url)| Some((method, url?)))
        .map(|(access_method, url)| Ok(AccessDescription { access_method, access_location: uri(url)? }))
        .collect::<der::Result<Vec<_>>>()?;
    encoded(false, &AuthorityInfoAccessSyntax(descriptions))
}

/// `subjectAltName` with one hardwareModuleName.
///
/// # Errors
/// Only `der`'s.
pub fn hardware_module_name(hw_type: ObjectIdentifier, serial: &[u8]) -> der::Result<Extension> {
    let value = HardwareModuleName { hw_type, hw_serial_num: OctetString::new(serial)? };
    let name = OtherName { type_id: HARDWARE_MODULE_NAME, value: Any::encode_from(&value)? };
    encoded(false, &SubjectAltName(vec![GeneralName::OtherName(name)]))
}

/// Reads the hardwareModuleName out of a `subjectAltName`, where there is one.
pub fn find_hardware_module_name(extensions: &[Extension]) -> Option<HardwareModuleName> {
    use der::Decode;
    let san = extensions.iter().find(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME)?;
    let names = SubjectAltName::from_der(san.extn_value.as_bytes()).ok()?;
    names.0.iter().find_map(|name| match name {
        GeneralName::OtherName(other) if other.type_id == HARDWARE_MODULE_NAME => {
            other.value.decode_as().ok()
        }
        _ => None,
    })
}

/// `id-pkix-ocsp-nocheck` (RFC 6960, 4.2.2.2.1).
///
/// # Errors
/// Only `der`'s.
pub fn ocsp_no_check() -> der::Result<Extension> {
    raw(ID_PKIX_OCSP_NOCHECK, false, &Null)
}

/// `cRLNumber`.
///
/// # Errors
/// Only `der`'s.
pub fn crl_number(number: u64) -> der::Result<Extension> {
    raw(ID_CE_CRL_NUMBER, false, &CrlNumber::try_from(number)?)
}

/// `reasonCode` of a CRL entry.
///
/// # Errors
/// Only `der`'s.
pub fn crl_reason(reason: CrlReason) -> der::Result<Extension> {
    raw(ID_CE_CRL_REASONS, false, &reason)
}

fn uri(url: &str) -> der::Result<GeneralName> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(url)?))
}
