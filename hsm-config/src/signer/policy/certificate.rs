//! `TBSCertificate`: an issuing key signs end entities within its profile, and its own OCSP responders. Never a CA.

use der::Encode;
use jiff::Timestamp;
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::certificate::{TbsCertificate, Version};

use super::{
    extensions::{self, Kind},
    key::{IssuingKey, Responder},
    near, refuse, structure, subject_key,
};
use crate::journal::{KeyIndex, Serial};

/// Largest `TBSCertificate` in octets.
pub const MAX_SIZE: usize = 16 * 1024;
/// RFC 5280 allows 20 octets; 64 random bits need at least 8.
const SERIAL_OCTETS: std::ops::RangeInclusive<usize> = 8..=20;

/// A `TBSCertificate` that may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its serial number.
    pub serial: Serial,
}

/// Judges a `TBSCertificate` for a key, apart from intents, which are the service's.
///
/// # Errors
/// The refusal.
pub fn judge(
    tbs: &[u8],
    key: &IssuingKey,
    past: Option<&KeyIndex>,
    now: Timestamp,
) -> Result<Judged, Refusal> {
    let certificate: TbsCertificate = structure::strict("TBSCertificate", tbs, MAX_SIZE)?;
    form(&certificate, key)?;
    let serial = serial(&certificate, past)?;
    structure::subject(certificate.subject())?;
    let extensions = certificate.extensions().map_or(&[][..], Vec::as_slice);
    let kind = extensions::judge(extensions, &certificate, key)?;
    subject_key::judge(certificate.subject_public_key_info())?;
    owner(&certificate, key, kind)?;
    validity(&certificate, key, kind, now)?;
    Ok(Judged { serial })
}

/// Version, algorithm and issuer.
fn form(certificate: &TbsCertificate, key: &IssuingKey) -> Result<(), Refusal> {
    if certificate.version() != Version::V3 {
        return refuse(RefusalCode::OutsideProfile, "the certificate is not of version 3");
    }
    if certificate.issuer_unique_id().is_some() || certificate.subject_unique_id().is_some() {
        return refuse(RefusalCode::OutsideProfile, "the certificate has a unique identifier");
    }
    if *certificate.signature() != key.identity.algorithm.identifier() {
        return refuse(
            RefusalCode::OutsideProfile,
            format!("the signature algorithm {} is not this key's", certificate.signature().oid),
        );
    }
    structure::same_name("the issuer", certificate.issuer(), &key.identity.name_der)
}

fn serial(certificate: &TbsCertificate, past: Option<&KeyIndex>) -> Result<Serial, Refusal> {
    let content = certificate.serial_number().as_bytes();
    let serial = match Serial::from_content(content) {
        Ok(serial) if SERIAL_OCTETS.contains(&content.len()) => serial,
        _ => {
            return refuse(
                RefusalCode::OutsideProfile,
                "the serial number must be positive, of at least 8 and at most 20 octets",
            );
        }
    };
    serial_is_new(&serial, past)?;
    Ok(serial)
}

/// A serial number is signed once, and never after it was revoked: what the revocation says of its end was never held
/// against the certificate, so CRLs might leave it out too early.
///
/// # Errors
/// [`RefusalCode::SerialReused`].
pub fn serial_is_new(serial: &Serial, past: Option<&KeyIndex>) -> Result<(), Refusal> {
    if let Some(sequence) = past.and_then(|past| past.certificate(serial)) {
        return refuse(
            RefusalCode::SerialReused,
            format!("serial number {serial} was signed in journal entry {sequence}"),
        );
    }
    if let Some(revoked) = past.and_then(|past| past.revocation(serial)) {
        return refuse(
            RefusalCode::SerialReused,
            format!("serial number {serial} was revoked in journal entry {}", revoked.sequence),
        );
    }
    Ok(())
}

/// A responder's certificate is for a configured responder, by name and key; any other is for none of the CA's keys.
fn owner(certificate: &TbsCertificate, key: &IssuingKey, kind: Kind) -> Result<(), Refusal> {
    let der = |result: der::Result<Vec<u8>>| {
        result.map_err(|error| Refusal { code: RefusalCode::Malformed, detail: error.to_string() })
    };
    let public_key = der(certificate.subject_public_key_info().to_der())?;
    let name = der(certificate.subject().to_der())?;
    match kind {
        Kind::Responder => {
            let known = |responder: &Responder| responder.name == name && responder.public_key == public_key;
            if key.responders.iter().any(known) {
                Ok(())
            } else {
                refuse(
                    RefusalCode::OutsideProfile,
                    "OCSPSigning is only for the name and key of this issuer's configured responder",
                )
            }
        }
        Kind::EndEntity => {
            if key.own_keys.contains(&public_key) {
                return refuse(RefusalCode::OutsideProfile, "the subject's key is one of the CA's own");
            }
            let subject = structure::comparable(certificate.subject());
            if key.own_names.contains(&subject) {
                return refuse(RefusalCode::OutsideProfile, "the subject is one of the CA's own names");
            }
            Ok(())
        }
    }
}

fn validity(
    certificate: &TbsCertificate,
    key: &IssuingKey,
    kind: Kind,
    now: Timestamp,
) -> Result<(), Refusal> {
    let not_before = structure::time("notBefore", &certificate.validity().not_before)?;
    let not_after = structure::time("notAfter", &certificate.validity().not_after)?;
    near("notBefore", not_before, now)?;
    if not_after <= not_before {
        return refuse(
            RefusalCode::OutsideValidity,
            format!("notAfter {not_after} is not after {not_before}"),
        );
    }
    if not_before < key.identity.not_before {
        return refuse(
            RefusalCode::OutsideValidity,
            format!("notBefore {not_before} is before the issuer's own, {}", key.identity.not_before),
        );
    }
    if not_after > key.identity.not_after {
        return refuse(
            RefusalCode::OutsideValidity,
            format!("notAfter {not_after} is after the issuer's own, {}", key.identity.not_after),
        );
    }
    let limit = match kind {
        Kind::EndEntity => key.profile.max_validity,
        Kind::Responder => key.profile.max_responder_validity,
    };
    if not_after.duration_since(not_before) > limit {
        return refuse(
            RefusalCode::OutsideValidity,
            format!("notAfter {not_after} is more than {} days after notBefore", limit.as_hours() / 24),
        );
    }
    Ok(())
}
