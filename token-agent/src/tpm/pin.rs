//! The PIN of a key in the TPM.

use agent_tpm::{Key, Place, Tpm, TpmError};

use super::{Machine, the_key};
use crate::{
    enrol::{EnrolError, Person, Step},
    secret::Pin,
};

/// Asks for the key's PIN until it is right. The last try before the TPM locks itself is never spent here.
pub(crate) fn verified_pin(tpm: &mut dyn Tpm, key: &Key, person: &mut dyn Person) -> Result<Pin, EnrolError> {
    let mut wrong = None;
    loop {
        let Some(pin) = person.pin(wrong)? else {
            let tries_left = match wrong {
                Some(tries_left) => tries_left.into(),
                None => tpm.lockout()?.tries_left(),
            };
            return Err(TpmError::PinWrong { tries_left }.into());
        };
        match tpm.verify_pin(key, pin.expose()) {
            Ok(()) => return Ok(pin),
            Err(TpmError::PinWrong { tries_left }) if tries_left > 1 => {
                wrong = Some(u8::try_from(tries_left).unwrap_or(u8::MAX));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The PIN of a key that is to be erased; `None` when nobody knows it, or the TPM hears none for now.
pub(crate) fn pin_if_known(
    tpm: &mut dyn Tpm,
    key: &Key,
    person: &mut dyn Person,
) -> Result<Option<Pin>, EnrolError> {
    let mut wrong = None;
    while let Some(pin) = person.pin_if_known(wrong)? {
        match tpm.verify_pin(key, pin.expose()) {
            Ok(()) => return Ok(Some(pin)),
            Err(TpmError::PinWrong { tries_left }) if tries_left > 1 => {
                wrong = Some(u8::try_from(tries_left).unwrap_or(u8::MAX));
            }
            Err(TpmError::PinWrong { .. } | TpmError::Locked { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Changes the PIN of the key at this place, or of the only key; returns where it is.
pub(crate) fn change_pin(
    machine: &Machine,
    person: &mut dyn Person,
    place: Option<Place>,
) -> Result<Place, EnrolError> {
    let mut tpm = machine.open()?;
    let key = the_key(tpm.as_mut(), machine, place)?;
    let current = verified_pin(tpm.as_mut(), &key, person)?;
    let new = person.new_pin()?;
    tpm.change_pin(&key, current.expose(), new.expose())?;
    person.tell(Step::PinReplaced);
    Ok(key.place)
}
