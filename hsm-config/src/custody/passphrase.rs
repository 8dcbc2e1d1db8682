//! A custodian without a token: a passphrase, stretched by Argon2id (RFC 9106). How it was stretched stands in the sealed
//! file as the key's identifier, so that the `argon2` and `openssl` commands open a share as well.

use std::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::fill;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::envelope::Key;

/// The fewest characters of a passphrase.
pub const SHORTEST: usize = 16;
/// The fewest different characters.
const DIFFERENT: usize = 8;
/// More than RFC 9106's second recommendation, and a second's work on a small machine.
const MEMORY_KIB: u32 = 128 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// A share that asks for more was not written by this program: it would stop the machine.
const MOST_MEMORY_KIB: u32 = 2 * 1024 * 1024;
const MOST_PASSES: u32 = 32;

/// How a passphrase was stretched. As text: `argon2id m=131072,t=3,p=4 SALT`, in the terms of the `argon2` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretching {
    /// This text, as it stands.
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl fmt::Display for Stretching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argon2id m={},t={},p={} {}", self.memory_kib, self.passes, self.lanes, self.salt)
    }
}

impl FromStr for Stretching {
    type Err = StretchError;

    fn from_str(text: &str) -> Result<Self, StretchError> {
        let mut words = text.split(' ');
        let (Some("argon2id"), Some(costs), Some(salt), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(StretchError);
        };
        let mut costs = costs.split(',');
        let mut cost = |name: &str| {
            let value =
                costs.next().and_then(|cost| cost.strip_prefix(name)).and_then(|cost| cost.parse().ok());
            value.ok_or(StretchError)
        };
        Ok(Self { memory_kib: cost("m=")?, passes: cost("t=")?, lanes: cost("p=")?, salt: salt.to_owned() })
    }
}

/// A passphrase that isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassphrase {
    /// Too short.
    #[error("a passphrase has at least {SHORTEST} characters: five or six words that don't make a sentence")]
    Short,
    /// Too few different characters.
    #[error("the passphrase repeats itself: five or six words that don't make a sentence are better")]
    Monotonous,
    /// A row such as 0123456789abcdef.
    #[error("the passphrase is a row of characters: five or six words that don't make a sentence are better")]
    Row,
}

/// The stretching failed: not enough memory, or values that no share has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the passphrase can't be stretched: there isn't memory for it, or the set asks for what no share needs"
)]
pub struct StretchError;

/// Judges a passphrase that is to be used: at least [`SHORTEST`] characters, neither repeating nor a row. This is a
/// floor; the machine can't know a proverb.
///
/// # Errors
/// [`WeakPassphrase`].
pub(super) fn judge(passphrase: &SecretString) -> Result<(), WeakPassphrase> {
    let text = passphrase.expose_secret();
    if text.chars().count() < SHORTEST {
        return Err(WeakPassphrase::Short);
    }
    let mut different = Zeroizing::new(text.chars().collect::<Vec<_>>());
    let steps =
        different.windows(2).filter(|pair| u32::from(pair[0]).abs_diff(u32::from(pair[1])) == 1).count();
    if steps * 2 > different.len() {
        return Err(WeakPassphrase::Row);
    }
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT { Err(WeakPassphrase::Monotonous) } else { Ok(()) }
}

impl Stretching {
    /// With a fresh salt and the strength of today.
    pub(super) fn new() -> Result<Self, StretchError> {
        let mut salt = [0; 16];
        fill(&mut salt).map_err(|_| StretchError)?;
        Ok(Self { salt: hex::encode(salt), memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES })
    }

    /// For what is thrown away.
    pub(super) fn slight() -> Result<Self, StretchError> {
        Ok(Self { memory_kib: 64, passes: 1, lanes: 1, ..Self::new()? })
    }

    /// The key that a passphrase opens with.
    pub(super) fn key(&self, passphrase: &SecretString) -> Result<Key, StretchError> {
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES {
            return Err(StretchError);
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|_| StretchError)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose_secret().as_bytes(), self.salt.as_bytes(), &mut key[..])
            .map_err(|_| StretchError)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passphrases_are_told_why() {
        let judged = |text: &str| judge(&SecretString::from(text));
        assert_eq!(judged("correct horse"), Err(WeakPassphrase::Short));
        assert_eq!(judged("aaaaaaaaaaaaaaaaaaaaaa"), Err(WeakPassphrase::Monotonous));
        assert_eq!(judged("abababababababababab"), Err(WeakPassphrase::Row));
        assert_eq!(judged("abcdefghijklmnopqrst"), Err(WeakPassphrase::Row));
        assert_eq!(judged("glacier tuba onion kettle moss"), Ok(()));
        assert_eq!(judged("さくら 二十日 とけい 氷 つばめ 電車 あお"), Ok(()));
    }

    #[test]
    fn the_key_depends_on_passphrase_and_salt() {
        let stretching = Stretching::slight().expect("a salt");
        let key = |stretching: &Stretching, text: &str| *stretching.key(&text.into()).expect("stretched");
        assert_eq!(key(&stretching, "one"), key(&stretching, "one"));
        assert_ne!(key(&stretching, "one"), key(&stretching, "two"));
        assert_ne!(key(&stretching, "one"), key(&Stretching::slight().expect("a salt"), "one"));
        assert_eq!(stretching.to_string().parse(), Ok(stretching.clone()));
        for bad in ["", "argon2id", "scrypt m=1,t=1,p=1 s", "argon2id m=1,t=1 s", "argon2id m=x,t=1,p=1 s"] {
            assert_eq!(bad.parse::<Stretching>(), Err(StretchError), "{bad}");
        }
        let absurd = Stretching { memory_kib: u32::MAX, ..stretching };
        assert_eq!(absurd.key(&"one".into()).err(), Some(StretchError));
    }
}
