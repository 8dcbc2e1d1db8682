//! What may be recorded as revoked. Recording is for ever, so nothing is taken that couldn't be listed later.

use jiff::Timestamp;
use signer_protocol::message::{Refusal, RefusalCode, RevocationEntry};

use super::refuse;
use crate::journal::Serial;

/// `CRLReason`s that end a certificate (RFC 5280, 5.3.1): neither certificateHold nor removeFromCRL, and 7 is unused.
const REASONS: [u8; 8] = [0, 1, 2, 3, 4, 5, 9, 10];

/// Judges one revocation. `signed_not_after` is the certificate's notAfter, where the journal has the certificate: a
/// false one would make the revocation leave the CRL too early.
///
/// A date in the future is taken: it comes of a clock that was ahead. The certificate is revoked from now on all the
/// same, and CRLs and OCSP responses may date it earlier, never later. Refused, it would be off every CRL until then.
///
/// # Errors
/// The refusal.
pub fn judge(revocation: &RevocationEntry, signed_not_after: Option<Timestamp>) -> Result<Serial, Refusal> {
    let Ok(serial) = Serial::from_content(&revocation.serial) else {
        return refuse(
            RefusalCode::Malformed,
            "a serial number is not a positive INTEGER in its shortest form",
        );
    };
    if !REASONS.contains(&revocation.reason) {
        return refuse(
            RefusalCode::OutsideProfile,
            format!("{serial}: reason {} doesn't revoke for good", revocation.reason),
        );
    }
    match signed_not_after {
        Some(not_after) if not_after != revocation.not_after => refuse(
            RefusalCode::OutsideValidity,
            format!("{serial} expires at {not_after}, not at {}", revocation.not_after),
        ),
        _ => Ok(serial),
    }
}
