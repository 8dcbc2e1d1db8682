//! The PIV application of any maker's card: the commands of NIST SP 800-73-4, part 2, and nothing of one maker.

use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1};
use der::Encode;
use p256::NistP256;
use p384::NistP384;
use spki::SubjectPublicKeyInfoOwned;
use yubikey::{
    ObjectId,
    certificate::yubikey_signer::{KeyType, Rsa2048, YubiRsa},
};
use zeroize::Zeroizing;

use super::connection::{Answer, Command, Connection};
use crate::{
    secret::Pin,
    token::{KeyAlgorithm, PinStatus, Slot, TokenError, objects},
};

const SELECT: u8 = 0xa4;
const VERIFY: u8 = 0x20;
const CHANGE_REFERENCE_DATA: u8 = 0x24;
const GENERATE_ASYMMETRIC: u8 = 0x47;
pub(super) const GENERAL_AUTHENTICATE: u8 = 0x87;
const GET_DATA: u8 = 0xcb;
const PUT_DATA: u8 = 0xdb;
/// Yubico's own GET VERSION and GET SERIAL.
const YUBICO: [u8; 2] = [0xfd, 0xf8];

/// The application's identifier without its version.
const APPLICATION: [u8; 9] = [0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00];
/// The key reference of the application's PIN.
const PIN: u8 = 0x80;
/// What a card answers where there is no such object.
const NOT_FOUND: u16 = 0x6a82;
const GUID: u8 = 0x34;

/// A card whose PIV application is selected.
pub(super) struct Application {
    pub(super) connection: Connection,
}

impl Application {
    /// Selects it; `None` when the card has none, or is a YubiKey's, which proves more by another way.
    pub(super) fn select(mut connection: Connection) -> Result<Option<Self>, TokenError> {
        if !select(&mut connection)? {
            return Ok(None);
        }
        let mut is_yubikey = true;
        for instruction in YUBICO {
            let command = Command { action: "say what it is", instruction, p1: 0, p2: 0, data: &[] };
            is_yubikey &= connection.exchange(&command)?.status == 0x9000;
        }
        Ok((!is_yubikey).then_some(Self { connection }))
    }

    /// What tells this card from others: the GUID in its CHUID, which the card's issuer wrote.
    pub(super) fn guid(&mut self) -> Result<Option<[u8; 16]>, TokenError> {
        let chuid = self.object(objects::CHUID)?.unwrap_or_default();
        let guid = objects::items(&chuid).and_then(|items| {
            let found = items.into_iter().find(|item| item.0 == GUID)?;
            found.1.try_into().ok()
        });
        Ok(guid.filter(|guid| *guid != [0; 16]))
    }

