//! What each key may sign: pure functions over the parsed structure, the key's own configuration, the journal's index
//! and the time. Nothing here signs, waits, or trusts the caller.
//!
//! | file | judges |
//! | --- | --- |
//! | `structure` | strict DER, sizes, names, times and extensions, for all of them |
//! | `key` | what an issuing or responder key is, read out of its certificate |
//! | `certificate` | `TBSCertificate` by an issuing key |
//! | `extensions` | the extensions of a `TBSCertificate` |
//! | `subject_key` | the key that a certificate is for |
//! | `crl` | `TBSCertList` by an issuing key |
//! | `ocsp` | OCSP `ResponseData` by a responder key |
//! | `revocation` | what may be recorded as revoked |

pub mod certificate;
pub mod crl;
mod extensions;
pub mod key;
pub mod ocsp;
pub mod revocation;
mod structure;
mod subject_key;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

pub use structure::ComparableName;

use jiff::{SignedDuration, Timestamp};
use signer_protocol::message::{Refusal, RefusalCode};

use crate::journal::{Index, STEP};

/// How far a structure's own time may be from the signer's clock.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// How far it may be ahead where it says since when something is known. A relying party refuses a CRL or an OCSP
/// response of the future, and the caller shares this machine's clock.
pub const AHEAD_TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// A refusal with its particulars.
pub(crate) fn refuse<T>(code: RefusalCode, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, detail: detail.into() })
}

/// The time to go by. The signer's clock may not be behind the journal's last entry: a clock that was set back would let
/// the past be signed again. One that was corrected by less than [`STEP`] stands still instead.
///
/// # Errors
/// [`RefusalCode::ClockBehind`].
pub fn clock(now: Timestamp, past: &Index) -> Result<Timestamp, Refusal> {
    match past.last_at() {
        Some(last) if last.duration_since(now) > STEP => refuse(
            RefusalCode::ClockBehind,
            format!("the signer's clock says {now}, the journal's last entry is of {last}"),
        ),
        Some(last) => Ok(now.max(last)),
        None => Ok(now),
    }
}

/// Whether a thisUpdate or producedAt is of the last [`CLOCK_TOLERANCE`], and no more than [`AHEAD_TOLERANCE`] ahead.
fn recent(what: &str, at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if at.duration_since(now) > AHEAD_TOLERANCE {
        return refuse(RefusalCode::OutsideValidity, format!("{what} {at} is in the future, it is {now}"));
    }
    near(what, at, now)
}

/// Whether a time in a structure is within [`CLOCK_TOLERANCE`] of now.
fn near(what: &str, at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if at.duration_since(now).abs() <= CLOCK_TOLERANCE {
        return Ok(());
    }
    refuse(
        RefusalCode::OutsideValidity,
        format!("{what} {at} is more than {} minutes from now, {now}", CLOCK_TOLERANCE.as_mins()),
    )
}
