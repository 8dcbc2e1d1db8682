//! The words in which the agent speaks of tokens.

use std::fmt;

use ca_wire::{Base64Url, enrolment::Evidence};
use ca_x509::{KeyKind, SignatureAlgorithm};
use der::{Decode, Encode};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;
use zeroize::Zeroizing;

/// The kinds of token, as the CA's API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A YubiKey's PIV application.
    YubiKeyPiv,
    /// Another maker's PIV card.
    Piv,
    /// A token behind a vendor's PKCS#11 module.
    Pkcs11,
}

impl Kind {
    /// The name in the CA's API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::YubiKeyPiv => "yubikey-piv",
            Self::Piv => "piv",
            Self::Pkcs11 => "pkcs11",
        }
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::YubiKeyPiv => "YubiKey",
            Self::Piv => "PIV card",
            Self::Pkcs11 => "PKCS#11 token",
        }
    }
}

/// A firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Firmware {
    pub(crate) major: u8,
    pub(crate) minor: u8,
    pub(crate) patch: u8,
}

impl Firmware {
    /// What is said of a token that has no firmware version.
    pub(crate) const NONE: Self = Self::new(0, 0, 0);
    /// The first whose attestations carry the serial number.
    pub(crate) const OLDEST: Self = Self::new(5, 0, 0);
    /// The first without the side channel of advisory YSA-2024-03 in its elliptic-curve signatures, with RSA-3072 and
    /// 4096, AES management keys by default, and keys that can be moved and deleted.
    pub(crate) const V5_7: Self = Self::new(5, 7, 0);

    pub(crate) const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// Whether a YubiKey of this firmware generates such keys, and they are safe to use.
    pub(crate) fn suits(self, algorithm: KeyAlgorithm) -> bool {
        match algorithm {
            KeyAlgorithm::Rsa2048 => self >= Self::OLDEST,
            _ => self >= Self::V5_7,
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Which token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenIdentity {
    pub(crate) kind: Kind,
    /// What the bank knows it by. A YubiKey's serial number as printed on it, decimal; of a PIV card `guid:` and the GUID
    /// in its CHUID; of a PKCS#11 token its maker and number.
    pub(crate) serial: String,
    /// `None` where the kind has none that matters.
    pub(crate) firmware: Option<Firmware>,
    /// The name of the reader it is in.
    pub(crate) reader: String,
}

impl TokenIdentity {
    /// What people call it, with its firmware.
    pub(crate) fn model(&self) -> String {
        let name = self.kind.name();
        self.firmware.map_or_else(|| name.to_owned(), |firmware| format!("{name} {firmware}"))
    }
}

/// A reader with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) state: ReaderState,
}

/// What is in a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReaderState {
    Empty,
    Token(TokenIdentity),
    /// A card that isn't a YubiKey with PIV.
    Foreign,
    /// Another program holds it exclusively.
    Busy,
    /// It doesn't answer.
    Mute,
}

/// A PIV key slot, written as two hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(u8);

impl Slot {
    /// The slot of the attestation key, which no command touches.
    pub(crate) const ATTESTATION: Self = Self(0xf9);

    /// Reads `9a`, `9c`, `9d`, `9e` or `82` to `95`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 2)?;
        Self::all().find(|slot| slot.0 == number)
    }

    /// Every slot that holds a person's key, those with a defined use first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [0x9a, 0x9c, 0x9d, 0x9e].into_iter().chain(0x82..=0x95).map(Self)
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

/// The kinds of key that tokens generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAlgorithm {
    P256,
    P384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl KeyAlgorithm {
    const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The name in the CA's API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// The algorithm of a public key, when it is one that tokens generate.
    pub(crate) fn of_public_key(key: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        KeyKind::of(key).ok().and_then(Self::of)
    }

    /// The same of a kind.
    pub(crate) fn of(kind: KeyKind) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.kind() == kind)
    }

    fn kind(self) -> KeyKind {
        match self {
            Self::P256 => KeyKind::P256,
            Self::P384 => KeyKind::P384,
            Self::Rsa2048 => KeyKind::Rsa { bits: 2048 },
            Self::Rsa3072 => KeyKind::Rsa { bits: 3072 },
            Self::Rsa4096 => KeyKind::Rsa { bits: 4096 },
        }
    }

    /// What such a key signs with.
    pub(crate) fn signature(self) -> SignatureAlgorithm {
        SignatureAlgorithm::for_key(self.kind())
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When the token asks for its PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinPolicy {
    Once,
    Always,
}

impl PinPolicy {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "once" => Some(Self::Once),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// When the token asks to be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TouchPolicy {
    Never,
    Always,
    Cached,
}

impl TouchPolicy {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::Never),
            "always" => Some(Self::Always),
            "cached" => Some(Self::Cached),
            _ => None,
        }
    }
}

