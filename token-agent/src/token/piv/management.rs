//! Authenticating with the card management key (key reference 9B): the host encrypts the card's challenge (SP 800-73-4,
//! part 2, A.1: external authenticate).
//!
//! How the key is changed is each maker's own affair, so it stays as it is.

use aes::{
    Aes128, Aes192, Aes256,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use des::TdesEde3;

use super::application::Application;
use crate::token::{ManagementKey, TokenError};

const REFERENCE: u8 = 0x9b;
const CHALLENGE: u8 = 0x81;
const RESPONSE: u8 = 0x82;

/// The ciphers of SP 800-78-4, table 6-2, and what they are called there.
#[derive(Clone, Copy)]
enum Cipher {
    TripleDes = 0x03,
    Aes128 = 0x08,
    Aes192 = 0x0a,
    Aes256 = 0x0c,
}

impl Cipher {
    /// What a key of this length can be for.
    fn of_length(octets: usize) -> &'static [Self] {
        match octets {
            16 => &[Self::Aes128],
            24 => &[Self::TripleDes, Self::Aes192],
            32 => &[Self::Aes256],
            _ => &[],
        }
    }

    fn encrypt(self, key: &[u8], block: &[u8]) -> Option<Vec<u8>> {
        macro_rules! encrypted {
            ($cipher:ty) => {{
                let mut block = block.try_into().ok()?;
                <$cipher>::new_from_slice(key).ok()?.encrypt_block(&mut block);
                Some(block.to_vec())
            }};
        }
        match self {
            Self::TripleDes => encrypted!(TdesEde3),
            Self::Aes128 => encrypted!(Aes128),
            Self::Aes192 => encrypted!(Aes192),
            Self::Aes256 => encrypted!(Aes256),
        }
    }
}

/// Authenticates with the key, in whichever cipher the card has it.
///
/// # Errors
/// [`TokenError::ManagementKeyUnknown`] when it isn't the card's.
pub(super) fn authenticate(card: &mut Application, key: &ManagementKey) -> Result<(), TokenError> {
    for cipher in Cipher::of_length(key.expose().len()) {
        if attempt(card, *cipher, key)? {
            return Ok(());
        }
    }
    Err(TokenError::ManagementKeyUnknown)
}

/// False when the card has no key of this cipher, or another one.
fn attempt(card: &mut Application, cipher: Cipher, key: &ManagementKey) -> Result<bool, TokenError> {
    let action = "check the management key";
    let challenge = match card.authenticate(action, cipher as u8, REFERENCE, &[(CHALLENGE, &[])]) {
        Ok(challenge) => challenge,
        Err(TokenError::Status { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let response = cipher.encrypt(key.expose(), &challenge).ok_or(TokenError::Malformed(action))?;
    let answer = card.try_authenticate(action, cipher as u8, REFERENCE, &[(RESPONSE, &response)])?;
    Ok(answer.status == 0x9000)
}
