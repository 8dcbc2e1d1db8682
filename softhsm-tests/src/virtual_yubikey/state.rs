//! What a device remembers without power, and the file that keeps it between runs.
//!
//! PINs and keys stand in the file as they are: this is a test device.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    attestation::AttestationKey,
    error::CardError,
    key::{PinPolicy, PrivateKey, TouchPolicy},
    management_key::ManagementKey,
    profile::{Make, Profile},
};

/// A PIN or PUK with its counter. The value is padded to eight bytes with FF, as on the wire.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    value: [u8; 8],
    factory: [u8; 8],
    /// Attempts after each success.
    pub limit: u8,
    /// Attempts that are left.
    pub left: u8,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reference({} of {} attempts left)", self.left, self.limit)
    }
}

impl Reference {
    fn factory(value: [u8; 8], limit: u8) -> Self {
        Self { value, factory: value, limit, left: limit }
    }

    /// Back to the factory's value, with this many attempts.
    pub fn reset(&mut self, limit: u8) {
        *self = Self::factory(self.factory, limit);
    }

    /// Whether the factory's value is still in force.
    pub fn is_factory(&self) -> bool {
        self.value == self.factory
    }

    /// Counts an attempt; true when it was right.
    pub fn attempt(&mut self, value: &[u8]) -> bool {
        if self.left == 0 {
            return false;
        }
        if self.value == value {
            self.left = self.limit;
            return true;
        }
        self.left -= 1;
        false
    }

    /// The value, for tests that look for it where it must not be.
    pub fn value(&self) -> [u8; 8] {
        self.value
    }

    /// A new value, with all attempts.
    pub fn change(&mut self, value: [u8; 8]) {
        self.value = value;
        self.left = self.limit;
    }
}

/// A key in a slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The key.
    pub key: PrivateKey,
    /// Made here, not loaded.
    pub generated: bool,
    /// When the PIN is asked for.
    pub pin_policy: PinPolicy,
    /// When a touch is asked for.
    pub touch_policy: TouchPolicy,
}

/// Everything that survives a power cut.
#[derive(Clone, Debug)]
pub struct State {
    /// The user's PIN.
    pub pin: Reference,
    /// What unblocks the PIN.
    pub puk: Reference,
    /// What permits changes.
    pub management_key: ManagementKey,
    /// Keys by slot.
    pub slots: BTreeMap<u8, Slot>,
    /// Data objects by tag, without the outer tag 53.
    pub objects: BTreeMap<u32, Vec<u8>>,
    /// The key of slot f9; a reset leaves it alone.
    pub attestation: AttestationKey,
}

/// Data object of the Card Holder Unique Identifier.
const CHUID_OBJECT: u32 = 0x005f_c102;
/// Data object of the f9 certificate.
pub(super) const ATTESTATION_OBJECT: u32 = 0x005f_ff01;

impl State {
    /// As it comes from the factory.
    ///
    /// # Errors
    /// When the f9 certificate can't be encoded.
    pub fn factory(profile: &Profile, attestation: AttestationKey) -> Result<Self, CardError> {
        let objects = match profile.make {
            Make::YubiKey => {
                let (_, certificate) = attestation.to_parts()?;
                let mut object = super::tlv::wrap(0x70, &certificate);
                object.extend([0x71, 1, 0, 0xfe, 0]);
                BTreeMap::from([(ATTESTATION_OBJECT, object)])
            }
            Make::Foreign => BTreeMap::from([(CHUID_OBJECT, chuid(profile.guid()))]),
        };
        Ok(Self {
            pin: Reference::factory(*b"123456\xff\xff", 3),
            puk: Reference::factory(*b"12345678", 3),
            management_key: ManagementKey::factory(profile.firmware),
            slots: BTreeMap::new(),
            objects,
            attestation,
        })
    }

    /// What RESET does: the factory's state, with the f9 certificate as it is now.
    ///
    /// # Errors
    /// When the f9 certificate can't be encoded.
    pub fn reset(&mut self, profile: &Profile) -> Result<(), CardError> {
        let certificate = self.objects.remove(&ATTESTATION_OBJECT);
        *self = Self::factory(profile, self.attestation.clone())?;
        self.objects.remove(&ATTESTATION_OBJECT);
        self.objects.extend(certificate.map(|object| (ATTESTATION_OBJECT, object)));
        Ok(())
    }

