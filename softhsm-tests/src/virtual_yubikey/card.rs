//! The device: which application is selected, what has been proven in this session, and who serves a command.
//!
//! Invariant: session state (PIN, management key, application) is gone after reset, power-off and re-selection,
//! as on a genuine device; everything else is in [`State`] and is saved after each command that changed it.

use std::{path::PathBuf, thread, time::Instant};

use super::{
    apdu::{Command, Transport, answer},
    attestation::AttestationAuthority,
    error::CardError,
    management_key::Waiting,
    profile::{Make, Misbehaviour, Profile, Touch},
    state::State,
    status::{Outcome, Status},
    tlv,
};

/// Answer to reset of a YubiKey 5: T=1, "YubiKey" in the historical bytes.
pub const ATR: &[u8] = &[
    0x3b, 0xfd, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x15, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57, 0x59, 0x75,
    0x62, 0x69, 0x4b, 0x65, 0x79, 0x40,
];

/// Answer to reset of another maker's card: T=1, `JCOPv241` in the historical bytes.
const FOREIGN_ATR: &[u8] = &[
    0x3b, 0xf8, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x45, 0x4a, 0x43, 0x4f, 0x50, 0x76, 0x32, 0x34, 0x31,
    0xb7,
];

const PIV: &[u8] = &[0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00];
const MANAGEMENT: &[u8] = &[0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17];
const OTP: &[u8] = &[0xa0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Application {
    #[default]
    None,
    Piv,
    Management,
    Otp,
}

/// What has been proven since the last reset.
#[derive(Debug, Default)]
pub(super) struct Session {
    application: Application,
    /// The PIN was right.
    pub(super) pin: bool,
    /// The PIN was right, and no key with policy "always" was used since.
    pub(super) pin_fresh: bool,
    /// The management key was proven.
    pub(super) management: bool,
    /// A step of its authentication is open.
    pub(super) waiting: Option<Waiting>,
}

impl Session {
    /// Nothing proven, in the same application.
    pub(super) fn only_selected(earlier: &Self) -> Self {
        Self { application: earlier.application, ..Self::default() }
    }
}

/// One virtual YubiKey, not yet in a reader.
#[derive(Debug)]
pub struct Card {
    pub(super) profile: Profile,
    pub(super) state: State,
    pub(super) session: Session,
    pub(super) last_touch: Option<Instant>,
    transport: Transport,
    store: Option<PathBuf>,
    /// Of each command so far.
    instructions: Vec<u8>,
    touches: u64,
}

/// What the card does with a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It answers.
    Answer(Vec<u8>),
    /// Somebody pulls it out before it can.
    PulledOut,
}

impl Card {
    /// A device fresh from the factory that `authority` belongs to, or, where `store` exists, as it was left.
    ///
    /// # Errors
    /// When keys or certificates can't be made, or `store` can't be read or written.
    pub fn new(
        profile: Profile,
        authority: &AttestationAuthority,
        store: Option<PathBuf>,
    ) -> Result<Self, CardError> {
        let stored = match &store {
            Some(path) => State::load(path, profile.serial)?,
            None => None,
        };
        let state = match stored {
            Some(state) => state,
            None => State::factory(&profile, authority.attestation_key(&profile)?)?,
        };
        let card = Self {
            profile,
            state,
            session: Session::default(),
            last_touch: None,
            transport: Transport::default(),
            store,
            instructions: Vec::new(),
            touches: 0,
        };
        card.save()?;
        Ok(card)
    }