    pub(super) fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        let action = "say how many PIN tries are left";
        // P1 = FF forgets a PIN that was verified; where a card doesn't know that, a reset does it.
        let forget = Command { action, instruction: VERIFY, p1: 0xff, p2: PIN, data: &[] };
        let ask = Command { p1: 0, ..forget };
        self.connection.exchange(&forget)?;
        let mut status = self.connection.exchange(&ask)?.status;
        if status == 0x9000 {
            self.connection.reset()?;
            if !select(&mut self.connection)? {
                return Err(TokenError::Removed);
            }
            status = self.connection.exchange(&ask)?.status;
        }
        match status {
            0x6983 => Ok(PinStatus { factory: None, tries_left: 0 }),
            0x63c0..=0x63cf => Ok(PinStatus { factory: None, tries_left: (status & 0xf) as u8 }),
            status => Err(TokenError::Status { action, status }),
        }
    }

    pub(super) fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        let data = pin.padded().ok_or(TokenError::PinRefused)?;
        let command =
            Command { action: "verify the PIN", instruction: VERIFY, p1: 0, p2: PIN, data: data.as_slice() };
        TokenError::of_pin(self.connection.exchange(&command)?.status, command.action)
    }

    pub(super) fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        let halves = [current.padded(), new.padded()];
        let [Some(current), Some(new)] = halves else { return Err(TokenError::PinRefused) };
        let data = Zeroizing::new([*current, *new].concat());
        let command = Command {
            action: "change the PIN",
            instruction: CHANGE_REFERENCE_DATA,
            p1: 0,
            p2: PIN,
            data: data.as_slice(),
        };
        TokenError::of_pin(self.connection.exchange(&command)?.status, command.action)
    }

    /// An object's content; `None` when there is none.
    pub(super) fn object(&mut self, object: ObjectId) -> Result<Option<Vec<u8>>, TokenError> {
        let action = "read an object";
        let list = tag_list(object);
        let command = Command { action, instruction: GET_DATA, p1: 0x3f, p2: 0xff, data: &list };
        let answer = self.connection.exchange(&command)?;
        if answer.status == NOT_FOUND {
            return Ok(None);
        }
        let data = answer.done(action)?;
        let content = objects::inside(&data, objects::OBJECT).ok_or(TokenError::Malformed(action))?;
        Ok((!content.is_empty()).then(|| content.to_vec()))
    }

    /// Writes an object; an empty one deletes it.
    pub(super) fn put(
        &mut self,
        object: ObjectId,
        content: &[u8],
        action: &'static str,
    ) -> Result<(), TokenError> {
        let item = objects::item(objects::OBJECT, content).ok_or(TokenError::Malformed(action))?;
        let data = [tag_list(object), item].concat();
        let command = Command { action, instruction: PUT_DATA, p1: 0x3f, p2: 0xff, data: &data };
        self.connection.exchange(&command)?.done(action).map(drop)
    }

    pub(super) fn generate(
        &mut self,
        slot: Slot,
        algorithm: KeyAlgorithm,
    ) -> Result<SubjectPublicKeyInfoOwned, TokenError> {
        let action = "generate the key";
        let identifier = identifier(algorithm).ok_or(TokenError::Unsupported("keys of this kind"))?;
        let data = [0xac, 3, 0x80, 1, identifier];
        let command =
            Command { action, instruction: GENERATE_ASYMMETRIC, p1: 0, p2: slot.number(), data: &data };
        let answer = self.connection.exchange(&command)?.done(action)?;
        public_key(&answer, algorithm).ok_or(TokenError::Malformed(action))
    }

    pub(super) fn sign(
        &mut self,
        slot: Slot,
        algorithm: KeyAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        let unsupported = || TokenError::Unsupported("signatures with this key");
        let identifier = identifier(algorithm).ok_or_else(unsupported)?;
        let prepared = match algorithm {
            KeyAlgorithm::P256 => NistP256::prepare(message),
            KeyAlgorithm::P384 => NistP384::prepare(message),
            _ => YubiRsa::<Rsa2048>::prepare(message),
        };
        let prepared = prepared.map_err(|_| unsupported())?;
        self.authenticate("sign", identifier, slot.number(), &[(0x82, &[]), (0x81, &prepared)])
    }

    /// GENERAL AUTHENTICATE (3.2.4): what stands in the answer's only item.
    pub(super) fn authenticate(
        &mut self,
        action: &'static str,
        algorithm: u8,
        key: u8,
        items: &[(u8, &[u8])],
    ) -> Result<Vec<u8>, TokenError> {
        let answer = self.try_authenticate(action, algorithm, key, items)?.done(action)?;
        let malformed = || TokenError::Malformed(action);
        let template = objects::inside(&answer, objects::DYNAMIC_AUTHENTICATION).ok_or_else(malformed)?;
        let found = objects::items(template).ok_or_else(malformed)?;
        found.first().map(|item| item.1.to_vec()).ok_or_else(malformed)
    }

    /// The same, whatever the card says.
    pub(super) fn try_authenticate(
        &mut self,
        action: &'static str,
        algorithm: u8,
        key: u8,
        items: &[(u8, &[u8])],
    ) -> Result<Answer, TokenError> {
        let items: Option<Vec<Vec<u8>>> =
            items.iter().map(|(tag, value)| objects::item(*tag, value)).collect();
        let data = items.and_then(|items| objects::item(objects::DYNAMIC_AUTHENTICATION, &items.concat()));
        let data = data.ok_or(TokenError::Malformed(action))?;
        let command =
            Command { action, instruction: GENERAL_AUTHENTICATE, p1: algorithm, p2: key, data: &data };
        self.connection.exchange(&command)
    }
}

