//! What `inro-hsm doctor`, `bench` and `keys` ask a worker to look at, and what it saw. Data only.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::token::KeyId;
use crate::vendor::PointEncoding;

/// What to look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Look {
    /// The library. Answer: [`Seen::Library`].
    Library,
    /// The token in a slot, without logging in. Answer: [`Seen::Token`].
    Token {
        /// The slot.
        slot: u64,
    },
    /// Some of the token's randomness; needs a login. Answer: [`Seen::Random`].
    Random {
        /// How much, at most 64 KiB.
        octets: u32,
    },
    /// All keys and certificates on the token; needs a login. Answer: [`Seen::Objects`].
    Objects,
    /// How the token gives an elliptic key's point; needs a login. Answer: [`Seen::Point`].
    Point {
        /// The key.
        key: KeyId,
    },
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// The library.
    Library(Library),
    /// A token.
    Token(Box<TokenState>),
    /// Randomness.
    Random(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Objects, in the token's order.
    Objects(Vec<Object>),
    /// A point's encoding; `None` for a key that has no point.
    Point(Option<PointEncoding>),
}

/// `C_GetInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Version of PKCS#11 that it follows, `major.minor`.
    pub cryptoki: String,
    /// Who made it.
    pub manufacturer: String,
    /// What it is.
    pub description: String,
    /// Its own version, `major.minor`.
    pub version: String,
}

/// `C_GetTokenInfo`, as far as it isn't in [`TokenDescription`](crate::token::TokenDescription).
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the standard's")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenState {
    /// `CKF_RNG`.
    pub rng: bool,
    /// `CKF_WRITE_PROTECTED`.
    pub write_protected: bool,
    /// `CKF_LOGIN_REQUIRED`.
    pub login_required: bool,
    /// `CKF_USER_PIN_INITIALIZED`.
    pub user_pin_initialised: bool,
    /// `CKF_PROTECTED_AUTHENTICATION_PATH`.
    pub protected_path: bool,
    /// `CKF_USER_PIN_COUNT_LOW`: a wrong one was given since the last right one.
    pub user_pin_count_low: bool,
    /// `CKF_USER_PIN_FINAL_TRY`: the next wrong one locks it.
    pub user_pin_final_try: bool,
    /// `CKF_USER_PIN_LOCKED`.
    pub user_pin_locked: bool,
    /// `CKF_USER_PIN_TO_BE_CHANGED`.
    pub user_pin_to_be_changed: bool,
    /// `CKF_SO_PIN_LOCKED`.
    pub so_pin_locked: bool,
    /// `CKF_ERROR_STATE`.
    pub error_state: bool,
    /// Sessions at most, over all programs; `None` when there is no limit or the token doesn't tell.
    pub most_sessions: Option<u64>,
    /// Sessions open now, this program's; `None` when it doesn't tell.
    pub sessions: Option<u64>,
    /// Bytes of a PIN at least.
    pub shortest_pin: u64,
    /// Bytes of a PIN at most.
    pub longest_pin: u64,
    /// The token's clock, UTC, where it has one.
    pub clock: Option<DateTime>,
}

/// A key or certificate on a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its kind.
    pub kind: ObjectKind,
    /// `CKA_ID` in hexadecimal, empty when it has none.
    pub id: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_KEY_TYPE` of a key, by its standard name.
    pub key_type: Option<String>,
    /// `CKA_VALUE` of a certificate.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// Kinds of [`Object`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// A private key.
    PrivateKey,
    /// A public key.
    PublicKey,
    /// A secret key.
    SecretKey,
    /// A certificate.
    Certificate,
}