    /// What kind of device it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What it says when it is powered on.
    pub(super) fn atr(&self) -> &'static [u8] {
        match self.profile.make {
            Make::YubiKey => ATR,
            Make::Foreign => FOREIGN_ATR,
        }
    }

    /// Changes the behaviour from the next command on.
    pub fn misbehave(&mut self, misbehaviour: Misbehaviour) {
        self.profile.misbehaviours.push(misbehaviour);
    }

    /// Honest again from the next command on.
    pub fn behave(&mut self) {
        self.profile.misbehaviours.clear();
    }

    /// From now on nobody touches it when it asks for that.
    pub fn nobody_touches(&mut self) {
        self.profile.touch = Touch::Never;
        self.last_touch = None;
    }

    /// What it remembers without power, to look at.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Commands received so far.
    pub fn commands(&self) -> u64 {
        self.instructions.len() as u64
    }

    /// Their instructions, in order.
    pub fn instructions(&self) -> &[u8] {
        &self.instructions
    }

    /// Gives it back what it remembered at another time; commands are counted from here.
    pub fn restore(&mut self, state: State) {
        self.state = state;
        self.instructions.clear();
        self.reset();
    }

    /// Gives the PIN all its tries back, as somebody who knows the PUK does.
    pub fn unblock_pin(&mut self) {
        self.state.pin.left = self.state.pin.limit;
    }

    /// How often it was touched.
    pub fn touches(&self) -> u64 {
        self.touches
    }

    /// Reset or loss of power: everything proven is forgotten.
    pub fn reset(&mut self) {
        self.session = Session::default();
        self.last_touch = None;
        self.transport.reset();
    }

    /// Serves the bytes of one command APDU.
    pub fn receive(&mut self, bytes: &[u8]) -> Reaction {
        thread::sleep(self.profile.latency);
        self.instructions.push(bytes.get(1).copied().unwrap_or_default());
        self.lose_pin();
        if self.is_pulled_out(bytes) {
            self.reset();
            return Reaction::PulledOut;
        }
        Reaction::Answer(self.exchange(bytes).unwrap_or_else(|status| answer(Vec::new(), status)))
    }

    fn lose_pin(&mut self) {
        let commands = self.commands();
        let due = |misbehaviour: &Misbehaviour| matches!(misbehaviour, Misbehaviour::BlockPinAfter(limit) if commands > *limit);
        if let Some(index) = self.profile.misbehaviours.iter().position(due) {
            self.profile.misbehaviours.remove(index);
            self.state.pin.left = 0;
            self.session = Session::only_selected(&self.session);
        }
    }

    fn is_pulled_out(&mut self, bytes: &[u8]) -> bool {
        let commands = self.commands();
        let found = self.profile.misbehaviours.iter().position(|misbehaviour| match misbehaviour {
            Misbehaviour::EjectAfter(limit) => commands > *limit,
            Misbehaviour::EjectAt(instruction) => bytes.get(1) == Some(instruction),
            _ => false,
        });
        // Once: put back in, the card works.
        found.map(|index| self.profile.misbehaviours.remove(index)).is_some()
    }

    fn exchange(&mut self, bytes: &[u8]) -> Outcome {
        let command = Command::parse(bytes)?;
        if command.class != 0 {
            return Err(Status::UNKNOWN_CLASS);
        }
        if command.instruction == 0xc0 {
            if !self.transport.has_pending() {
                return Err(Status::WRONG_PARAMETERS);
            }
            return Ok(self.transport.continue_response(command.expected));
        }
        let Some(command) = self.transport.receive(command)? else {
            return Ok(answer(Vec::new(), Status::OK));
        };
        let data = self.serve(&command)?;
        Ok(self.transport.respond(data, command.expected))
    }

    fn serve(&mut self, command: &Command) -> Outcome {
        if command.instruction == 0xa4 {
            return self.select(command);
        }
        match self.session.application {
            Application::Piv if self.is_understood(command.instruction) => self.serve_piv(command),
            Application::Management if command.instruction == 0x1d => Ok(self.device_information(command.p1)),
            Application::Otp if (command.instruction, command.p1) == (0x01, 0x10) => {
                Ok(self.profile.serial.to_be_bytes().to_vec())
            }
            Application::Otp if command.instruction == 0x03 => Ok(self.otp_status()),
            _ => Err(Status::UNKNOWN_INSTRUCTION),
        }
    }

    /// Another maker's card knows the commands of the standard.
    fn is_understood(&self, instruction: u8) -> bool {
        const STANDARD: [u8; 7] = [0x20, 0x24, 0x2c, 0x47, 0x87, 0xcb, 0xdb];
        self.profile.make == Make::YubiKey || STANDARD.contains(&instruction)
    }

    fn serve_piv(&mut self, command: &Command) -> Outcome {
        match command.instruction {
            0x20 => self.verify(command),
            0x24 => self.change_reference(command),
            0x2c => self.reset_retry_counter(command),
            0x47 => self.generate(command),
            0x87 => self.general_authenticate(command),
            0xcb => self.get_data(command),
            0xdb => self.put_data(command),
            0xf6 => self.move_key(command),
            0xf7 => self.metadata(command),
            0xf8 => self.serial(),
            0xf9 => self.attest(command),
            0xfa => self.set_retries(command),
            0xfb => self.factory_reset(),
            0xfd => Ok(self.profile.firmware.bytes().to_vec()),
            0xfe => self.import(command),
            0xff => self.set_management_key(command),
            _ => Err(Status::UNKNOWN_INSTRUCTION),
        }
    }

    fn select(&mut self, command: &Command) -> Outcome {
        if command.p1 != 0x04 || command.data.len() < 5 {
            return Err(Status::WRONG_PARAMETERS);
        }
        let named =
            |identifier: &[u8]| identifier.starts_with(&command.data) || command.data.starts_with(identifier);
        let (application, response) = if named(PIV) {
            (Application::Piv, piv_properties())
        } else if self.profile.make == Make::Foreign {
            return Err(Status::NOT_FOUND);
        } else if named(MANAGEMENT) {
            let text = format!("Virtual mgr - FW version {}", self.profile.firmware);
            (Application::Management, text.into_bytes())
        } else if named(OTP) {
            (Application::Otp, self.otp_status())
        } else {
            return Err(Status::NOT_FOUND);
        };
        self.session = Session { application, ..Session::default() };
        Ok(response)
    }

    fn otp_status(&self) -> Vec<u8> {
        let mut status = self.profile.firmware.bytes().to_vec();
        // No slot is programmed: sequence 0, touch level 0.
        status.extend([0, 0, 0]);
        status
    }

    /// READ CONFIG of the management application: length, then one-byte tags.
    fn device_information(&self, page: u8) -> Vec<u8> {
        const ONLY_PIV: [u8; 2] = [0x00, 0x10];
        let mut fields = Vec::new();
        if page == 0 {
            tlv::put(&mut fields, 0x01, &ONLY_PIV);
            tlv::put(&mut fields, 0x02, &self.profile.serial.to_be_bytes());
            tlv::put(&mut fields, 0x03, &ONLY_PIV);
            tlv::put(&mut fields, 0x04, &[self.profile.form_octet()]);
            tlv::put(&mut fields, 0x05, &self.profile.firmware.bytes());
            tlv::put(&mut fields, 0x06, &[0, 0]);
            tlv::put(&mut fields, 0x07, &[15]);
            tlv::put(&mut fields, 0x08, &[0]);
            tlv::put(&mut fields, 0x0a, &[0]);
        }
        let mut out = vec![u8::try_from(fields.len()).unwrap_or(u8::MAX)];
        out.append(&mut fields);
        out
    }

    fn serial(&self) -> Outcome {
        if self.profile.firmware.0 < 5 {
            return Err(Status::UNKNOWN_INSTRUCTION);
        }
        Ok(self.profile.serial.to_be_bytes().to_vec())
    }

    /// Waits for the touch that a key's policy asks for.
    pub(super) fn await_touch(&mut self) -> Result<(), Status> {
        match self.profile.touch {
            Touch::Never => Err(Status::SECURITY_NOT_SATISFIED),
            Touch::After(delay) => {
                thread::sleep(delay);
                self.touches += 1;
                self.last_touch = Some(Instant::now());
                Ok(())
            }
        }
    }

    pub(super) fn require_management(&self) -> Result<(), Status> {
        if self.session.management { Ok(()) } else { Err(Status::SECURITY_NOT_SATISFIED) }
    }

    /// Makes a change durable before the card says so.
    pub(super) fn commit(&self) -> Result<(), Status> {
        self.save().map_err(|error| {
            tracing::error!(%error, "the card's state could not be saved");
            Status::INTERNAL
        })
    }

    fn save(&self) -> Result<(), CardError> {
        match &self.store {
            Some(path) => self.state.save(path, self.profile.serial),
            None => Ok(()),
        }
    }
}

/// Application property template (SP 800-73-4, part 2, table 3).
fn piv_properties() -> Vec<u8> {
    let mut fields = tlv::wrap(0x4f, &PIV[5..]);
    tlv::put(&mut fields, 0x79, &tlv::wrap(0x4f, &PIV[..5]));
    tlv::wrap(0x61, &fields)
}
