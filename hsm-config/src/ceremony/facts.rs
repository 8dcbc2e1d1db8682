//! What a certificate or request that was read says, as far as ceremonies need it.

use der::asn1::OctetString;
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::request::CertReq;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use ca_x509::signed::Signed;
use ca_x509::{KeyKind, key, time};

/// A certificate.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its subject.
    pub(super) subject: Name,
    /// Its issuer.
    pub(super) issuer: Name,
    /// Its serial number's content octets.
    pub(super) serial: Vec<u8>,
    /// Its key.
    pub(super) public_key: SubjectPublicKeyInfoOwned,
    /// Its subject key identifier; computed where it has none.
    pub(super) key_identifier: OctetString,
    /// notBefore.
    pub(super) not_before: Timestamp,
    /// notAfter.
    pub(super) not_after: Timestamp,
    /// Whether it is an authority's.
    pub(super) authority: bool,
    /// Whether its own key signed it.
    pub(super) self_signed: bool,
}

impl Facts {
    /// Reads a certificate.
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|e| format!("is no certificate: {e}"))?;
        let tbs = certificate.tbs_certificate();
        let unreadable = |e: der::Error| format!("has an extension that can't be read: {e}");
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(unreadable)?;
        let identifier = tbs.get_extension::<SubjectKeyIdentifier>().map_err(unreadable)?;
        let public_key = tbs.subject_public_key_info().clone();
        let own = Signed::parse(der).is_ok_and(|signed| signed.verify(&public_key).is_ok());
        // The last second of the year 9999, which means no end (RFC 5280, 4.1.2.5), is beyond our calendar.
        let at = |time| time::from_x509(time).unwrap_or(Timestamp::MAX);
        Ok(Self {
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            serial: tbs.serial_number().as_bytes().to_vec(),
            key_identifier: match identifier {
                Some((_, identifier)) => identifier.0,
                None => key::identifier(&public_key).map_err(|e| e.to_string())?,
            },
            not_before: at(&tbs.validity().not_before),
            not_after: at(&tbs.validity().not_after),
            authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            self_signed: own && tbs.subject() == tbs.issuer(),
            public_key,
        })
    }

    /// What kind of key it certifies.
    pub(super) fn key_kind(&self) -> Result<KeyKind, String> {
        KeyKind::of(&self.public_key).map_err(|e| e.to_string())
    }
}

/// A certification request (RFC 2986) whose signature by its own key was checked.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    /// Its subject.
    pub(super) subject: Name,
    /// Its key.
    pub(super) public_key: SubjectPublicKeyInfoOwned,
}

impl Requested {
    /// Reads a request.
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        let request = CertReq::from_der(der).map_err(|e| format!("is no certification request: {e}"))?;
        let public_key = request.info.public_key;
        let strong = match KeyKind::of(&public_key).map_err(|e| e.to_string())? {
            KeyKind::P256 | KeyKind::P384 => key::on_curve(&public_key).unwrap_or(false),
            KeyKind::Rsa { bits } => bits >= 3072,
        };
        if !strong {
            return Err("has a key that is too weak: P-256, P-384, or RSA with at least 3072 bits".to_owned());
        }
        let signed = Signed::parse(der).map_err(|e| format!("is no certification request: {e}"))?;
        signed.verify(&public_key).map_err(|e| format!("isn't signed by its own key: {e}"))?;
        Ok(Self { subject: request.info.subject, public_key })
    }
}

/// SHA-256 of a key's `SubjectPublicKeyInfo`, in hexadecimal.
pub(super) fn key_sha256(public_key: &SubjectPublicKeyInfoOwned) -> String {
    public_key.to_der().map_or_else(|_| String::new(), |der| super::sha256(&der))
}
