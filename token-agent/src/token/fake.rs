//! A token in memory, for unit tests: it keeps what was done to it across openings, and can be pulled out before or
//! after any of its operations.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};

use super::{
    Attestation, Firmware, Identifiers, KeyAlgorithm, KeyPresence, KeySpec, Kind, ManagementKey,
    ManagementKeyOrigin, PinStatus, Reader, ReaderState, Slot, SlotState, Token, TokenDriver, TokenError,
    TokenIdentity,
};
use crate::secret::Pin;

/// When the token is pulled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Instead of the operation.
    Before(usize),
    /// After the operation took effect, before its answer arrives.
    After(usize),
}

/// What the token remembers.
pub(crate) struct FakeCard {
    pub(crate) firmware: Firmware,
    pub(crate) pin: Vec<u8>,
    pub(crate) pin_tries: u8,
    pub(crate) puk: Vec<u8>,
    pub(crate) puk_tries: u8,
    /// `None` is the factory's.
    pub(crate) management_key: Option<Vec<u8>>,
    pub(crate) kept_key: Option<Vec<u8>>,
    pub(crate) keys: HashMap<Slot, Arc<KeyPair>>,
    pub(crate) certificates: HashMap<Slot, Vec<u8>>,
    pub(crate) identifiers: Vec<Identifiers>,
    pub(crate) generated: usize,
    /// Operations so far.
    pub(crate) operations: usize,
    pub(crate) pull: Option<Pull>,
}

impl FakeCard {
    fn try_puk(&mut self, puk: &Pin) -> Result<(), TokenError> {
        if self.puk_tries == 0 {
            return Err(TokenError::PinBlocked);
        }
        if puk.expose() == self.puk {
            self.puk_tries = 3;
            return Ok(());
        }
        self.puk_tries -= 1;
        Err(TokenError::PinWrong { tries_left: self.puk_tries })
    }
}

/// A driver with one token, serial `7`.
#[derive(Clone)]
pub(crate) struct FakeDriver(Arc<Mutex<FakeCard>>);

struct FakeToken {
    card: Arc<Mutex<FakeCard>>,
    identity: TokenIdentity,
    verified: bool,
    unlocked: bool,
}

impl FakeDriver {
    /// A token as it comes from the factory.
    pub(crate) fn fresh(firmware: Firmware) -> Self {
        Self(Arc::new(Mutex::new(FakeCard {
            firmware,
            pin: b"123456".to_vec(),
            pin_tries: 3,
            puk: b"12345678".to_vec(),
            puk_tries: 3,
            management_key: None,
            kept_key: None,
            keys: HashMap::new(),
            certificates: HashMap::new(),
            identifiers: Vec::new(),
            generated: 0,
            operations: 0,
            pull: None,
        })))
    }

    pub(crate) fn card(&self) -> MutexGuard<'_, FakeCard> {
        self.0.lock().expect("unpoisoned")
    }

    fn identity(&self) -> TokenIdentity {
        TokenIdentity {
            kind: Kind::YubiKeyPiv,
            serial: "7".to_owned(),
            firmware: Some(self.card().firmware),
            reader: "fake".to_owned(),
        }
    }
}

impl TokenDriver for FakeDriver {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        Ok(vec![Reader { name: "fake".to_owned(), state: ReaderState::Token(self.identity()) }])
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        if serial != "7" {
            return Err(TokenError::NotConnected { serial: serial.to_owned() });
        }
        let identity = self.identity();
        Ok(Box::new(FakeToken { card: self.0.clone(), identity, verified: false, unlocked: false }))
    }
}

impl FakeToken {
    /// Counts an operation and does it, unless the token is pulled out.
    fn act<T>(
        &self,
        operation: impl FnOnce(&mut FakeCard) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut card = self.card.lock().expect("unpoisoned");
        let number = card.operations;
        card.operations += 1;
        if card.pull == Some(Pull::Before(number)) {
            return Err(TokenError::Removed);
        }
        let done = operation(&mut card);
        if card.pull == Some(Pull::After(number)) { Err(TokenError::Removed) } else { done }
    }
}

fn needs(state: bool) -> Result<(), TokenError> {
    if state { Ok(()) } else { Err(TokenError::Status { action: "act", status: 0x6982 }) }
}

impl Token for FakeToken {
    fn identity(&self) -> &TokenIdentity {
        &self.identity
    }

    fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        self.act(|card| Ok(PinStatus { factory: Some(card.pin == b"123456"), tries_left: card.pin_tries }))
    }

    fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.act(|card| match card.pin_tries {
            0 => Err(TokenError::PinBlocked),
            _ if card.pin == pin.expose() => {
                card.pin_tries = 3;
                Ok(())
            }
            _ => {
                card.pin_tries -= 1;
                match card.pin_tries {
                    0 => Err(TokenError::PinBlocked),
                    tries_left => Err(TokenError::PinWrong { tries_left }),
                }
            }
        })?;
        self.verified = true;
        Ok(())
    }

    fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.act(|card| {
            assert_eq!(card.pin, current.expose(), "the agent knows the current PIN");
            card.pin = new.expose().to_vec();
            Ok(())
        })?;
        self.verified = true;
        Ok(())
    }

    fn replace_factory_puk(&mut self, new: &Pin) -> Result<bool, TokenError> {
        self.act(|card| {
            let factory = card.puk == b"12345678";
            if factory {
                card.puk = new.expose().to_vec();
            }
            Ok(factory)
        })
    }

    fn puk_status(&mut self) -> Result<Option<PinStatus>, TokenError> {
        self.act(|card| {
            Ok(Some(PinStatus { factory: Some(card.puk == b"12345678"), tries_left: card.puk_tries }))
        })
    }

    fn unblock_pin(&mut self, puk: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.act(|card| {
            card.try_puk(puk)?;
            (card.pin, card.pin_tries) = (new.expose().to_vec(), 3);
            Ok(())
        })?;
        self.verified = true;
        Ok(())
    }

    fn change_puk(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.act(|card| {
            card.try_puk(current)?;
            card.puk = new.expose().to_vec();
            Ok(())
        })
    }

    fn unlock(&mut self, given: Option<&ManagementKey>) -> Result<ManagementKeyOrigin, TokenError> {
        needs(self.verified)?;
        let origin = self.act(|card| {
            if card.kept_key.is_some() && card.kept_key == card.management_key {
                Ok(ManagementKeyOrigin::Protected)
            } else if card.management_key.is_none() {
                Ok(ManagementKeyOrigin::Factory)
            } else if given.map(|key| key.expose().to_vec()) == card.management_key {
                Ok(ManagementKeyOrigin::Given)
            } else {
                Err(TokenError::ManagementKeyUnknown)
            }
        })?;
        self.unlocked = true;
        Ok(origin)
    }

    fn protect_management_key(&mut self, new: &ManagementKey) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        // Two operations, as on a real token: the record, then the key.
        self.act(|card| {
            card.kept_key = Some(new.expose().to_vec());
            Ok(())
        })?;
        self.act(|card| {
            card.management_key = Some(new.expose().to_vec());
            Ok(())
        })
    }

    fn reset(&mut self) -> Result<(), TokenError> {
        self.act(|card| {
            card.keys.clear();
            card.certificates.clear();
            (card.pin, card.pin_tries) = (b"123456".to_vec(), 3);
            Ok(())
        })
    }

    fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError> {
        self.act(|card| {
            let present = KeyPresence::Present { algorithm: Some(KeyAlgorithm::P256), generated: true };
            let key = if card.keys.contains_key(&slot) { present } else { KeyPresence::Absent };
            Ok(SlotState { certificate: card.certificates.get(&slot).cloned(), key })
        })
    }

    fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError> {
        needs(self.unlocked)?;
        assert_eq!(spec.algorithm, KeyAlgorithm::P256, "the fake has one kind of key");
        self.act(|card| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
            let spki = key.subject_public_key_info();
            card.keys.insert(slot, Arc::new(key));
            card.generated += 1;
            Ok(spki)
        })
    }

    fn suits(&self, algorithm: KeyAlgorithm) -> bool {
        self.identity.firmware.is_some_and(|firmware| firmware.suits(algorithm))
    }

    fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError> {
        self.act(|card| {
            Ok(card.keys.get(&slot).map(|key| {
                let parameters = CertificateParams::new(Vec::new()).expect("parameters");
                let certificate = parameters.self_signed(&**key).expect("a certificate");
                Attestation::YubiKeyPiv { slot: certificate.der().to_vec(), f9: vec![0x30, 0] }
            }))
        })
    }

    fn sign(&mut self, slot: Slot, _: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        needs(self.verified)?;
        self.act(|card| Ok(card.keys[&slot].sign(message).expect("a signature")))
    }

    fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        self.act(|card| {
            card.certificates.insert(slot, certificate.to_vec());
            Ok(())
        })
    }

    fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        self.act(|card| {
            card.certificates.remove(&slot);
            Ok(())
        })
    }

    fn write_identifiers(&mut self, identifiers: &Identifiers) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        self.act(|card| {
            card.identifiers.push(identifiers.clone());
            Ok(())
        })
    }

    fn moves_keys(&self) -> bool {
        self.identity.firmware >= Some(Firmware::V5_7)
    }

    fn move_key(&mut self, from: Slot, to: Slot) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        assert!(self.moves_keys(), "this firmware moves no keys");
        self.act(|card| {
            assert!(!card.keys.contains_key(&to), "a key is never moved over another");
            let key = card.keys.remove(&from).expect("a key");
            card.keys.insert(to, key);
            Ok(())
        })
    }

    fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        needs(self.unlocked)?;
        self.act(|card| {
            card.keys.remove(&slot);
            Ok(())
        })
    }
}
