//! This computer's TPM, for the flows: where it is, which key is meant, what is in it, and the PINs of its keys.

mod pin;
mod survey;

use agent_tpm::{Address, BadAddress, Key, Place, Shelf, Tpm, TpmError, connect};
use sha2::{Digest, Sha256};

pub(crate) use pin::{change_pin, pin_if_known, verified_pin};
pub(crate) use survey::{Held, survey};

use crate::{enrol::EnrolError, secret::Pin};

/// Where the TPM is, and where certificates of its keys lie.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) address: Address,
    pub(crate) shelf: Shelf,
}

impl Machine {
    /// The address that was given, else what `TPM2TOOLS_TCTI` says, else `/dev/tpmrm0`.
    pub(crate) fn new(given: Option<Address>, shelf: Shelf) -> Result<Self, BadAddress> {
        let address = match given {
            Some(address) => Some(address),
            None => Address::of_environment()?,
        };
        Ok(Self { address: address.unwrap_or_default(), shelf })
    }

    /// Whether the user has a certificate whose key was made in it.
    pub(crate) fn is_in_use(&self) -> bool {
        holds_something(&self.shelf)
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Tpm>, TpmError> {
        connect(&self.address)
    }
}

/// Whether a certificate is there.
pub(crate) fn holds_something(shelf: &Shelf) -> bool {
    shelf.entries().is_ok_and(|entries| !entries.is_empty())
}

/// A key's signature over a message, hashed with SHA-256.
pub(crate) fn sign(tpm: &mut dyn Tpm, key: &Key, pin: &Pin, message: &[u8]) -> Result<Vec<u8>, TpmError> {
    tpm.sign(key, pin.expose(), key.algorithm.scheme(), &Sha256::digest(message))
}

/// The key that is meant: the one at this place, or the only one.
pub(crate) fn the_key(tpm: &mut dyn Tpm, machine: &Machine, place: Option<Place>) -> Result<Key, EnrolError> {
    let mut keys = tpm.keys()?;
    match place {
        Some(place) => {
            let found = keys.into_iter().find(|key| key.place == place);
            found.ok_or_else(|| lost(tpm, machine, Some(place)))
        }
        None if keys.len() > 1 => {
            Err(EnrolError::WhichTpmKey { places: keys.iter().map(|key| key.place).collect() })
        }
        None => keys.pop().ok_or_else(|| lost(tpm, machine, None)),
    }
}

/// Why there is no key: its certificate may remember what it was like before.
fn lost(tpm: &mut dyn Tpm, machine: &Machine, place: Option<Place>) -> EnrolError {
    let entries = machine.shelf.entries().unwrap_or_default();
    let entry = entries.into_iter().find(|entry| place.is_none_or(|place| entry.place == place));
    match entry.map(|entry| entry.health(tpm)) {
        Some(Ok(health)) => EnrolError::TpmKeyLost(health),
        Some(Err(error)) => error.into(),
        None => EnrolError::NoTpmKey,
    }
}
