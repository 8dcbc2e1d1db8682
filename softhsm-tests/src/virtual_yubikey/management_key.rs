//! The management key: its ciphers, and authentication with it, one-sided and mutual.

use aes::{
    Aes128, Aes192, Aes256,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};
use des::TdesEde3;
use serde::{Deserialize, Serialize};

use super::{
    profile::Firmware,
    status::{Outcome, Status},
    tlv,
};

/// The key that every device leaves the factory with.
const FACTORY_KEY: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// Cipher of a management key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Cipher {
    /// Three-key triple DES.
    TripleDes = 0x03,
    /// AES-128.
    Aes128 = 0x08,
    /// AES-192.
    Aes192 = 0x0a,
    /// AES-256.
    Aes256 = 0x0c,
}

impl Cipher {
    /// From the algorithm byte of a command, if this firmware knows it.
    pub fn from_byte(byte: u8, firmware: Firmware) -> Option<Self> {
        let cipher = match byte {
            0x00 | 0x03 => return Some(Self::TripleDes),
            0x08 => Self::Aes128,
            0x0a => Self::Aes192,
            0x0c => Self::Aes256,
            _ => return None,
        };
        (firmware >= Firmware::AES_MANAGEMENT_KEY).then_some(cipher)
    }

    fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn block_length(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

/// A management key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementKey {
    /// Its cipher.
    pub cipher: Cipher,
    /// Whether a touch is asked for.
    pub touch: bool,
    key: Vec<u8>,
}

impl std::fmt::Debug for ManagementKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManagementKey({:?})", self.cipher)
    }
}

impl ManagementKey {
    /// The factory's key, in the cipher that this firmware starts with.
    pub fn factory(firmware: Firmware) -> Self {
        let cipher = if firmware >= Firmware::LARGE_RSA { Cipher::Aes192 } else { Cipher::TripleDes };
        Self { cipher, touch: false, key: FACTORY_KEY.to_vec() }
    }

    /// A key of the length that the cipher takes.
    pub fn new(cipher: Cipher, key: &[u8], touch: bool) -> Option<Self> {
        (key.len() == cipher.key_length()).then(|| Self { cipher, touch, key: key.to_vec() })
    }

    /// Whether this is still the factory's.
    pub fn is_factory(&self) -> bool {
        self.key == FACTORY_KEY
    }

    fn block(&self, input: &[u8], encrypt: bool) -> Outcome {
        macro_rules! run {
            ($cipher:ty) => {{
                let cipher = <$cipher>::new_from_slice(&self.key).map_err(|_| Status::INTERNAL)?;
                let mut block = input.try_into().map_err(|_| Status::WRONG_DATA)?;
                if encrypt {
                    cipher.encrypt_block(&mut block)
                } else {
                    cipher.decrypt_block(&mut block)
                }
                Ok(block.to_vec())
            }};
        }
        match self.cipher {
            Cipher::TripleDes => run!(TdesEde3),
            Cipher::Aes128 => run!(Aes128),
            Cipher::Aes192 => run!(Aes192),
            Cipher::Aes256 => run!(Aes256),
        }
    }
}

/// What the card is waiting for in the middle of an authentication.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The host's encryption of this challenge.
    Response(Vec<u8>),
    /// The host's decryption of a witness, which is this.
    Witness(Vec<u8>),
}

/// What a step led to.
#[derive(Debug)]
pub(super) enum Step {
    /// Another step must follow.
    Continue(Waiting, Vec<u8>),
    /// The host knows the key.
    Authenticated(Vec<u8>),
}

