//! Which PIN a login gives to which token: known again wherever it comes from, and not to be read.
//!
//! A PIN is known by its mark, which is argon2id (RFC 9106) of it with a random salt that never leaves the latch's
//! folder. So a credential that the service manager unpacks anew at each start, and its copy in another service, are the
//! same PIN; a file that is rewritten with a wrong PIN once more is the same wrong PIN.
//!
//! Whoever reads the folder can try PINs against a mark without the token, which counts no such try. Where the PIN is in
//! a file the same account can read, that gives nothing. Where it is a sealed credential or custodians', a stolen disk
//! holds no PIN, and a mark costs a guess about 50 ms and 32 MiB: a PIN of ten random characters stays out of reach, six
//! digits don't. So the folder has mode 0700, isn't in backups, and such a PIN is long and random; what
//! `inro-hsm custody` makes is both.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::token::{Pin, TokenDescription};

/// Octets of a salt.
pub(super) const SALT: usize = 16;
const MEMORY_KIB: u32 = 32 * 1024;
const PASSES: u32 = 3;
const OCTETS: usize = 16;

/// What a PIN is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Nobody here saw it: the token asked for it itself. Each time it may be another.
    Unseen,
    /// argon2id of it, hexadecimal.
    Argon2id(String),
}

/// A login to a token with a PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    token: String,
    mark: Mark,
}

impl Mark {
    /// Takes about 50 ms and 32 MiB.
    pub(super) fn of(pin: &Pin, salt: &[u8]) -> Result<Self, argon2::Error> {
        if pin.is_at_the_token() {
            return Ok(Self::Unseen);
        }
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(OCTETS))?;
        let mut mark = [0; OCTETS];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            pin.expose().as_bytes(),
            salt,
            &mut mark,
        )?;
        Ok(Self::Argon2id(hex::encode(mark)))
    }
}

impl Attempt {
    /// A login to the token that described itself so. Another with the same label is another token.
    pub fn new(token: &TokenDescription, mark: Mark) -> Self {
        let token = format!("{}, {}, serial number {}", token.manufacturer, token.model, token.serial);
        Self { token, mark }
    }

    /// Whether it gives a PIN that another gave, for all that can be known.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.mark != Mark::Unseen && self == other
    }
}
