//! What the TPM holds for this user, and what became of it. Needs no PIN.

use agent_tpm::{Entry, Health, Key, Place, TpmError};

use super::Machine;
use crate::enrol::EnrolError;

/// A key or a certificate, usually both.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` when the TPM doesn't have it, or can't be asked.
    pub(crate) key: Option<Key>,
    /// `None` when the certificate's file is lost.
    pub(crate) entry: Option<Entry>,
    /// What became of the entry's key, or why that can't be told.
    pub(crate) health: Result<Health, TpmError>,
}

impl Held {
    /// Where the key is, or was.
    pub(crate) fn place(&self) -> Option<Place> {
        self.entry.as_ref().map(|entry| entry.place).or(self.key.as_ref().map(|key| key.place))
    }
}

/// Everything of this user. When the TPM can't be asked, the certificates are told all the same.
pub(crate) fn survey(machine: &Machine) -> Result<Vec<Held>, EnrolError> {
    let entries = machine.shelf.entries()?;
    let mut tpm = match machine.open() {
        Ok(tpm) => tpm,
        Err(error) if entries.is_empty() => return Err(error.into()),
        Err(_) => return Ok(entries.into_iter().map(|entry| unasked(machine, entry)).collect()),
    };
    let mut keys = tpm.keys()?;
    let mut held = Vec::new();
    for entry in entries {
        let key = keys.iter().position(|key| entry.is_of(key)).map(|index| keys.swap_remove(index));
        let health = if key.is_some() { Ok(Health::Good) } else { entry.health(tpm.as_mut()) };
        held.push(Held { key, entry: Some(entry), health });
    }
    held.extend(keys.into_iter().map(|key| Held { key: Some(key), entry: None, health: Ok(Health::Good) }));
    Ok(held)
}

/// Each is told the reason afresh: errors can't be copied.
fn unasked(machine: &Machine, entry: Entry) -> Held {
    let health = machine.open().and_then(|mut tpm| entry.health(tpm.as_mut()));
    Held { key: None, entry: Some(entry), health }
}
