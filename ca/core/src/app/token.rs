//! Random tokens that a client keeps and the ledger knows only by hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// 32 octets as the client sees them: base64url without padding.
pub(super) fn encode(octets: &[u8; 32]) -> SecretString {
    URL_SAFE_NO_PAD.encode(octets).into()
}

/// SHA-256 of the octets behind the text; `None` when it isn't such a text.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    let octets: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(Sha256::digest(octets).into())
}

/// Whether `text` is the token with this hash, in constant time.
pub(super) fn matches(text: &str, expected_sha256: &[u8; 32]) -> bool {
    sha256(text).is_some_and(|found| bool::from(found.ct_eq(expected_sha256)))
}
