//! The port's answer by a PIV card. What the standard leaves to makers is left alone: the management key stays, keys
//! can't be described or deleted, and the CHUID is the card's identity, which is never rewritten.

use der::Encode;

use super::{
    application::{self, Application},
    management,
};
use crate::{
    secret::Pin,
    token::{
        Attestation, Identifiers, KeyAlgorithm, KeyPresence, KeySpec, ManagementKey, ManagementKeyOrigin,
        PinStatus, Slot, SlotState, Token, TokenError, TokenIdentity,
        objects::{self, certificate_object},
    },
};

/// An opened card. Dropped, it is reset.
pub(super) struct PivCard {
    pub(super) identity: TokenIdentity,
    /// `None` once it was dropped.
    application: Option<Application>,
    /// The keys that were generated here, or are remembered from before an interruption: a card shows a public key
    /// once.
    known: Vec<(Slot, Vec<u8>)>,
}

impl PivCard {
    pub(super) fn new(identity: TokenIdentity, application: Application) -> Self {
        Self { identity, application: Some(application), known: Vec::new() }
    }

    fn card(&mut self) -> Result<&mut Application, TokenError> {
        self.application.as_mut().ok_or(TokenError::Removed)
    }
}

impl Drop for PivCard {
    fn drop(&mut self) {
        if let Some(application) = self.application.take() {
            application.connection.end();
        }
    }
}

impl Token for PivCard {
    fn identity(&self) -> &TokenIdentity {
        &self.identity
    }

    fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        self.card()?.pin_status()
    }

    fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.card()?.verify_pin(pin)
    }

    fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        let card = self.card()?;
        card.change_pin(current, new)?;
        card.verify_pin(new)
    }

    fn replace_factory_puk(&mut self, _: &Pin) -> Result<bool, TokenError> {
        Ok(false)
    }

    fn unlock(&mut self, given: Option<&ManagementKey>) -> Result<ManagementKeyOrigin, TokenError> {
        let card = self.card()?;
        if let Some(key) = given {
            management::authenticate(card, key)?;
            return Ok(ManagementKeyOrigin::Given);
        }
        management::authenticate(card, &ManagementKey::factory())?;
        Ok(ManagementKeyOrigin::Unchangeable)
    }

    fn protect_management_key(&mut self, _: &ManagementKey) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("another management key"))
    }

    fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError> {
        let object = self.card()?.object(certificate_object(slot))?;
        let certificate = object.and_then(|object| objects::unwrap_certificate(&object));
        Ok(SlotState { certificate, key: KeyPresence::Unknown })
    }

    fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError> {
        let key = self.card()?.generate(slot, spec.algorithm)?;
        let der = key.to_der().map_err(|_| TokenError::Malformed("generate the key"))?;
        self.recall(slot, &der);
        Ok(der)
    }

    fn suits(&self, algorithm: KeyAlgorithm) -> bool {
        application::is_standard(algorithm)
    }

    fn recall(&mut self, slot: Slot, public_key: &[u8]) {
        self.known.retain(|(known, _)| *known != slot);
        self.known.push((slot, public_key.to_vec()));
    }

    fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError> {
        let known = self.known.iter().find(|(known, _)| *known == slot);
        Ok(known.map(|(_, public_key)| Attestation::Asserted { public_key: public_key.clone() }))
    }

    fn sign(&mut self, slot: Slot, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.card()?.sign(slot, algorithm, message)
    }

    fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError> {
        let object = objects::wrap_certificate(slot, certificate)?;
        self.card()?.put(certificate_object(slot), &object, "write the certificate")
    }

    fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        if self.slot(slot)?.certificate.is_none() {
            return Ok(());
        }
        self.card()?.put(certificate_object(slot), &[], "delete the certificate")
    }

    fn write_identifiers(&mut self, _: &Identifiers) -> Result<(), TokenError> {
        Ok(())
    }

    fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        let card = self.card()?;
        let overwritten = [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048].into_iter().any(|algorithm| {
            // What the card can't generate, it refuses.
            card.generate(slot, algorithm).is_ok()
        });
        if overwritten { Ok(()) } else { Err(TokenError::Unsupported("destroying a key")) }
    }
}