fn select(connection: &mut Connection) -> Result<bool, TokenError> {
    let command = Command { action: "select PIV", instruction: SELECT, p1: 4, p2: 0, data: &APPLICATION };
    Ok(connection.exchange(&command)?.status == 0x9000)
}

/// `5C`, its length, and the object's tag of three octets.
fn tag_list(object: ObjectId) -> Vec<u8> {
    let [_, tag @ ..] = object.to_be_bytes();
    [&[0x5c, 3], tag.as_slice()].concat()
}

/// SP 800-78-4, table 6-2: what every card that follows it may have.
fn identifier(algorithm: KeyAlgorithm) -> Option<u8> {
    match algorithm {
        KeyAlgorithm::P256 => Some(0x11),
        KeyAlgorithm::P384 => Some(0x14),
        KeyAlgorithm::Rsa2048 => Some(0x07),
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => None,
    }
}

/// Whether a card that follows the standard may have keys of this algorithm.
pub(super) fn is_standard(algorithm: KeyAlgorithm) -> bool {
    identifier(algorithm).is_some()
}

/// The public key in the answer to GENERATE ASYMMETRIC KEY PAIR (3.3.2): `7F49` with modulus and exponent, or a point.
fn public_key(answer: &[u8], algorithm: KeyAlgorithm) -> Option<SubjectPublicKeyInfoOwned> {
    let template = objects::inside_public_key(answer)?;
    let items = objects::items(template)?;
    let value = |tag| items.iter().find(|item| item.0 == tag).map(|item| item.1);
    let key = match algorithm {
        KeyAlgorithm::P256 => ca_x509::key::from_point(SECP_256_R_1, value(0x86)?),
        KeyAlgorithm::P384 => ca_x509::key::from_point(SECP_384_R_1, value(0x86)?),
        _ => ca_x509::key::from_modulus(value(0x81)?, value(0x82)?),
    };
    let key = key.ok()?;
    let is_what_was_asked_for =
        ca_x509::KeyKind::of(&key).ok().and_then(KeyAlgorithm::of) == Some(algorithm) && key.to_der().is_ok();
    is_what_was_asked_for.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_read_and_others_are_not() {
        let mut point = vec![4; 65];
        point[64] = 9;
        let answer = [&[0x7f, 0x49, 67, 0x86, 65], point.as_slice()].concat();
        let key = public_key(&answer, KeyAlgorithm::P256).expect("a key");
        assert_eq!(key.subject_public_key.raw_bytes(), point);
        assert_eq!(public_key(&answer, KeyAlgorithm::P384), None, "a point of another length");
        assert_eq!(public_key(&answer, KeyAlgorithm::Rsa2048), None);
        assert_eq!(public_key(&answer[..40], KeyAlgorithm::P256), None, "cut short");
        assert_eq!(public_key(&[], KeyAlgorithm::P256), None);
    }

    #[test]
    fn hostile_keys_are_read_without_a_panic() {
        let modulus =
            [&[0x7f, 0x49, 0x82, 1, 9, 0x81, 0x82, 1, 0, 0xc1], [9; 255].as_slice(), &[0x82, 3, 1, 0, 1]];
        let samples = [modulus.concat(), [&[0x7f, 0x49, 0x43, 0x86, 0x41, 4], [9; 64].as_slice()].concat()];
        crate::hostile::bombard(&samples, |answer| {
            for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa2048] {
                let _ = public_key(answer, algorithm);
            }
        });
    }

    #[test]
    fn objects_are_named_by_three_octets() {
        assert_eq!(tag_list(objects::CHUID), [0x5c, 3, 0x5f, 0xc1, 0x02]);
    }
}
