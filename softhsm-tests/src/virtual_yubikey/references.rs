//! PIN, PUK and management key: verify, change, unblock, and the reset that needs both blocked.

use super::{
    apdu::Command,
    card::{Card, Session},
    management_key::{self, Cipher, ManagementKey, Step},
    state::Reference,
    status::{Outcome, Status},
    tlv,
};

/// Key references of PIN and PUK.
const PIN: u8 = 0x80;
const PUK: u8 = 0x81;
/// Key reference of the management key.
pub(super) const MANAGEMENT_KEY: u8 = 0x9b;
/// The shortest PIN that a YubiKey takes.
const MIN_LENGTH: usize = 6;

impl Card {
    pub(super) fn verify(&mut self, command: &Command) -> Outcome {
        if command.p2 != PIN {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        match (command.p1, command.data.as_slice()) {
            (0xff, []) => {
                self.session.pin = false;
                self.session.pin_fresh = false;
                Ok(Vec::new())
            }
            (0, []) if self.session.pin => Ok(Vec::new()),
            (0, []) => Err(Status::wrong_reference(self.state.pin.left)),
            (0, pin) => {
                self.session.pin = false;
                self.session.pin_fresh = false;
                self.attempt(PIN, pin)?;
                self.session.pin = true;
                self.session.pin_fresh = true;
                Ok(Vec::new())
            }
            _ => Err(Status::WRONG_PARAMETERS),
        }
    }

    pub(super) fn change_reference(&mut self, command: &Command) -> Outcome {
        let (old, new) = halves(command)?;
        if !matches!(command.p2, PIN | PUK) {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        let new = acceptable(new)?;
        self.attempt(command.p2, old)?;
        self.reference(command.p2).change(new);
        self.commit()?;
        Ok(Vec::new())
    }

    pub(super) fn reset_retry_counter(&mut self, command: &Command) -> Outcome {
        let (puk, new) = halves(command)?;
        if command.p2 != PIN {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        let new = acceptable(new)?;
        self.attempt(PUK, puk)?;
        self.state.pin.change(new);
        self.commit()?;
        Ok(Vec::new())
    }

    pub(super) fn set_retries(&mut self, command: &Command) -> Outcome {
        if !self.session.pin || !self.session.management {
            return Err(Status::SECURITY_NOT_SATISFIED);
        }
        if command.p1 == 0 || command.p2 == 0 {
            return Err(Status::WRONG_PARAMETERS);
        }
        // As the genuine one: new counters also bring back the factory's PIN and PUK.
        self.state.pin.reset(command.p1);
        self.state.puk.reset(command.p2);
        self.session.pin = false;
        self.commit()?;
        Ok(Vec::new())
    }

    pub(super) fn factory_reset(&mut self) -> Outcome {
        if self.state.pin.left > 0 || self.state.puk.left > 0 {
            return Err(Status::CONDITIONS_NOT_SATISFIED);
        }
        self.state.reset(&self.profile).map_err(|_| Status::INTERNAL)?;
        self.session = Session::only_selected(&self.session);
        self.commit()?;
        Ok(Vec::new())
    }

    pub(super) fn authenticate_management(&mut self, command: &Command, template: &[u8]) -> Outcome {
        let waiting = self.session.waiting.take();
        let cipher = Cipher::from_byte(command.p1, self.profile.firmware).ok_or(Status::WRONG_DATA)?;
        if cipher != self.state.management_key.cipher {
            return Err(Status::WRONG_DATA);
        }
        let key = self.state.management_key.clone();
        if waiting.is_none() && key.touch {
            self.await_touch()?;
        }
        match management_key::authenticate(&key, waiting, template)? {
            Step::Continue(waiting, answer) => {
                self.session.waiting = Some(waiting);
                Ok(answer)
            }
            Step::Authenticated(answer) => {
                self.session.management = true;
                Ok(answer)
            }
        }
    }

    pub(super) fn set_management_key(&mut self, command: &Command) -> Outcome {
        self.require_management()?;
        let touch = match (command.p1, command.p2) {
            (0xff, 0xff) => false,
            (0xff, 0xfe) => true,
            _ => return Err(Status::WRONG_PARAMETERS),
        };
        let (&algorithm, rest) = command.data.split_first().ok_or(Status::WRONG_LENGTH)?;
        let cipher = Cipher::from_byte(algorithm, self.profile.firmware).ok_or(Status::WRONG_DATA)?;
        let (element, rest) = tlv::take(rest).ok_or(Status::WRONG_DATA)?;
        if element.tag != u16::from(MANAGEMENT_KEY) || !rest.is_empty() {
            return Err(Status::WRONG_DATA);
        }
        self.state.management_key =
            ManagementKey::new(cipher, element.value, touch).ok_or(Status::WRONG_LENGTH)?;
        self.commit()?;
        Ok(Vec::new())
    }

    /// Compares, counts and saves the counter before anything else happens.
    fn attempt(&mut self, reference: u8, value: &[u8]) -> Result<(), Status> {
        if value.len() != 8 {
            return Err(Status::WRONG_LENGTH);
        }
        let right = self.reference(reference).attempt(value);
        self.commit()?;
        if right { Ok(()) } else { Err(Status::wrong_reference(self.reference(reference).left)) }
    }

    fn reference(&mut self, reference: u8) -> &mut Reference {
        if reference == PUK { &mut self.state.puk } else { &mut self.state.pin }
    }

    /// GET METADATA of PIN, PUK and management key; `None` for other references.
    pub(super) fn reference_metadata(&self, reference: u8) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match reference {
            PIN | PUK => {
                let counter = if reference == PIN { &self.state.pin } else { &self.state.puk };
                tlv::put(&mut out, 1, &[0xff]);
                tlv::put(&mut out, 5, &[u8::from(counter.is_factory())]);
                tlv::put(&mut out, 6, &[counter.limit, counter.left]);
            }
            MANAGEMENT_KEY => {
                let key = &self.state.management_key;
                tlv::put(&mut out, 1, &[key.cipher as u8]);
                tlv::put(&mut out, 2, &[0, if key.touch { 2 } else { 1 }]);
                tlv::put(&mut out, 5, &[u8::from(key.is_factory())]);
            }
            _ => return None,
        }
        Some(out)
    }
}

fn halves(command: &Command) -> Result<(&[u8], &[u8]), Status> {
    if command.data.len() == 16 { Ok(command.data.split_at(8)) } else { Err(Status::WRONG_LENGTH) }
}

/// Six to eight bytes, then FF.
fn acceptable(padded: &[u8]) -> Result<[u8; 8], Status> {
    let value: [u8; 8] = padded.try_into().map_err(|_| Status::WRONG_LENGTH)?;
    let length = value.iter().position(|&byte| byte == 0xff).unwrap_or(value.len());
    let well_padded = value[length..].iter().all(|&byte| byte == 0xff);
    if length >= MIN_LENGTH && well_padded { Ok(value) } else { Err(Status::WRONG_DATA) }
}
