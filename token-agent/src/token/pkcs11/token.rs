//! The port's answer by a module's token: a session, logged in from the PIN's verification until it is dropped.

use cryptoki::{
    context::Pkcs11,
    error::{Error as ModuleError, RvError},
    mechanism::Mechanism,
    session::{Session, UserType},
    slot::Slot as ModuleSlot,
    types::AuthPin,
};
use der::Encode;
use sha2::{Digest, Sha256, Sha384};

use super::objects::Objects;
use crate::{
    secret::Pin,
    token::{
        Attestation, Identifiers, KeyAlgorithm, KeyPresence, KeySpec, ManagementKey, ManagementKeyOrigin,
        PinStatus, Slot, SlotState, Token, TokenError, TokenIdentity,
    },
};

/// An opened token.
pub(super) struct ModuleToken {
    pkcs11: Pkcs11,
    slot: ModuleSlot,
    session: Session,
    identity: TokenIdentity,
}

impl ModuleToken {
    pub(super) fn open(
        pkcs11: &Pkcs11,
        slot: ModuleSlot,
        identity: TokenIdentity,
    ) -> Result<Self, TokenError> {
        let session =
            pkcs11.open_rw_session(slot).map_err(|error| TokenError::from_module(error, "open the token"))?;
        Ok(Self { pkcs11: pkcs11.clone(), slot, session, identity })
    }

    fn objects(&self, slot: Slot) -> Objects<'_> {
        Objects { session: &self.session, slot }
    }

    /// A refused PIN, with the tries that are left as far as the module says.
    fn refused(&self, error: ModuleError, action: &'static str) -> TokenError {
        match error {
            ModuleError::Pkcs11(RvError::PinLocked, _) => TokenError::PinBlocked,
            ModuleError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _) => match self.tries_left() {
                Ok(0) => TokenError::PinBlocked,
                Ok(tries_left) => TokenError::PinWrong { tries_left },
                Err(error) => error,
            },
            ModuleError::Pkcs11(RvError::PinInvalid, _) => TokenError::PinRefused,
            other => TokenError::from_module(other, action),
        }
    }

    /// PKCS#11 tells "some", "few", "one" and "none" apart (`CKF_USER_PIN_…`); few and some are said as 2 and 3.
    fn tries_left(&self) -> Result<u8, TokenError> {
        let info = self.pkcs11.get_token_info(self.slot);
        let info = info.map_err(|error| TokenError::from_module(error, "say how many PIN tries are left"))?;
        Ok(match () {
            () if info.user_pin_locked() => 0,
            () if info.user_pin_final_try() => 1,
            () if info.user_pin_count_low() => 2,
            () => 3,
        })
    }

    fn log_out(&self) {
        // Nobody was logged in, then.
        let _ = self.session.logout();
    }
}

impl Drop for ModuleToken {
    fn drop(&mut self) {
        self.log_out();
    }
}

fn pin_of(pin: &Pin) -> Result<AuthPin, TokenError> {
    let text = std::str::from_utf8(pin.expose()).map_err(|_| TokenError::PinRefused)?;
    Ok(AuthPin::from(text))
}

impl Token for ModuleToken {
    fn identity(&self) -> &TokenIdentity {
        &self.identity
    }

    fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        self.log_out();
        Ok(PinStatus { factory: None, tries_left: self.tries_left()? })
    }

    fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.log_out();
        self.session
            .login(UserType::User, Some(&pin_of(pin)?))
            .map_err(|error| self.refused(error, "verify the PIN"))
    }

    fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.session
            .set_pin(&pin_of(current)?, &pin_of(new)?)
            .map_err(|error| self.refused(error, "change the PIN"))?;
        self.verify_pin(new)
    }

    fn replace_factory_puk(&mut self, _: &Pin) -> Result<bool, TokenError> {
        Ok(false)
    }

    fn unlock(&mut self, _: Option<&ManagementKey>) -> Result<ManagementKeyOrigin, TokenError> {
        Ok(ManagementKeyOrigin::NotNeeded)
    }

    fn protect_management_key(&mut self, _: &ManagementKey) -> Result<(), TokenError> {
        Err(TokenError::Unsupported("a management key"))
    }

    fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError> {
        let objects = self.objects(slot);
        // Private keys are seen by those who are logged in only; public ones by everybody.
        let public = objects.public_key()?;
        let key = match (objects.private_key()?, &public) {
            (Some(key), public) => KeyPresence::Present {
                algorithm: public.as_ref().and_then(KeyAlgorithm::of_public_key),
                generated: objects.stays_inside(key)?,
            },
            (None, Some(_)) => KeyPresence::Unknown,
            (None, None) => KeyPresence::Absent,
        };
        Ok(SlotState { certificate: objects.certificate()?, key })
    }

    fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError> {
        let objects = self.objects(slot);
        objects.destroy_keys()?;
        objects.generate(spec.algorithm)?;
        let key = objects.private_key()?.ok_or(TokenError::Malformed("generate the key"))?;
        if !objects.stays_inside(key)? {
            objects.destroy_keys()?;
            return Err(TokenError::KeyNotKept);
        }
        let public = objects.public_key()?.and_then(|key| key.to_der().ok());
        public.ok_or(TokenError::Malformed("generate the key"))
    }

    fn suits(&self, algorithm: KeyAlgorithm) -> bool {
        let mechanisms = self.pkcs11.get_mechanism_list(self.slot).unwrap_or_default();
        let generator =
            if algorithm.is_rsa() { Mechanism::RsaPkcsKeyPairGen } else { Mechanism::EccKeyPairGen };
        mechanisms.contains(&generator.mechanism_type())
    }

    fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError> {
        let objects = self.objects(slot);
        let Some(key) = objects.private_key()? else { return Ok(None) };
        if !objects.stays_inside(key)? {
            return Ok(None);
        }
        let public = objects.public_key()?.and_then(|key| key.to_der().ok());
        Ok(public.map(|public_key| Attestation::Asserted { public_key }))
    }

    fn sign(&mut self, slot: Slot, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let key = self.objects(slot).private_key()?.ok_or(TokenError::Malformed("sign"))?;
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| {
            self.session.sign(mechanism, key, data).map_err(|error| TokenError::from_module(error, "sign"))
        };
        // Not every module hashes for ECDSA.
        let fixed = match algorithm {
            KeyAlgorithm::P256 => sign(&Mechanism::Ecdsa, &Sha256::digest(message))?,
            KeyAlgorithm::P384 => sign(&Mechanism::Ecdsa, &Sha384::digest(message))?,
            _ => return sign(&Mechanism::Sha256RsaPkcs, message),
        };
        ca_x509::ecdsa::der_from_fixed(&fixed).map_err(|_| TokenError::Malformed("sign"))
    }

    fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError> {
        self.objects(slot).write_certificate(certificate)
    }

    fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        self.objects(slot).delete_certificate()
    }

    fn write_identifiers(&mut self, _: &Identifiers) -> Result<(), TokenError> {
        Ok(())
    }

    fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        self.objects(slot).destroy_keys()
    }
}
