//! The port's answer: a session for as long as the card is there.

use super::session::Session;
use crate::{
    secret::Pin,
    token::{
        Attestation, Firmware, Identifiers, KeyAlgorithm, KeySpec, ManagementKey, ManagementKeyOrigin,
        PinStatus, Slot, SlotState, Token, TokenError, TokenIdentity,
    },
};

/// An opened YubiKey. Dropped, it resets the card.
pub(super) struct PivToken {
    identity: TokenIdentity,
    firmware: Firmware,
    /// `None` once the card is gone.
    session: Option<Session>,
}

impl PivToken {
    pub(super) fn new(session: Session) -> Self {
        Self { identity: session.identity.clone(), firmware: session.firmware, session: Some(session) }
    }

    /// Does something with the card. When a card is pulled out in the middle of a command, or another program uses up the
    /// PIN's tries, the failure can look like any other: that the card is gone, or the PIN blocked, is what counts then.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&mut Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut session = self.session.take().ok_or(TokenError::Removed)?;
        let done = act(&mut session);
        let healthy = match &done {
            Ok(_) => true,
            Err(error) if error.is_about_the_pin() => true,
            Err(_) => !session.is_gone(),
        };
        if healthy {
            let blocked = match &done {
                Ok(_) => false,
                // These say it themselves; and a wrong PUK is none the less one because the PIN is blocked.
                Err(error) if error.is_about_the_pin() => false,
                Err(_) => session.pin_status().is_ok_and(|status| status.tries_left == 0),
            };
            self.session = Some(session);
            return if blocked { Err(TokenError::PinBlocked) } else { done };
        }
        session.leave();
        match done {
            Err(error) if error.is_absence() => Err(error),
            _ => Err(TokenError::Removed),
        }
    }
}

impl Token for PivToken {
    fn identity(&self) -> &TokenIdentity {
        &self.identity
    }

    fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        self.attempt(Session::pin_status)
    }

    fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.attempt(|session| session.verify_pin(pin))
    }

    fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.attempt(|session| session.change_pin(current, new))
    }

    fn replace_factory_puk(&mut self, new: &Pin) -> Result<bool, TokenError> {
        self.attempt(|session| session.replace_factory_puk(new))
    }

    fn puk_status(&mut self) -> Result<Option<PinStatus>, TokenError> {
        self.attempt(Session::puk_status)
    }

    fn unblock_pin(&mut self, puk: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.attempt(|session| session.unblock_pin(puk, new))
    }

    fn change_puk(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.attempt(|session| session.change_puk(current, new))
    }

    fn reset(&mut self) -> Result<(), TokenError> {
        self.attempt(Session::reset)
    }

    fn unlock(&mut self, given: Option<&ManagementKey>) -> Result<ManagementKeyOrigin, TokenError> {
        self.attempt(|session| session.unlock(given))
    }

    fn protect_management_key(&mut self, new: &ManagementKey) -> Result<(), TokenError> {
        self.attempt(|session| session.protect_management_key(new))
    }

    fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError> {
        self.attempt(|session| session.slot(slot))
    }

    fn certificate(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        self.attempt(|session| session.certificate(slot))
    }

    fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError> {
        self.attempt(|session| session.generate(slot, spec))
    }

    fn suits(&self, algorithm: KeyAlgorithm) -> bool {
        self.firmware.suits(algorithm)
    }

    fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError> {
        self.attempt(|session| session.attest(slot))
    }

    fn sign(&mut self, slot: Slot, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.attempt(|session| session.sign(slot, algorithm, message))
    }

    fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError> {
        self.attempt(|session| session.write_certificate(slot, certificate))
    }

    fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        self.attempt(|session| session.delete_certificate(slot))
    }

    fn write_identifiers(&mut self, identifiers: &Identifiers) -> Result<(), TokenError> {
        self.attempt(|session| session.write_identifiers(identifiers))
    }

    fn moves_keys(&self) -> bool {
        self.firmware >= Firmware::V5_7
    }

    fn move_key(&mut self, from: Slot, to: Slot) -> Result<(), TokenError> {
        self.attempt(|session| session.move_key(from, to))
    }

    fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        self.attempt(|session| session.destroy_key(slot))
    }
}
