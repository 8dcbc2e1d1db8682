//! What a key is and what it may do: its certificate, read once at startup, and the configured profile.

use ca_x509::{KeyKind, SignatureAlgorithm, time};
use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use jiff::{SignedDuration, Timestamp};
use signer_protocol::message::KeyLabel;
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

use super::structure::{self, ComparableName};

/// The bounds of what an issuing key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// From notBefore to notAfter of an end-entity certificate, at most.
    pub max_validity: SignedDuration,
    /// Extended key usages that a certificate may have; each has at least one.
    pub extended_key_usages: Vec<ObjectIdentifier>,
    /// Policies that a certificate may have; unless this is empty, each has at least one.
    pub policies: Vec<ObjectIdentifier>,
    /// From thisUpdate to nextUpdate of a CRL, at most.
    pub max_crl_validity: SignedDuration,
    /// From notBefore to notAfter of an OCSP responder's certificate, at most.
    pub max_responder_validity: SignedDuration,
}

/// An issuing key.
#[derive(Clone, Debug)]
pub struct IssuingKey {
    /// Its label.
    pub label: KeyLabel,
    /// Its certificate.
    pub identity: Identity,
    /// Its subject key identifier, as its certificate says it.
    pub key_identifier: Vec<u8>,
    /// What it may sign.
    pub profile: Profile,
    /// The OCSP responders that it may certify.
    pub responders: Vec<Responder>,
    /// DER of the public keys of all configured keys: none of them is ever a customer's.
    pub own_keys: Vec<Vec<u8>>,
    /// The names of all configured keys and of their issuers, [comparable](super::structure::comparable).
    pub own_names: Vec<ComparableName>,
}

/// An OCSP responder as its issuer knows it.
#[derive(Clone, Debug)]
pub struct Responder {
    /// DER of its subject name.
    pub name: Vec<u8>,
    /// DER of its public key.
    pub public_key: Vec<u8>,
}

/// An OCSP responder key.
#[derive(Clone, Debug)]
pub struct ResponderKey {
    /// Its label.
    pub label: KeyLabel,
    /// Its certificate. Only name and key count: a renewed certificate has the same.
    pub identity: Identity,
    /// The key for whose certificates it answers.
    pub issuer: KeyLabel,
    /// That key's certificate.
    pub issuer_identity: Identity,
    /// From thisUpdate to nextUpdate, at most.
    pub max_validity: SignedDuration,
    /// Other signers issue with that key, too, so what only their journals know may be good.
    pub issued_elsewhere: bool,
}

/// What a certificate says of its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The subject.
    pub name: Name,
    /// DER of the subject.
    pub name_der: Vec<u8>,
    /// The public key.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// DER of the public key.
    pub public_key_der: Vec<u8>,
    /// What the key signs with.
    pub algorithm: SignatureAlgorithm,
    /// The names of subject and issuer, for comparing.
    pub names: [ComparableName; 2],
    /// When the certificate begins to be valid.
    pub not_before: Timestamp,
    /// When the certificate expires.
    pub not_after: Timestamp,
}

/// Why a certificate doesn't fit the role of its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It can't be read.
    #[error("the certificate can't be read: {0}")]
    Malformed(String),
    /// It is a root's.
    #[error(
        "the certificate is self-signed: a root key is never configured in a signer, it signs in ceremonies only"
    )]
    SelfSigned,
    /// It is no CA certificate that may sign certificates and CRLs.
    #[error("the certificate is not an issuing CA's: it needs CA:TRUE, keyCertSign and cRLSign")]
    NotIssuing,
    /// It has no subject key identifier.
    #[error("the certificate has no subjectKeyIdentifier")]
    NoKeyIdentifier,
    /// It is no OCSP responder certificate.
    #[error("the certificate is not an OCSP responder's: it needs the extended key usage OCSPSigning")]
    NotResponder,
    /// It was issued by another.
    #[error("the certificate was not issued by the key that it is to answer for")]
    OtherIssuer,
}

fn malformed(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Malformed(error.to_string())
}

impl Identity {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], also for a key of an unknown kind.
    pub fn of(certificate: &Certificate) -> Result<Self, IdentityError> {
        let tbs = certificate.tbs_certificate();
        let public_key = tbs.subject_public_key_info().clone();
        let kind = KeyKind::of(&public_key).map_err(malformed)?;
        Ok(Self {
            name: tbs.subject().clone(),
            name_der: tbs.subject().to_der().map_err(malformed)?,
            public_key_der: public_key.to_der().map_err(malformed)?,
            algorithm: SignatureAlgorithm::for_key(kind),
            names: [structure::comparable(tbs.subject()), structure::comparable(tbs.issuer())],
            not_before: time::from_x509(&tbs.validity().not_before).map_err(malformed)?,
            not_after: time::from_x509(&tbs.validity().not_after).map_err(malformed)?,
            public_key,
        })
    }
}

/// Reads an issuing CA's certificate: its identity and its subject key identifier.
///
/// # Errors
/// [`IdentityError`] when it isn't one, or is a root's.
pub fn issuing(certificate: &Certificate) -> Result<(Identity, Vec<u8>), IdentityError> {
    let tbs = certificate.tbs_certificate();
    if tbs.subject() == tbs.issuer() {
        return Err(IdentityError::SelfSigned);
    }
    let is_ca = tbs
        .get_extension::<BasicConstraints>()
        .map_err(malformed)?
        .is_some_and(|(_, constraints)| constraints.ca);
    let signs = tbs
        .get_extension::<KeyUsage>()
        .map_err(malformed)?
        .is_some_and(|(_, usage)| usage.key_cert_sign() && usage.crl_sign());
    if !is_ca || !signs {
        return Err(IdentityError::NotIssuing);
    }
    let identifier = tbs.get_extension::<SubjectKeyIdentifier>().map_err(malformed)?;
    let (_, identifier) = identifier.ok_or(IdentityError::NoKeyIdentifier)?;
    Ok((Identity::of(certificate)?, identifier.0.as_bytes().to_vec()))
}

/// Reads an OCSP responder's certificate, issued by `issuer`.
///
/// # Errors
/// [`IdentityError`] when it isn't one, or another's.
pub fn responder(certificate: &Certificate, issuer: &Identity) -> Result<Identity, IdentityError> {
    let tbs = certificate.tbs_certificate();
    let signs_ocsp = tbs
        .get_extension::<ExtendedKeyUsage>()
        .map_err(malformed)?
        .is_some_and(|(_, usages)| usages.0.contains(&const_oid::db::rfc5280::ID_KP_OCSP_SIGNING));
    if !signs_ocsp {
        return Err(IdentityError::NotResponder);
    }
    let der = certificate.to_der().map_err(malformed)?;
    let signed = ca_x509::signed::Signed::parse(&der).map_err(malformed)?;
    if tbs.issuer() != &issuer.name || signed.verify(&issuer.public_key).is_err() {
        return Err(IdentityError::OtherIssuer);
    }
    Identity::of(certificate)
}

/// Reads a certificate file's content, DER or PEM.
///
/// # Errors
/// [`IdentityError::Malformed`].
pub fn read_certificate(content: &[u8]) -> Result<Certificate, IdentityError> {
    use der::DecodePem;
    if content.starts_with(b"-----") {
        Certificate::from_pem(content).map_err(malformed)
    } else {
        Certificate::from_der(content).map_err(malformed)
    }
}
