//! The words in which this crate speaks of TPMs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a user's key is: a number that people see, in the place of a card's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(u8);

impl Place {
    /// How many there are. TPMs have room for seven persistent objects at least (PC Client Platform TPM Profile).
    pub const COUNT: u8 = 16;

    /// Takes 1 to 16.
    pub fn new(number: u8) -> Option<Self> {
        (1..=Self::COUNT).contains(&number).then_some(Self(number))
    }

    /// All, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::COUNT).map(Self)
    }

    /// 1 to 16.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// NIST P-256.
    P256,
    /// RSA with 2048 bits.
    Rsa2048,
}

impl Algorithm {
    /// How such a key signs where nobody asks for something else.
    pub fn scheme(self) -> Scheme {
        match self {
            Self::P256 => Scheme::Ecdsa,
            Self::Rsa2048 => Scheme::Pkcs1,
        }
    }
}

/// How a digest is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA over this many octets of digest: 20, 32, 48 or 64.
    Ecdsa,
    /// RSASSA-PKCS1-v1_5 with the hash of the digest's size.
    Pkcs1,
    /// RSASSA-PSS with the hash of the digest's size.
    Pss,
}

/// Which TPM it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 over the endorsement key's `SubjectPublicKeyInfo`, in lower-case hexadecimal digits.
    pub serial: String,
    /// The maker's four letters, such as `IFX` or `INTC`.
    pub manufacturer: String,
    /// As the maker counts: four numbers with dots.
    pub firmware: String,
    /// The endorsement key's public area, `TPMT_PUBLIC`.
    pub ek_public: Vec<u8>,
    /// The maker's certificate of it, DER, where the TPM keeps one.
    pub ek_certificate: Option<Vec<u8>>,
}

#[cfg(any(target_os = "linux", windows))]
impl Identity {
    /// `TPM_PT_MANUFACTURER` (Part 2, 6.13) as text.
    pub(crate) fn letters(manufacturer: u32) -> String {
        manufacturer.to_be_bytes().into_iter().filter(u8::is_ascii_graphic).map(char::from).collect()
    }

    /// `TPM_PT_FIRMWARE_VERSION_1` and `_2`, two numbers in each.
    pub(crate) fn numbers(first: u32, second: u32) -> String {
        let halves = |number: u32| format!("{}.{}", number >> 16, number & 0xffff);
        format!("{}.{}", halves(first), halves(second))
    }
}

/// A user's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it is.
    pub place: Place,
    /// The persistent handle; it changes with the PIN.
    pub handle: u32,
    /// Its Name (Part 1, 16): the same as long as the key is.
    pub name: Vec<u8>,
    /// Its public area, `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// Its kind.
    pub algorithm: Algorithm,
    /// DER of its `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
}

/// `TPM2_Certify`'s answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certification {
    /// `TPMS_ATTEST`.
    pub info: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

/// The protection against guessing (Part 1, 19.8), which all protected keys of the TPM share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Failures that count.
    pub failed: u32,
    /// How many lock it.
    pub most: u32,
    /// Seconds until one is forgiven; 0 when none ever is.
    pub seconds: u32,
    /// Whether it is locked now.
    pub locked: bool,
}

impl Lockout {
    /// `inLockout` in `TPMA_PERMANENT` (Part 2, 8.6).
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) const FLAG: u32 = 1 << 9;

    /// Before it locks.
    pub fn tries_left(&self) -> u32 {
        if self.locked { 0 } else { self.most.saturating_sub(self.failed) }
    }
}
