//! A token: a certificate on the shelf, and its key in the TPM. The TPM is reached for each act and let go of at once.

use agent_tpm::{Address, Entry, Key, Scheme, Tpm, TpmError, connect};
use cryptoki_sys::{
    CK_RV, CK_SLOT_ID, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED, CKR_PIN_INCORRECT,
    CKR_PIN_LOCKED,
};
use zeroize::Zeroizing;

use crate::object::Objects;

/// A token.
pub(crate) struct Token {
    slot: CK_SLOT_ID,
    entry: Entry,
    pub(crate) objects: Objects,
}

impl Token {
    /// `None` for an entry whose certificate can't be read.
    pub(crate) fn of(slot: CK_SLOT_ID, entry: Entry) -> Option<Self> {
        let objects = Objects::of(&entry.certificate, &entry.user_id)?;
        Some(Self { slot, entry, objects })
    }

    pub(crate) fn slot(&self) -> CK_SLOT_ID {
        self.slot
    }

    /// Whether it is the token of this entry.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        self.entry == *entry
    }

    /// The login ID.
    pub(crate) fn label(&self) -> &str {
        &self.entry.user_id
    }

    /// Sixteen digits of the key's Name, which differ from key to key.
    pub(crate) fn serial(&self) -> &str {
        self.entry.key_name.get(4..20).unwrap_or_default()
    }

    pub(crate) fn verify_pin(&self, pin: &[u8]) -> Result<(), CK_RV> {
        self.with_key(|tpm, key| tpm.verify_pin(key, pin))
    }

    pub(crate) fn sign(
        &self,
        pin: &Zeroizing<Vec<u8>>,
        scheme: Scheme,
        digest: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        self.with_key(|tpm, key| tpm.sign(key, pin, scheme, digest))
    }

    fn with_key<T>(&self, act: impl FnOnce(&mut dyn Tpm, &Key) -> Result<T, TpmError>) -> Result<T, CK_RV> {
        let address: Address = self.entry.address.parse().map_err(|_| CKR_DEVICE_ERROR)?;
        let mut tpm = connect(&address).map_err(code)?;
        let key = tpm.keys().map_err(code)?.into_iter().find(|key| self.entry.is_of(key));
        let key = key.ok_or(CKR_DEVICE_REMOVED)?;
        act(tpm.as_mut(), &key).map_err(code)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err takes")]
fn code(error: TpmError) -> CK_RV {
    match error {
        TpmError::PinWrong { .. } => CKR_PIN_INCORRECT,
        TpmError::Locked { .. } => CKR_PIN_LOCKED,
        TpmError::KeyGone(_) => CKR_DEVICE_REMOVED,
        TpmError::MemoryTaken => CKR_DEVICE_MEMORY,
        _ => CKR_DEVICE_ERROR,
    }
}
