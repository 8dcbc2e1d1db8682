//! Data objects: certificates, CHUID, CCC, and the two that hold a PIN-protected management key.

use super::{
    apdu::Command,
    card::Card,
    status::{Outcome, Status},
    tlv,
};

/// The most one object may hold, in bytes.
const MAX_OBJECT: usize = 3063;
/// Discovery object: the PIN may be used for the PIV application, and nothing else.
const DISCOVERY: u32 = 0x7e;
/// Biometric information group template; a YubiKey 5 has none.
const BIOMETRICS: u32 = 0x7f61;

/// Fingerprints, facial image, printed information (the protected management key) and iris need the PIN.
fn needs_pin(tag: u32) -> bool {
    matches!(tag, 0x005f_c103 | 0x005f_c108 | 0x005f_c109 | 0x005f_c121)
}

impl Card {
    pub(super) fn get_data(&self, command: &Command) -> Outcome {
        let (tag, rest) = object_tag(command)?;
        if !rest.is_empty() {
            return Err(Status::WRONG_DATA);
        }
        match tag {
            DISCOVERY => Ok(discovery()),
            BIOMETRICS => Err(Status::NOT_FOUND),
            _ if needs_pin(tag) && !self.session.pin => Err(Status::SECURITY_NOT_SATISFIED),
            _ => {
                let object = self.state.objects.get(&tag).ok_or(Status::NOT_FOUND)?;
                Ok(tlv::wrap(0x53, object))
            }
        }
    }

    pub(super) fn put_data(&mut self, command: &Command) -> Outcome {
        self.require_management()?;
        let (tag, rest) = object_tag(command)?;
        if tag == DISCOVERY || tag == BIOMETRICS {
            return Err(Status::WRONG_DATA);
        }
        let (object, rest) = tlv::take(rest).ok_or(Status::WRONG_DATA)?;
        if object.tag != 0x53 || !rest.is_empty() {
            return Err(Status::WRONG_DATA);
        }
        if object.value.len() > MAX_OBJECT {
            return Err(Status::NO_SPACE);
        }
        // An empty object is how one is deleted.
        if object.value.is_empty() {
            self.state.objects.remove(&tag);
        } else {
            self.state.objects.insert(tag, object.value.to_vec());
        }
        self.commit()?;
        Ok(Vec::new())
    }
}

fn object_tag(command: &Command) -> Result<(u32, &[u8]), Status> {
    if (command.p1, command.p2) != (0x3f, 0xff) {
        return Err(Status::WRONG_PARAMETERS);
    }
    let (list, rest) = tlv::take(&command.data).ok_or(Status::WRONG_DATA)?;
    if list.tag != 0x5c || !(1..=3).contains(&list.value.len()) {
        return Err(Status::WRONG_DATA);
    }
    let tag = list.value.iter().fold(0, |tag, &byte| tag << 8 | u32::from(byte));
    Ok((tag, rest))
}

fn discovery() -> Vec<u8> {
    let mut fields = tlv::wrap(0x4f, &[0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00]);
    tlv::put(&mut fields, 0x5f2f, &[0x40, 0x00]);
    tlv::wrap(0x7e, &fields)
}
