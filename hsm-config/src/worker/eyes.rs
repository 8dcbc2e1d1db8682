//! Looking at a module, a token and what is on it. Nothing here changes anything or touches a private key.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::Session;
use cryptoki::slot::{Limit, Slot, TokenInfo};
use jiff::civil::DateTime;

use super::key_store;
use super::look::{Library, Look, Object, ObjectKind, Seen, TokenState};
use super::module::Module;
use super::protocol::{CommandError, ErrorClass};
use crate::token::KeyId;
use crate::vendor::PointEncoding;

/// Octets of randomness at most.
const MAX_RANDOM: u32 = 64 * 1024;

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
