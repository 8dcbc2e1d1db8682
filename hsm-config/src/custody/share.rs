//! A share, opened: whose it is, and of what.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::sharing::Octets;
use crate::token::Pin;

/// Larger is no sealed content of ours.
const ROOM: usize = 1024;

/// One custodian's part of one generation's key. Wiped when dropped; `Debug` hides it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The set.
    pub set: String,
    /// The generation.
    pub generation: u32,
    /// Whose.
    pub custodian: String,
    /// The part itself.
    pub octets: Octets,
}

/// What the split key opens.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedPin {
    pub(super) set: String,
    pub(super) generation: u32,
    /// [`super::document::Document::digest`].
    pub(super) digest: String,
    #[serde(serialize_with = "write_pin", deserialize_with = "read_pin")]
    pub(super) pin: Pin,
}

/// JSON, wiped when dropped.
pub(super) fn to_json(content: &impl Serialize) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: a growing buffer would leave copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(ROOM));
    serde_json::to_writer(&mut *json, content).ok()?;
    Some(json)
}

fn write_pin<S: Serializer>(pin: &Pin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(pin.expose())
}

fn read_pin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pin, D::Error> {
    String::deserialize(deserializer).map(|text| Pin::new(text.into()))
}

/// A random PIN.
pub(super) fn random_pin(alphabet: &[u8], length: usize) -> Option<Pin> {
    let mut pin = Zeroizing::new(String::with_capacity(length));
    let mut octet = Zeroizing::new([0_u8]);
    // Octets beyond the last whole multiple would make the first characters likelier.
    let fair = 256 - 256 % alphabet.len();
    while pin.len() < length {
        aws_lc_rs::rand::fill(&mut *octet).ok()?;
        if usize::from(octet[0]) < fair {
            pin.push(char::from(alphabet[usize::from(octet[0]) % alphabet.len()]));
        }
    }
    Some(Pin::new(SecretString::from(pin.as_str())))
}

#[cfg(test)]
mod tests {
    use super::super::plan::Characters;
    use super::*;

    #[test]
    fn pins_are_random_and_of_the_alphabet() {
        for characters in [Characters::Alphanumeric, Characters::Digits] {
            let alphabet = characters.alphabet();
            let pin = random_pin(alphabet, 20).expect("a PIN");
            assert_eq!(pin.expose().len(), 20);
            assert!(pin.expose().bytes().all(|octet| alphabet.contains(&octet)));
            assert_ne!(pin.expose(), random_pin(alphabet, 20).expect("a PIN").expose());
        }
    }
}
