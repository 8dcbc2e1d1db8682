//! Acquisition codes (取得用コード): 20 symbols of Crockford's Base32, 100 random bits, printed in groups of five. People
//! copy them from paper, so reading them forgives what eyes confuse: O for 0, I and L for 1, case, hyphens, blanks,
//! full-width forms.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS: usize = 20;
const GROUP: usize = 5;

/// A code out of 20 random octets, of which five bits each are used: `XXXXX-XXXXX-XXXXX-XXXXX`.
pub fn from_random(random: &[u8; SYMBOLS]) -> SecretString {
    let mut text = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
    for (index, octet) in random.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(octet & 31)]));
    }
    text.into()
}

/// SHA-256 of the code as people type it; `None` when it can't be one.
pub fn sha256(typed: &SecretString) -> Option<[u8; 32]> {
    let mut normal = Zeroizing::new(String::with_capacity(SYMBOLS * 4));
    for symbol in typed.expose_secret().chars().filter(|c| !is_separator(*c)) {
        if normal.len() == SYMBOLS {
            return None;
        }
        normal.push(symbol_of(symbol)?);
    }
    (normal.len() == SYMBOLS).then(|| Sha256::digest(normal.as_bytes()).into())
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '‐' | '−' | '－' | 'ー')
}

fn symbol_of(c: char) -> Option<char> {
    let narrow = match c {
        '！'..='～' => char::from_u32(u32::from(c) - 0xfee0)?,
        other => other,
    };
    let symbol = match narrow.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().any(|a| char::from(*a) == symbol).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Option<[u8; 32]> {
        sha256(&text.to_owned().into())
    }

    #[test]
    fn a_code_is_read_as_people_copy_it() {
        let random: [u8; 20] = std::array::from_fn(|i| u8::try_from(i * 37 % 256).expect("an octet"));
        let code = from_random(&random);
        let text = code.expose_secret();
        assert_eq!(text.len(), 23);
        assert_eq!(text.matches('-').count(), 3);
        let expected = sha256(&code).expect("a code");
        let wide: String = text
            .chars()
            .map(|c| if c == '-' { '－' } else { char::from_u32(u32::from(c) + 0xfee0).expect("full width") })
            .collect();
        for typed in [text.to_lowercase(), text.replace('-', ""), text.replace('-', " "), wide] {
            assert_eq!(hash(&typed), Some(expected), "{typed}");
        }
        assert_eq!(hash("OIL00-00000-00000-00000"), hash("01100-00000-00000-00000"));
    }

    #[test]
    fn what_is_no_code_has_no_hash() {
        for bad in ["", "0", "00000-00000-00000-0000", "00000-00000-00000-000000", "U0000-00000-00000-00000"]
        {
            assert_eq!(hash(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_symbol_occurs() {
        let all: std::collections::BTreeSet<char> = (0..=255_u8)
            .flat_map(|octet| from_random(&[octet; 20]).expose_secret().chars().collect::<Vec<_>>())
            .filter(|c| *c != '-')
            .collect();
        assert_eq!(all.len(), 32);
    }
}
