//! Certificates in the shape that the vendor's factory and devices write them.

use rsa::{
    RsaPrivateKey,
    pkcs1v15::{Signature, SigningKey},
    sha2::{Digest, Sha256},
};
use std::str::FromStr;
use x509_cert::{
    Certificate, TbsCertificate,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    der::{
        DateTime, Encode,
        asn1::{GeneralizedTime, ObjectIdentifier, OctetString, UtcTime},
        oid::AssociatedOid,
    },
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use super::error::CardError;

/// The two generations of attestation hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Root (path length 1) → f9 → slot: firmware up to 5.7.3.
    First,
    /// Root → intermediate → PIV attestation CA → f9 → slot: firmware from 5.7.4.
    Second,
}

impl Generation {
    /// The fixed validity that the factory and the devices of this generation write.
    pub(super) fn validity(self) -> Result<Validity, CardError> {
        let (not_before, not_after) = match self {
            Self::First => (DateTime::new(2016, 3, 14, 0, 0, 0)?, DateTime::new(2052, 4, 17, 0, 0, 0)?),
            Self::Second => (DateTime::new(2024, 12, 1, 0, 0, 0)?, DateTime::new(9999, 12, 31, 23, 59, 59)?),
        };
        Ok(Validity::new(
            Time::UtcTime(UtcTime::from_date_time(not_before)?),
            Time::GeneralTime(GeneralizedTime::from_date_time(not_after)),
        ))
    }
}

/// What a certificate will say.
pub(super) struct Content {
    /// Subject, as `CN=…`.
    pub subject: String,
    /// Issuer's name.
    pub issuer: Name,
    /// Extensions in order.
    pub extensions: Vec<Extension>,
    /// The hierarchy it belongs to.
    pub generation: Generation,
    /// The subject's key.
    pub public_key: SubjectPublicKeyInfoOwned,
}

/// A name from its RFC 4514 text.
pub(super) fn name(text: &str) -> Result<Name, CardError> {
    Ok(Name::from_str(text)?)
}

/// Signs a certificate with RSA and SHA-256, as every attestation issuer does.
pub(super) fn issue(content: Content, issuer_key: &RsaPrivateKey) -> Result<Certificate, CardError> {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = 1;
    let profile =
        Verbatim { subject: name(&content.subject)?, issuer: content.issuer, extensions: content.extensions };
    let builder = CertificateBuilder::new(
        profile,
        SerialNumber::new(&serial)?,
        content.generation.validity()?,
        content.public_key,
    )?;
    let signer = SigningKey::<Sha256>::new(issuer_key.clone());
    Ok(builder.build::<_, Signature>(&signer)?)
}

/// Builds exactly the extensions it is given.
struct Verbatim {
    subject: Name,
    issuer: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Verbatim {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// basicConstraints of a CA; critical, as on f9 certificates and everything of the second generation.
pub(super) fn certificate_authority(path_length: u8) -> Result<Extension, CardError> {
    let value = BasicConstraints { ca: true, path_len_constraint: Some(path_length) };
    encoded(BasicConstraints::OID, true, &value)
}

/// keyUsage of a CA.
pub(super) fn certificate_signing() -> Result<Extension, CardError> {
    encoded(KeyUsage::OID, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))
}

/// The identifiers of subject and issuer key.
pub(super) fn key_identifiers(
    subject: &SubjectPublicKeyInfoOwned,
    issuer: Option<&SubjectPublicKeyInfoOwned>,
) -> Result<Vec<Extension>, CardError> {
    let identifier = SubjectKeyIdentifier(key_identifier(subject)?);
    let mut extensions = vec![encoded(SubjectKeyIdentifier::OID, false, &identifier)?];
    if let Some(issuer) = issuer {
        let identifier =
            AuthorityKeyIdentifier { key_identifier: Some(key_identifier(issuer)?), ..Default::default() };
        extensions.push(encoded(AuthorityKeyIdentifier::OID, false, &identifier)?);
    }
    Ok(extensions)
}

/// RFC 7093, section 2, method 1.
fn key_identifier(public_key: &SubjectPublicKeyInfoOwned) -> Result<OctetString, CardError> {
    let digest = Sha256::digest(public_key.subject_public_key.raw_bytes());
    Ok(OctetString::new(&digest[..20])?)
}

/// A vendor extension whose value is `value` as it stands.
pub(super) fn vendor_extension(arc: u32, value: &[u8]) -> Result<Extension, CardError> {
    let extn_id = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3")
        .push_arc(arc)
        .map_err(|_| CardError::Encoding(x509_cert::der::ErrorKind::OidMalformed.into()))?;
    Ok(Extension { extn_id, critical: false, extn_value: OctetString::new(value)? })
}

fn encoded(extn_id: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension, CardError> {
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value.to_der()?)? })
}
