//! The kinds of key that users' certificates may have, and their stable names.

use ca_x509::KeyKind;

/// The kinds of key that users' certificates may have, best first.
pub const KEY_KINDS: [KeyKind; 5] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::Rsa { bits: 2048 },
    KeyKind::Rsa { bits: 3072 },
    KeyKind::Rsa { bits: 4096 },
];

/// The stable name of a kind of key.
pub fn key_name(key: KeyKind) -> String {
    match key {
        KeyKind::P256 => "p256".to_owned(),
        KeyKind::P384 => "p384".to_owned(),
        KeyKind::Rsa { bits } => format!("rsa{bits}"),
    }
}

/// Reads the stable name of a kind of key that users' certificates may have.
pub fn parse_key_name(name: &str) -> Option<KeyKind> {
    KEY_KINDS.into_iter().find(|key| key_name(*key) == name)
}