/// What is asked of a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeySpec {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
}

/// The state of the token's PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PinStatus {
    /// Whether it is the factory's; `None` where the firmware can't say (before 5.3).
    pub(crate) factory: Option<bool>,
    /// 0 when it is blocked.
    pub(crate) tries_left: u8,
}

/// Where the management key that worked came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManagementKeyOrigin {
    /// It is still the factory's.
    Factory,
    /// It is kept on the token under the PIN.
    Protected,
    /// The caller gave it.
    Given,
    /// It is the factory's on a token whose key the agent can't change.
    Unchangeable,
    /// The token has none: the PIN permits everything.
    NotNeeded,
}

/// A management key's octets.
pub(crate) struct ManagementKey(Zeroizing<Vec<u8>>);

impl ManagementKey {
    /// Takes 16, 24 or 32 octets: the lengths of AES-128, of AES-192 and triple DES, and of AES-256.
    pub(crate) fn new(octets: Zeroizing<Vec<u8>>) -> Option<Self> {
        matches!(octets.len(), 16 | 24 | 32).then_some(Self(octets))
    }

    /// The one that PIV cards leave the factory with.
    pub(crate) fn factory() -> Self {
        Self::of_24(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// Takes the octets of a triple-DES or AES-192 key.
    pub(crate) fn of_24(octets: &[u8; 24]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotState {
    /// DER, as stored; it may be anything that somebody wrote there.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) key: KeyPresence,
}

impl SlotState {
    pub(crate) fn is_free(&self) -> bool {
        self.certificate.is_none() && !matches!(self.key, KeyPresence::Present { .. })
    }
}

/// Whether a slot holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyPresence {
    Absent,
    Present {
        /// `None` when it is of a kind that the agent doesn't use.
        algorithm: Option<KeyAlgorithm>,
        /// Whether it was generated on the token.
        generated: bool,
    },
    /// A key that was generated over a destroyed one, see [`super::Token::destroy_key`].
    Destroyed,
    /// The firmware can't say (before 5.3), and there is no attestation either: no key, or an imported one.
    Unknown,
}

/// What a token says of a key that was generated on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attestation {
    /// A YubiKey's maker vouches for it.
    YubiKeyPiv {
        /// The slot's attestation certificate, DER.
        slot: Vec<u8>,
        /// The certificate of the token's attestation key (f9), DER.
        f9: Vec<u8>,
    },
    /// Nobody vouches for it.
    Asserted {
        /// The DER of the key's `SubjectPublicKeyInfo`.
        public_key: Vec<u8>,
    },
}

impl Attestation {
    /// The DER of the key's `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// When the attestation can't be read.
    pub(crate) fn public_key(&self) -> der::Result<Vec<u8>> {
        match self {
            Self::YubiKeyPiv { slot, .. } => {
                Certificate::from_der(slot)?.tbs_certificate().subject_public_key_info().to_der()
            }
            Self::Asserted { public_key } => Ok(public_key.clone()),
        }
    }

    /// What the CA is shown, where that doesn't depend on the enrolment.
    pub(crate) fn evidence(&self) -> Evidence {
        match self {
            Self::YubiKeyPiv { slot, f9 } => Evidence::YubikeyPiv {
                slot: Base64Url(slot.clone()),
                f9: Base64Url(f9.clone()),
                intermediates: Vec::new(),
            },
            Self::Asserted { .. } => Evidence::Asserted {},
        }
    }
}

/// What names the content of a PIV card to Windows. Every change of content comes with new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifiers {
    /// The GUID of the CHUID.
    pub(crate) guid: [u8; 16],
    /// The card identifier of the CCC.
    pub(crate) card_id: [u8; 14],
    /// The CHUID's expiry, `YYYYMMDD`.
    pub(crate) expiry: [u8; 8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_two_hexadecimal_digits_of_a_key_slot() {
        for good in ["9a", "9c", "9d", "9e", "82", "95"] {
            assert_eq!(Slot::parse(good).map(|slot| slot.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "9", "9b", "f9", "80", "96", "+9a", "9a ", "09a", "auth"] {
            assert_eq!(Slot::parse(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn old_firmware_is_for_rsa_2048_only() {
        let (old, new) = (Firmware::new(5, 4, 3), Firmware::new(5, 7, 0));
        assert!(old.suits(KeyAlgorithm::Rsa2048) && new.suits(KeyAlgorithm::Rsa2048));
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa4096] {
            assert!(!old.suits(algorithm) && new.suits(algorithm), "{algorithm}");
        }
        assert!(!Firmware::new(4, 3, 7).suits(KeyAlgorithm::Rsa2048));
    }
}
