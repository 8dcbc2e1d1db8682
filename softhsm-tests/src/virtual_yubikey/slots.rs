//! Keys in slots: generate, import, use, attest, move and describe them.

use std::time::Duration;

use super::{
    apdu::Command,
    attestation::Statement,
    card::Card,
    key::{Algorithm, PinPolicy, PrivateKey, TouchPolicy, policies},
    profile::{Firmware, Misbehaviour},
    references::MANAGEMENT_KEY,
    state::Slot,
    status::{Outcome, Status},
    tlv,
};

/// How long one touch serves keys with the policy "cached".
const TOUCH_CACHE: Duration = Duration::from_secs(15);

/// Whether a key may live there: 9a, 9c, 9d, 9e and the twenty retired ones.
fn is_slot(number: u8) -> bool {
    matches!(number, 0x9a | 0x9c | 0x9d | 0x9e | 0x82..=0x95)
}

impl Card {
    pub(super) fn generate(&mut self, command: &Command) -> Outcome {
        self.require_management()?;
        if !is_slot(command.p2) {
            return Err(Status::WRONG_PARAMETERS);
        }
        let (template, rest) = tlv::take(&command.data).ok_or(Status::WRONG_DATA)?;
        if template.tag != 0xac || !rest.is_empty() {
            return Err(Status::WRONG_DATA);
        }
        let elements = tlv::all(template.value).ok_or(Status::WRONG_DATA)?;
        let Some([algorithm]) = tlv::find(&elements, 0x80) else { return Err(Status::WRONG_DATA) };
        let algorithm = Algorithm::from_byte(*algorithm, self.profile.firmware).ok_or(Status::WRONG_DATA)?;
        let (pin_policy, touch_policy) = policies(&elements, command.p2, &self.profile)?;
        let key = PrivateKey::generate(algorithm).map_err(|_| Status::INTERNAL)?;
        let public = tlv::wrap(0x7f49, &key.public_template());
        self.fill(command.p2, Slot { key, generated: true, pin_policy, touch_policy })?;
        Ok(public)
    }

    pub(super) fn import(&mut self, command: &Command) -> Outcome {
        self.require_management()?;
        if !is_slot(command.p2) {
            return Err(Status::WRONG_PARAMETERS);
        }
        let algorithm =
            Algorithm::from_byte(command.p1, self.profile.firmware).ok_or(Status::WRONG_PARAMETERS)?;
        let elements = tlv::all(&command.data).ok_or(Status::WRONG_DATA)?;
        let (pin_policy, touch_policy) = policies(&elements, command.p2, &self.profile)?;
        let key = PrivateKey::import(algorithm, &elements)?;
        self.fill(command.p2, Slot { key, generated: false, pin_policy, touch_policy })?;
        Ok(Vec::new())
    }

    fn fill(&mut self, number: u8, mut slot: Slot) -> Result<(), Status> {
        if self.profile.has(&Misbehaviour::PinPolicyNever) {
            slot.pin_policy = PinPolicy::Never;
        }
        self.state.slots.insert(number, slot);
        self.commit()
    }

    pub(super) fn general_authenticate(&mut self, command: &Command) -> Outcome {
        let (template, rest) = tlv::take(&command.data).ok_or(Status::WRONG_DATA)?;
        if template.tag != 0x7c || !rest.is_empty() {
            return Err(Status::WRONG_DATA);
        }
        if command.p2 == MANAGEMENT_KEY {
            return self.authenticate_management(command, template.value);
        }
        let slot = self.state.slots.get(&command.p2).ok_or(Status::WRONG_DATA)?;
        if slot.key.algorithm() as u8 != command.p1 {
            return Err(Status::WRONG_DATA);
        }
        let slot = slot.clone();
        self.permit(&slot)?;
        let elements = tlv::all(template.value).ok_or(Status::WRONG_DATA)?;
        let result = match (tlv::find(&elements, 0x81), tlv::find(&elements, 0x85)) {
            (Some(input), None) => slot.key.sign(input)?,
            (None, Some(point)) => slot.key.agree(point)?,
            _ => return Err(Status::WRONG_DATA),
        };
        Ok(tlv::wrap(0x7c, &tlv::wrap(0x82, &result)))
    }

    /// Enforces a key's policies; uses up what "always" grants for one operation.
    fn permit(&mut self, slot: &Slot) -> Result<(), Status> {
        let proven = match slot.pin_policy {
            PinPolicy::Never => true,
            PinPolicy::Once | PinPolicy::MatchOnce => self.session.pin,
            PinPolicy::Always | PinPolicy::MatchAlways => std::mem::take(&mut self.session.pin_fresh),
        };
        if !proven {
            return Err(Status::SECURITY_NOT_SATISFIED);
        }
        let recent = self.last_touch.is_some_and(|touch| touch.elapsed() < TOUCH_CACHE);
        match slot.touch_policy {
            TouchPolicy::Never => Ok(()),
            TouchPolicy::Cached if recent => Ok(()),
            TouchPolicy::Cached | TouchPolicy::Always => self.await_touch(),
        }
    }

    pub(super) fn attest(&mut self, command: &Command) -> Outcome {
        if self.profile.firmware < Firmware(4, 3, 0) {
            return Err(Status::UNKNOWN_INSTRUCTION);
        }
        let slot = self.state.slots.get(&command.p1).ok_or(Status::WRONG_DATA)?;
        if !slot.generated && !self.profile.has(&Misbehaviour::AttestImported) {
            return Err(Status::WRONG_DATA);
        }
        let statement = Statement {
            slot: command.p1,
            key: &slot.key,
            pin_policy: slot.pin_policy,
            touch_policy: slot.touch_policy,
        };
        self.state.attestation.attest(&statement, &self.profile).map_err(|_| Status::INTERNAL)
    }

    /// MOVE KEY, and DELETE KEY when the destination is FF.
    pub(super) fn move_key(&mut self, command: &Command) -> Outcome {
        if self.profile.firmware < Firmware::LARGE_RSA {
            return Err(Status::UNKNOWN_INSTRUCTION);
        }
        self.require_management()?;
        let (destination, source) = (command.p1, command.p2);
        let deletes = destination == 0xff;
        if !is_slot(source)
            || !(deletes || is_slot(destination))
            || self.state.slots.contains_key(&destination)
        {
            return Err(Status::WRONG_PARAMETERS);
        }
        let slot = self.state.slots.remove(&source).ok_or(Status::REFERENCE_NOT_FOUND)?;
        if !deletes {
            self.state.slots.insert(destination, slot);
        }
        self.commit()?;
        Ok(Vec::new())
    }

    pub(super) fn metadata(&self, command: &Command) -> Outcome {
        if self.profile.firmware < Firmware::METADATA {
            return Err(Status::UNKNOWN_INSTRUCTION);
        }
        if let Some(metadata) = self.reference_metadata(command.p2) {
            return Ok(metadata);
        }
        let slot = self.state.slots.get(&command.p2).ok_or(Status::REFERENCE_NOT_FOUND)?;
        let mut out = Vec::new();
        tlv::put(&mut out, 1, &[slot.key.algorithm() as u8]);
        tlv::put(&mut out, 2, &[slot.pin_policy as u8, slot.touch_policy as u8]);
        tlv::put(&mut out, 3, &[if slot.generated { 1 } else { 2 }]);
        tlv::put(&mut out, 4, &slot.key.public_template());
        Ok(out)
    }
}