    /// Writes the state durably: a crash leaves the old file or the new one.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, path: &Path, serial: u32) -> Result<(), CardError> {
        let stored = Stored::from_state(self, serial)?;
        let text = serde_json::to_vec_pretty(&stored)
            .map_err(|source| CardError::State { path: path.to_owned(), source })?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(CardError::file(path))?;
        file.write_all(&text).map_err(CardError::file(path))?;
        file.persist(path).map_err(|error| error.error).map_err(CardError::file(path))?;
        Ok(())
    }

    /// Reads the state of the device with this serial number; `None` when there is no file yet.
    ///
    /// # Errors
    /// When the file can't be read, isn't a state, or is another device's.
    pub fn load(path: &Path, serial: u32) -> Result<Option<Self>, CardError> {
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(path).map_err(CardError::file(path))?;
        let stored: Stored = serde_json::from_slice(&text)
            .map_err(|source| CardError::State { path: path.to_owned(), source })?;
        if stored.serial != serial {
            return Err(CardError::OtherDevice {
                path: path.to_owned(),
                found: stored.serial,
                expected: serial,
            });
        }
        stored.into_state().map(Some)
    }
}

/// A CHUID (SP 800-73-4, part 1, table 9): the FASC-N of cards outside the federal scheme, the GUID, an expiry, no
/// signature.
fn chuid(guid: [u8; 16]) -> Vec<u8> {
    let mut object = super::tlv::wrap(0x30, &[0xd4; 25]);
    super::tlv::put(&mut object, 0x34, &guid);
    super::tlv::put(&mut object, 0x35, b"20991231");
    super::tlv::put(&mut object, 0x3e, &[]);
    super::tlv::put(&mut object, 0xfe, &[]);
    object
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    serial: u32,
    pin: Reference,
    puk: Reference,
    management_key: ManagementKey,
    slots: BTreeMap<u8, StoredSlot>,
    objects: BTreeMap<u32, Hex>,
    attestation_key: Hex,
    attestation_certificate: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSlot {
    key: Hex,
    generated: bool,
    pin_policy: PinPolicy,
    touch_policy: TouchPolicy,
}

/// Bytes written as hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hex(Vec<u8>);

impl Clone for Hex {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl From<Hex> for String {
    fn from(bytes: Hex) -> Self {
        hex::encode(bytes.0)
    }
}

impl Stored {
    fn from_state(state: &State, serial: u32) -> Result<Self, CardError> {
        let mut slots = BTreeMap::new();
        for (&number, slot) in &state.slots {
            let stored = StoredSlot {
                key: Hex(slot.key.to_pkcs8()?),
                generated: slot.generated,
                pin_policy: slot.pin_policy,
                touch_policy: slot.touch_policy,
            };
            slots.insert(number, stored);
        }
        let (key, certificate) = state.attestation.to_parts()?;
        Ok(Self {
            serial,
            pin: state.pin.clone(),
            puk: state.puk.clone(),
            management_key: state.management_key.clone(),
            slots,
            objects: state.objects.iter().map(|(tag, object)| (*tag, Hex(object.clone()))).collect(),
            attestation_key: Hex(key),
            attestation_certificate: Hex(certificate),
        })
    }

    fn into_state(self) -> Result<State, CardError> {
        let mut slots = BTreeMap::new();
        for (number, stored) in self.slots {
            let slot = Slot {
                key: PrivateKey::from_pkcs8(&stored.key.0)?,
                generated: stored.generated,
                pin_policy: stored.pin_policy,
                touch_policy: stored.touch_policy,
            };
            slots.insert(number, slot);
        }
        Ok(State {
            pin: self.pin,
            puk: self.puk,
            management_key: self.management_key,
            slots,
            objects: self.objects.into_iter().map(|(tag, object)| (tag, object.0)).collect(),
            attestation: AttestationKey::from_parts(
                &self.attestation_key.0,
                &self.attestation_certificate.0,
            )?,
        })
    }
}
