//! Bringing the certificate onto the token: written, read back, and noticed by Windows.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use uuid::Uuid;

use super::{EnrolError, Order, Person, Step};
use crate::{
    secret::Pin,
    token::{Identifiers, Slot, Token},
};

/// Writes the certificate with a new CHUID and CCC, and reads it back. One that stands there already, written before an
/// interruption, is left alone, but the identifiers come after it and may be missing.
pub(super) fn install(
    token: &mut dyn Token,
    person: &mut dyn Person,
    order: &Order,
    pin: &Pin,
    slot: Slot,
    certificate: &[u8],
    now: Timestamp,
) -> Result<(), EnrolError> {
    person.tell(Step::Writing { slot });
    token.verify_pin(pin)?;
    token.unlock(order.management_key.as_ref())?;
    if token.slot(slot)?.certificate.as_deref() != Some(certificate) {
        token.write_certificate(slot, certificate)?;
    }
    token.write_identifiers(&fresh_identifiers(now))?;
    if token.slot(slot)?.certificate.as_deref() == Some(certificate) {
        Ok(())
    } else {
        Err(EnrolError::ReadBack(slot))
    }
}

/// Identifiers that no card had before, good for ten years.
pub(crate) fn fresh_identifiers(now: Timestamp) -> Identifiers {
    let today = now.to_zoned(TimeZone::UTC).date();
    let expiry = today.saturating_add(10.years()).strftime("%Y%m%d").to_string();
    Identifiers {
        guid: Uuid::new_v4().into_bytes(),
        card_id: rand::random(),
        expiry: expiry.as_bytes().try_into().unwrap_or(*b"20991231"),
    }
}
