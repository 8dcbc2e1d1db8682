//! Looking at a module, a token and what is on it, for `inro-hsm doctor`, `bench` and `keys`. Nothing here changes
//! anything or touches a private key.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::Session;
use cryptoki::slot::{Limit, Slot, TokenInfo};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::key_store;
use super::module::Module;
use super::protocol::{CommandError, ErrorClass};
use crate::token::KeyId;
use crate::vendor::PointEncoding;

/// Octets of randomness at most.
const MAX_RANDOM: u32 = 64 * 1024;

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

/// Looks. The session is the lane's, where there was a login.
pub(super) fn look(module: &Module, session: Option<&Session>, what: Look) -> Result<Seen, CommandError> {
    let logged_in = || {
        session.ok_or_else(|| {
            CommandError::own(ErrorClass::Fail, "NOT_LOGGED_IN", "this worker was set up without a token")
        })
    };
    match what {
        Look::Library => library(module).map(Seen::Library).map_err(Into::into),
        Look::Token { slot } => {
            let info = module.pkcs11.get_token_info(Slot::try_from(slot)?)?;
            Ok(Seen::Token(Box::new(state(&info))))
        }
        Look::Random { octets } => {
            Ok(Seen::Random(logged_in()?.generate_random_vec(octets.clamp(1, MAX_RANDOM))?))
        }
        Look::Objects => objects(logged_in()?).map(Seen::Objects),
        Look::Point { key } => point(logged_in()?, &key).map(Seen::Point),
    }
}

fn library(module: &Module) -> Result<Library, Error> {
    let info = module.pkcs11.get_library_info()?;
    Ok(Library {
        cryptoki: info.cryptoki_version().to_string(),
        manufacturer: trimmed(info.manufacturer_id()),
        description: trimmed(info.library_description()),
        version: info.library_version().to_string(),
    })
}

fn trimmed(field: &str) -> String {
    field.trim_end_matches(['\0', ' ']).to_owned()
}

fn state(info: &TokenInfo) -> TokenState {
    TokenState {
        rng: info.rng(),
        write_protected: info.write_protected(),
        login_required: info.login_required(),
        user_pin_initialised: info.user_pin_initialized(),
        protected_path: info.protected_authentication_path(),
        user_pin_count_low: info.user_pin_count_low(),
        user_pin_final_try: info.user_pin_final_try(),
        user_pin_locked: info.user_pin_locked(),
        user_pin_to_be_changed: info.user_pin_to_be_changed(),
        so_pin_locked: info.so_pin_locked(),
        error_state: info.error_state(),
        most_sessions: match info.max_session_count() {
            Limit::Max(most) => Some(most),
            Limit::Infinite | Limit::Unavailable => None,
        },
        sessions: info.session_count(),
        shortest_pin: info.min_pin_length() as u64,
        longest_pin: info.max_pin_length() as u64,
        clock: info.utc_time().and_then(|time| {
            let small = |number: u8| i8::try_from(number).ok();
            let year = i16::try_from(time.year).ok()?;
            let (month, day, hour) = (small(time.month)?, small(time.day)?, small(time.hour)?);
            DateTime::new(year, month, day, hour, small(time.minute)?, small(time.second)?, 0).ok()
        }),
    }
}

fn objects(session: &Session) -> Result<Vec<Object>, CommandError> {
    let classes = [
        (ObjectClass::PRIVATE_KEY, ObjectKind::PrivateKey),
        (ObjectClass::PUBLIC_KEY, ObjectKind::PublicKey),
        (ObjectClass::SECRET_KEY, ObjectKind::SecretKey),
        (ObjectClass::CERTIFICATE, ObjectKind::Certificate),
    ];
    let mut seen = Vec::new();
    for (class, kind) in classes {
        for handle in session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])? {
            let mut object =
                Object { kind, id: String::new(), label: String::new(), key_type: None, value: Vec::new() };
            let mut wanted = vec![AttributeType::Id, AttributeType::Label];
            wanted.push(if kind == ObjectKind::Certificate {
                AttributeType::Value
            } else {
                AttributeType::KeyType
            });
            for attribute in session.get_attributes(handle, &wanted)? {
                match attribute {
                    Attribute::Id(id) => object.id = hex::encode(id),
                    Attribute::Label(label) => object.label = String::from_utf8_lossy(&label).into_owned(),
                    Attribute::KeyType(key_type) => object.key_type = Some(key_type.to_string()),
                    Attribute::Value(value) => object.value = value,
                    _ => {}
                }
            }
            seen.push(object);
        }
    }
    Ok(seen)
}

fn point(session: &Session, key: &KeyId) -> Result<Option<PointEncoding>, CommandError> {
    let object = match key_store::find(session, ObjectClass::PUBLIC_KEY, key) {
        Err(error) if error.code == "KEY_NOT_FOUND" => {
            key_store::find(session, ObjectClass::PRIVATE_KEY, key)?
        }
        other => other?,
    };
    let mut elliptic = false;
    let mut octets = 0;
    for attribute in session.get_attributes(object, &[AttributeType::KeyType, AttributeType::EcPoint])? {
        match attribute {
            Attribute::KeyType(key_type) => elliptic = key_type == KeyType::EC,
            Attribute::EcPoint(point) => octets = point.len(),
            _ => {}
        }
    }
    // Uncompressed points of P-256 and P-384.
    let encoding = if matches!(octets, 65 | 97) { PointEncoding::Raw } else { PointEncoding::Wrapped };
    Ok((elliptic && octets > 0).then_some(encoding))
}
