//! OCSP `ResponseData`: a responder key answers for its issuer's certificates, briefly, and never contradicts the
//! journal. "Good" is only said of certificates that the journal has.

use ca_x509::{
    ocsp::{CertStatus, ResponderId, ResponseData, SingleResponse, nonce, nonce_extension},
    time,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NONCE;
use der::asn1::GeneralizedTime;
use jiff::Timestamp;
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::ext::pkix::CrlReason;

use super::{key::ResponderKey, recent, refuse, structure};
use crate::journal::{KeyIndex, Serial};

/// Largest `ResponseData` in octets.
pub const MAX_SIZE: usize = 32 * 1024;
/// Most answers in one response.
pub const MAX_RESPONSES: usize = 64;
/// Octets of a nonce (RFC 9654, 2.1).
const NONCE_OCTETS: std::ops::RangeInclusive<usize> = 1..=128;

/// A `ResponseData` that says nothing wrong by itself; the past may still forbid it.
#[derive(Debug)]
pub struct Parsed {
    answers: Vec<(Serial, Answer)>,
    issued_elsewhere: bool,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Good,
    Revoked(Timestamp),
    Unknown,
}

/// Judges what a `ResponseData` says by itself.
///
/// # Errors
/// The refusal.
pub fn parse(tbs: &[u8], key: &ResponderKey, now: Timestamp) -> Result<Parsed, Refusal> {
    let data: ResponseData = structure::strict("ResponseData", tbs, MAX_SIZE)?;
    responder(&data.responder_id, key)?;
    recent("producedAt", timestamp("producedAt", &data.produced_at)?, now)?;
    extensions(&data)?;
    if data.responses.is_empty() || data.responses.len() > MAX_RESPONSES {
        return refuse(
            RefusalCode::TooLarge,
            format!("{} answers: 1 to {MAX_RESPONSES} are allowed", data.responses.len()),
        );
    }
    let answers =
        data.responses.iter().map(|response| answer(response, key, now)).collect::<Result<_, _>>()?;
    Ok(Parsed { answers, issued_elsewhere: key.issued_elsewhere })
}

/// Judges a parsed response against the past of the issuing key.
///
/// # Errors
/// The refusal.
pub fn judge(response: &Parsed, past: Option<&KeyIndex>) -> Result<(), Refusal> {
    for (serial, answer) in &response.answers {
        let revoked = past.and_then(|past| past.revocation(serial));
        let known = past.and_then(|past| past.certificate(serial)).is_some();
        let denial = match (answer, revoked) {
            (Answer::Good | Answer::Unknown, Some(revoked)) => {
                Some(format!("{serial} is revoked since {}", revoked.revoked_at))
            }
            (Answer::Good, None) if !known && !response.issued_elsewhere => {
                Some(format!("{serial} was never signed here, so it isn't good"))
            }
            (Answer::Revoked(at), Some(revoked)) if *at > revoked.revoked_at => {
                Some(format!("{serial} is revoked since {}, not since {at}", revoked.revoked_at))
            }
            _ => None,
        };
        if let Some(detail) = denial {
            return refuse(RefusalCode::DeniesRevocation, detail);
        }
    }
    Ok(())
}

fn responder(id: &ResponderId, key: &ResponderKey) -> Result<(), Refusal> {
    let own = match id {
        ResponderId::ByName(name) => *name == key.identity.name,
        ResponderId::ByKey(hash) => hash.as_bytes() == ca_x509::key::ocsp_key_hash(&key.identity.public_key),
    };
    if own { Ok(()) } else { refuse(RefusalCode::WrongIssuer, "the responder identifier is not this key's") }
}

fn extensions(data: &ResponseData) -> Result<(), Refusal> {
    let Some(extensions) = &data.response_extensions else { return Ok(()) };
    structure::without_duplicates(extensions)?;
    for extension in extensions {
        if extension.extn_id != ID_PKIX_OCSP_NONCE {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("OCSP extension {} is not in the profile", extension.extn_id),
            );
        }
        let nonce = nonce(extension).ok().filter(|nonce| NONCE_OCTETS.contains(&nonce.len()));
        let again = nonce.and_then(|nonce| nonce_extension(&nonce).ok());
        if again.as_ref() != Some(extension) {
            return refuse(RefusalCode::Malformed, "the nonce is not 1 to 128 octets in strict DER");
        }
    }
    Ok(())
}

fn answer(
    response: &SingleResponse,
    key: &ResponderKey,
    now: Timestamp,
) -> Result<(Serial, Answer), Refusal> {
    let id = &response.cert_id;
    let issuer = &key.issuer_identity;
    match id.is_of(&issuer.name, &issuer.public_key) {
        Ok(Some(true)) => {}
        Ok(None) => {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("CertID by hash algorithm {}", id.hash_algorithm.oid),
            );
        }
        _ => return refuse(RefusalCode::WrongIssuer, "a CertID names another issuer"),
    }
    let Ok(serial) = Serial::from_content(id.serial_number.as_bytes()) else {
        return refuse(
            RefusalCode::Malformed,
            "a serial number in a CertID is not a positive INTEGER of at most 20 octets",
        );
    };
    if response.single_extensions.is_some() {
        return refuse(RefusalCode::OutsideProfile, "extensions of a single response are not in the profile");
    }
    times(response, key, now)?;
    let answer = match &response.cert_status {
        CertStatus::Good(_) => Answer::Good,
        CertStatus::Unknown(_) => Answer::Unknown,
        CertStatus::Revoked(info) => {
            let at = timestamp("revocationTime", &info.revocation_time)?;
            if at.duration_since(now) > super::CLOCK_TOLERANCE {
                return refuse(
                    RefusalCode::OutsideValidity,
                    format!("{serial} would be revoked in the future"),
                );
            }
            if let Some(reason @ (CrlReason::CertificateHold | CrlReason::RemoveFromCRL)) =
                info.revocation_reason
            {
                return refuse(
                    RefusalCode::OutsideProfile,
                    format!("{serial}: revocation is final, reason {reason:?} is not in the profile"),
                );
            }
            Answer::Revoked(at)
        }
    };
    Ok((serial, answer))
}

fn times(response: &SingleResponse, key: &ResponderKey, now: Timestamp) -> Result<(), Refusal> {
    let this_update = timestamp("thisUpdate", &response.this_update)?;
    recent("thisUpdate", this_update, now)?;
    let Some(next_update) = &response.next_update else {
        return refuse(RefusalCode::OutsideValidity, "nextUpdate is missing: an answer must end");
    };
    let next_update = timestamp("nextUpdate", next_update)?;
    if next_update <= this_update || next_update.duration_since(this_update) > key.max_validity {
        return refuse(
            RefusalCode::OutsideValidity,
            format!(
                "nextUpdate {next_update} must be after thisUpdate by at most {} minutes",
                key.max_validity.as_mins()
            ),
        );
    }
    Ok(())
}

fn timestamp(what: &str, time: &GeneralizedTime) -> Result<Timestamp, Refusal> {
    match time::from_generalized(time) {
        Ok(at) => Ok(at),
        Err(_) => refuse(RefusalCode::OutsideValidity, format!("{what} is out of range")),
    }
}