/// One step of GENERAL AUTHENTICATE with key reference 9B; `data` is what stands inside of tag 7C.
pub(super) fn authenticate(
    key: &ManagementKey,
    waiting: Option<Waiting>,
    data: &[u8],
) -> Result<Step, Status> {
    let elements = tlv::all(data).ok_or(Status::WRONG_DATA)?;
    let witness = tlv::find(&elements, 0x80);
    let challenge = tlv::find(&elements, 0x81);
    let response = tlv::find(&elements, 0x82).filter(|value| !value.is_empty());
    match (waiting, witness, challenge, response) {
        (_, Some([]), _, None) => {
            let plain = random_block(key);
            let encrypted = key.block(&plain, true)?;
            Ok(Step::Continue(Waiting::Witness(plain), template(0x80, &encrypted)))
        }
        (_, None, Some([]), None) => {
            let challenge = random_block(key);
            let answer = template(0x81, &challenge);
            Ok(Step::Continue(Waiting::Response(challenge), answer))
        }
        (Some(Waiting::Witness(plain)), Some(shown), Some(challenge), None) if plain == shown => {
            Ok(Step::Authenticated(template(0x82, &key.block(challenge, true)?)))
        }
        (Some(Waiting::Response(challenge)), None, None, Some(shown))
            if key.block(&challenge, true)? == shown =>
        {
            Ok(Step::Authenticated(Vec::new()))
        }
        (Some(_), ..) => Err(Status::SECURITY_NOT_SATISFIED),
        (None, ..) => Err(Status::WRONG_DATA),
    }
}

fn random_block(key: &ManagementKey) -> Vec<u8> {
    let bytes: [u8; 16] = rand::random();
    bytes[..key.cipher.block_length()].to_vec()
}

fn template(tag: u16, value: &[u8]) -> Vec<u8> {
    tlv::wrap(0x7c, &tlv::wrap(tag, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<ManagementKey> {
        [Cipher::TripleDes, Cipher::Aes128, Cipher::Aes192, Cipher::Aes256]
            .into_iter()
            .map(|cipher| {
                let bytes: Vec<u8> = (0..32).take(cipher.key_length()).collect();
                ManagementKey::new(cipher, &bytes, false).expect("of the right length")
            })
            .collect()
    }

    fn begin(key: &ManagementKey, tag: u16) -> (Waiting, Vec<u8>) {
        match authenticate(key, None, &tlv::wrap(tag, &[])).expect("begun") {
            Step::Continue(waiting, answer) => (waiting, answer[4..].to_vec()),
            Step::Authenticated(_) => panic!("authenticated by nothing"),
        }
    }

    #[test]
    fn whoever_has_the_key_gets_in_and_nobody_else() {
        for key in keys() {
            let stranger = ManagementKey { key: vec![0x5a; key.key.len()], ..key.clone() };
            for (host, right) in [(&key, true), (&stranger, false)] {
                let (waiting, challenge) = begin(&key, 0x81);
                let response = host.block(&challenge, true).expect("encrypted");
                let step = authenticate(&key, Some(waiting), &tlv::wrap(0x82, &response));
                assert_eq!(matches!(step, Ok(Step::Authenticated(_))), right, "{:?}", key.cipher);

                let (waiting, witness) = begin(&key, 0x80);
                let challenge = vec![7; witness.len()];
                let mut data = tlv::wrap(0x80, &host.block(&witness, false).expect("decrypted"));
                tlv::put(&mut data, 0x81, &challenge);
                let step = authenticate(&key, Some(waiting), &data);
                assert_eq!(matches!(step, Ok(Step::Authenticated(_))), right, "{:?}", key.cipher);
                if let Ok(Step::Authenticated(answer)) = step {
                    assert_eq!(answer[4..], key.block(&challenge, true).expect("encrypted"));
                }
            }
        }
    }

    #[test]
    fn a_second_step_without_a_first_is_refused() {
        for key in keys() {
            let block = vec![0; key.cipher.block_length()];
            let mut data = tlv::wrap(0x80, &block);
            tlv::put(&mut data, 0x81, &block);
            assert!(authenticate(&key, None, &data).is_err());
            assert!(authenticate(&key, None, &tlv::wrap(0x82, &block)).is_err());
            assert!(authenticate(&key, None, &[]).is_err());
        }
    }
}
