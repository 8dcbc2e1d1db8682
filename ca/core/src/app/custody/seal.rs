//! The encryption of PUKs: AES-256-GCM under a key that is in a file of its own, never in the ledger. The associated data
//! are token, user and deposit, so that no row can take another's place. Keys have versions: the highest encrypts, all
//! decrypt.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    domain::custody::{KeptPuk, Sealed},
    ports::rng::Rng,
};

/// An AES-256 key's octets.
const KEY_LEN: usize = 32;

/// The custody keys by version; there is one at least.
pub struct CustodyKeys(BTreeMap<u32, LessSafeKey>);

/// Why a file holds no custody keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// Nothing in it.
    #[error("there is no key in it")]
    Empty,
    /// A line isn't a key. The line itself is never repeated.
    #[error("line {line} isn't a version from 1 on, a blank, and 32 octets in base64")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// Two lines have one version.
    #[error("version {version} stands there twice")]
    Twice {
        /// The version.
        version: u32,
    },
}

/// Why a PUK can't be had from what is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// The key's version isn't in the file.
    #[error("version {0} of the custody key isn't in the key file")]
    NoKey(u32),
    /// The row was changed, or it isn't that key.
    #[error("what is kept was not encrypted so under version {0} of the custody key")]
    Forged(u32),
}

impl fmt::Debug for CustodyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustodyKeys").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

impl CustodyKeys {
    /// Reads the key file: a line each, version and key; empty lines and those that begin with `#` don't count.
    ///
    /// # Errors
    /// [`BadKeys`].
    pub fn parse(text: &str) -> Result<Self, BadKeys> {
        let mut keys = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = BadKeys::Line { line: number };
            let (version, key) = line.trim().split_once(' ').ok_or_else(|| bad.clone())?;
            let version = version.parse().ok().filter(|version| *version > 0).ok_or_else(|| bad.clone())?;
            let octets = STANDARD.decode(key.trim()).map(Zeroizing::new).map_err(|_| bad.clone())?;
            let key = UnboundKey::new(&AES_256_GCM, &octets).map_err(|_| bad)?;
            if keys.insert(version, LessSafeKey::new(key)).is_some() {
                return Err(BadKeys::Twice { version });
            }
        }
        if keys.is_empty() { Err(BadKeys::Empty) } else { Ok(Self(keys)) }
    }

    /// A line of the key file with a fresh key.
    pub fn fresh_line(version: u32, rng: &dyn Rng) -> SecretString {
        let octets = Zeroizing::new(rng.bytes::<KEY_LEN>());
        format!("{version} {}", STANDARD.encode(*octets)).into()
    }

    /// The version that encrypts.
    pub fn newest(&self) -> u32 {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    /// The versions that decrypt.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// Encrypts the PUK of `kept`, of which token, user and deposit count. `None` only when the library refuses.
    pub(super) fn seal(&self, puk: &SecretString, kept: &KeptPuk, rng: &dyn Rng) -> Option<Sealed> {
        let (version, key) = self.0.last_key_value()?;
        let nonce: [u8; NONCE_LEN] = rng.bytes();
        let mut octets = Zeroizing::new(puk.expose_secret().as_bytes().to_vec());
        // Room for the tag, so that no copy of the PUK is left behind.
        octets.reserve_exact(AES_256_GCM.tag_len());
        let aad = Aad::from(associated(kept));
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut *octets).ok()?;
        Some(Sealed { key_version: *version, nonce, octets: octets.to_vec() })
    }

    /// The PUK of `kept`.
    pub(super) fn open(&self, kept: &KeptPuk) -> Result<SecretString, Unsealable> {
        let Sealed { key_version, nonce, octets } = &kept.sealed;
        let key = self.0.get(key_version).ok_or(Unsealable::NoKey(*key_version))?;
        let mut octets = Zeroizing::new(octets.clone());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::from(associated(kept)), &mut octets);
        let plain = plain.map_err(|_| Unsealable::Forged(*key_version))?;
        let text = std::str::from_utf8(plain).map_err(|_| Unsealable::Forged(*key_version))?;
        Ok(text.into())
    }
}

