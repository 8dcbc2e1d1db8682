//! What is in the readers, and what the tokens there hold. Needs no PIN and changes nothing.

use crate::token::{PinStatus, Reader, ReaderState, Slot, SlotState, TokenDriver, TokenError, TokenIdentity};

/// What one token says of itself.
pub(crate) struct Report {
    pub(crate) pin: PinStatus,
    /// Slots with a key or a certificate.
    pub(crate) occupied: Vec<(Slot, SlotState)>,
}

/// A reader, with the report of the token in it.
pub(crate) struct Surveyed {
    pub(crate) reader: Reader,
    pub(crate) report: Option<Result<Report, TokenError>>,
}

/// Looks at everything that is connected. A token that can't be read doesn't hide the others.
///
/// # Errors
/// When there is no smart-card service.
pub(crate) fn survey(driver: &dyn TokenDriver) -> Result<Vec<Surveyed>, TokenError> {
    let readers = driver.readers()?.into_iter();
    let surveyed = readers.map(|reader| {
        let report = match &reader.state {
            ReaderState::Token(identity) => Some(look(driver, identity)),
            _ => None,
        };
        Surveyed { reader, report }
    });
    Ok(surveyed.collect())
}

fn look(driver: &dyn TokenDriver, identity: &TokenIdentity) -> Result<Report, TokenError> {
    let mut token = driver.open(&identity.serial)?;
    let pin = token.pin_status()?;
    let mut occupied = Vec::new();
    for slot in Slot::all() {
        let state = token.slot(slot)?;
        if !state.is_free() {
            occupied.push((slot, state));
        }
    }
    Ok(Report { pin, occupied })
}
