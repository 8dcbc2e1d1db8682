//! What the agent asks of a token, whatever its kind; [`all`] is the tokens of every kind together. The flows know
//! nothing else.

pub(crate) mod all;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod objects;
pub(crate) mod permitted;
mod piv;
mod pkcs11;
mod types;
#[cfg(feature = "window")]
pub(crate) mod watch;
pub(crate) mod yubikey_piv;

pub(crate) use error::TokenError;
pub(crate) use types::{
    Attestation, Firmware, Identifiers, KeyAlgorithm, KeyPresence, KeySpec, Kind, ManagementKey,
    ManagementKeyOrigin, PinPolicy, PinStatus, Reader, ReaderState, Slot, SlotState, TokenIdentity,
    TouchPolicy,
};

use ca_wire::enrolment::Evidence;

use crate::secret::Pin;

/// The tokens that are connected.
pub(crate) trait TokenDriver {
    /// Every reader with what is in it. No reader at all is an empty list.
    fn readers(&self) -> Result<Vec<Reader>, TokenError>;

    /// Opens the token with this serial.
    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError>;
}

/// One opened token. Dropping it resets the card, so that no PIN stays verified.
pub(crate) trait Token {
    /// Serial and firmware.
    fn identity(&self) -> &TokenIdentity;

    /// Whether the PIN is the factory's and how many tries are left. Forgets a PIN that was verified before.
    fn pin_status(&mut self) -> Result<PinStatus, TokenError>;

    /// Verifies the PIN for what follows.
    fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError>;

    /// Changes the PIN and verifies the new one.
    fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError>;

    /// Replaces the factory's PUK; `false` when it had been replaced before.
    fn replace_factory_puk(&mut self, new: &Pin) -> Result<bool, TokenError>;

    /// Whether the PUK is the factory's and how many tries are left; `None` where the token doesn't say.
    fn puk_status(&mut self) -> Result<Option<PinStatus>, TokenError> {
        Ok(None)
    }

    /// Sets a new PIN in place of a blocked one.
    fn unblock_pin(&mut self, _puk: &Pin, _new: &Pin) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("unblocking its PIN"))
    }

    /// Changes the PUK.
    fn change_puk(&mut self, _current: &Pin, _new: &Pin) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("changing its PUK"))
    }

    /// Puts the whole application back to what it was in the factory: keys, certificates, PIN and PUK. Needs no PIN.
    fn reset(&mut self) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("being reset"))
    }

    /// Authenticates with the management key, where the token has one: the one kept on the token under the PIN, else the
    /// factory's, else `given`. The PIN must have been verified.
    fn unlock(&mut self, given: Option<&ManagementKey>) -> Result<ManagementKeyOrigin, TokenError>;

    /// Replaces the management key, after [`Token::unlock`], by a random one that is kept on the token under the PIN.
    /// Wherever it is interrupted, [`Token::unlock`] still succeeds.
    fn protect_management_key(&mut self, new: &ManagementKey) -> Result<(), TokenError>;

    /// What a slot holds.
    fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError>;

    /// The slot's certificate (DER), as stored.
    fn certificate(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        Ok(self.slot(slot)?.certificate)
    }

    /// Generates a key, over whatever was there; returns the DER of its `SubjectPublicKeyInfo`. Takes seconds for RSA.
    fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError>;

    /// Whether it generates keys of this algorithm, and they are safe to use.
    fn suits(&self, algorithm: KeyAlgorithm) -> bool;

    /// Reminds a token of the public key that was generated in a slot before an interruption: some show it only once. It
    /// is believed only after a signature.
    fn recall(&mut self, _slot: Slot, _public_key: &[u8]) {}

    /// What the token says of the slot's key; `None` when there is no key, or an imported one.
    fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError>;

    /// What the CA is shown of the slot's key in the enrolment whose challenge message
    /// ([`ca_wire::enrolment::challenge_message`]) is given. The PIN has been verified.
    fn evidence(
        &mut self,
        _slot: Slot,
        attestation: &Attestation,
        _challenge_message: &[u8],
    ) -> Result<Evidence, TokenError> {
        Ok(attestation.evidence())
    }

    /// Signs a message with the slot's key: ECDSA (DER) with the hash of the curve's size, or PKCS #1 v1.5 with
    /// SHA-256.
    fn sign(&mut self, slot: Slot, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError>;

    /// Writes a certificate (DER) to the slot.
    fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError>;

    /// Deletes the slot's certificate; nothing happens when there is none.
    fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError>;

    /// Writes a new CHUID and CCC, by which Windows notices that the token's content changed; nothing where they are the
    /// token's identity, or it has none.
    fn write_identifiers(&mut self, identifiers: &Identifiers) -> Result<(), TokenError>;

    /// Whether it can move a key from slot to slot.
    fn moves_keys(&self) -> bool {
        false
    }

    /// Moves a key to a slot without one (firmware 5.7). Certificates stay where they are.
    fn move_key(&mut self, _from: Slot, _to: Slot) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("moving keys"))
    }

    /// Makes the slot's key unusable for ever: deletes it (firmware 5.7), or generates another over it.
    fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError>;
}