/// Token, user and deposit, none of which has a NUL.
fn associated(kept: &KeptPuk) -> Vec<u8> {
    let (device, user, deposit) = (&kept.device, kept.user.as_str(), kept.deposit.to_string());
    let parts = ["inro-puk-v1", device.kind.as_str(), device.serial.as_str(), user, &deposit];
    parts.join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            device::{Device, DeviceKind},
            ids::{TokenSerial, UserId},
        },
        testing::rng::CountingRng,
    };

    const FILE: &str = "# custody\n1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\
                        2 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

    fn kept(serial: &str, user: &str, deposit: u128) -> KeptPuk {
        KeptPuk {
            deposit: Uuid::from_u128(deposit),
            device: Device {
                kind: DeviceKind::YubiKeyPiv,
                serial: TokenSerial::parse(serial).expect("a serial"),
            },
            user: UserId::parse(user).expect("an ID"),
            sealed: Sealed { key_version: 0, nonce: [0; 12], octets: Vec::new() },
            deposited_at: Timestamp::UNIX_EPOCH,
            confirmed_at: None,
        }
    }

    fn sealed(keys: &CustodyKeys, kept: &KeptPuk) -> KeptPuk {
        let sealed = keys.seal(&"k3pt-puk".into(), kept, &CountingRng::default()).expect("sealed");
        KeptPuk { sealed, ..kept.clone() }
    }

    #[test]
    fn the_newest_key_encrypts_and_every_one_decrypts() {
        let keys = CustodyKeys::parse(FILE).expect("keys");
        let old = CustodyKeys::parse(FILE.split_once("\n2").expect("two keys").0).expect("a key");
        assert_eq!((keys.newest(), old.newest()), (2, 1));
        let (new_row, old_row) = (kept("111", "hokkai-01", 1), kept("111", "hokkai-01", 2));
        let (new_row, old_row) = (sealed(&keys, &new_row), sealed(&old, &old_row));
        for row in [&new_row, &old_row] {
            assert_eq!(keys.open(row).expect("the PUK").expose_secret(), "k3pt-puk");
            assert!(!row.sealed.octets.windows(4).any(|part| part == b"k3pt"));
        }
        assert_eq!(old.open(&new_row).err(), Some(Unsealable::NoKey(2)));
        assert!(!format!("{keys:?}").contains("AQEB"));
    }

    #[test]
    fn no_row_takes_anothers_place() {
        let keys = CustodyKeys::parse(FILE).expect("keys");
        let row = sealed(&keys, &kept("111", "hokkai-01", 1));
        for other in [kept("112", "hokkai-01", 1), kept("111", "hokkai-02", 1), kept("111", "hokkai-01", 2)] {
            let moved = KeptPuk { sealed: row.sealed.clone(), ..other };
            assert_eq!(keys.open(&moved).err(), Some(Unsealable::Forged(2)), "{moved:?}");
        }
        let mut changed = row;
        changed.sealed.octets[0] ^= 1;
        assert_eq!(keys.open(&changed).err(), Some(Unsealable::Forged(2)));
    }

    #[test]
    fn a_bad_file_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("# nothing\n", BadKeys::Empty),
            ("0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", BadKeys::Line { line: 1 }),
            ("\n1 AAAA", BadKeys::Line { line: 2 }),
            ("1", BadKeys::Line { line: 1 }),
        ] {
            assert_eq!(CustodyKeys::parse(text).err(), Some(expected), "{text}");
        }
        let twice = FILE.replace("\n2", "\n1");
        assert_eq!(CustodyKeys::parse(&twice).err(), Some(BadKeys::Twice { version: 1 }));
    }
}
