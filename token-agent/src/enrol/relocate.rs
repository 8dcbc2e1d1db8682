//! Moving a key with its certificate from one slot to another (firmware 5.7). At every moment one slot holds both: the
//! certificate is written to the new slot first, then the key moves, then the old certificate goes. Each step looks at
//! what the token says, so that an interrupted move is ended by beginning it again.

use super::{EnrolError, install::fresh_identifiers};
use crate::token::{Slot, Token};
use jiff::Timestamp;

/// Moves what belongs to this certificate. The token is unlocked.
///
/// # Errors
/// [`EnrolError::ReadBack`] when the token doesn't show it in its new slot.
pub(crate) fn relocate(
    token: &mut dyn Token,
    certificate: &[u8],
    spki: &[u8],
    from: Slot,
    to: Slot,
    now: Timestamp,
) -> Result<(), EnrolError> {
    if token.certificate(to)?.as_deref() != Some(certificate) {
        token.write_certificate(to, certificate)?;
    }
    if holds_key(token, from, spki)? {
        token.move_key(from, to)?;
    }
    let arrived = holds_key(token, to, spki)? && token.certificate(to)?.as_deref() == Some(certificate);
    if !arrived {
        return Err(EnrolError::ReadBack(to));
    }
    if token.certificate(from)?.as_deref() == Some(certificate) {
        token.delete_certificate(from)?;
    }
    token.write_identifiers(&fresh_identifiers(now))?;
    Ok(())
}

/// Whether the token vouches for this key in that slot.
pub(crate) fn holds_key(token: &mut dyn Token, slot: Slot, spki: &[u8]) -> Result<bool, EnrolError> {
    match token.attest(slot)? {
        Some(attestation) => Ok(attestation.public_key().map_err(EnrolError::Encoding)? == spki),
        None => Ok(false),
    }
}
