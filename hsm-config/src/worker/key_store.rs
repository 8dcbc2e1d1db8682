//! Key objects on an open token: finding, making, reading back, destroying.

use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use der::Encode;

use super::protocol::{CommandError, ErrorClass, KeyAttributes, Leaving};
use super::public_key;
use crate::token::{KeyAlgorithm, KeyId};

/// Public exponent 65537.
pub(super) const F4: [u8; 3] = [1, 0, 1];

/// The one object of this class and ID.
pub(super) fn find(session: &Session, class: ObjectClass, key: &KeyId) -> Result<ObjectHandle, CommandError> {
    let template = [Attribute::Class(class), Attribute::Id(key.as_bytes().to_vec()), Attribute::Token(true)];
    match session.find_objects(&template)?.as_slice() {
        [one] => Ok(*one),
        // Also what a token shows after it lost the login: a fresh worker tells the two apart.
        [] => Err(CommandError::own(
            ErrorClass::Restart,
            "KEY_NOT_FOUND",
            format!("no key with ID {key} is visible"),
        )),
        more => Err(CommandError::own(
            ErrorClass::Fail,
            "KEY_AMBIGUOUS",
            format!("{} keys have ID {key}: give each key an ID of its own", more.len()),
        )),
    }
}

/// The public key that belongs to a private key.
pub(super) fn public(session: &Session, key: &KeyId) -> Result<Vec<u8>, CommandError> {
    let object = match find(session, ObjectClass::PUBLIC_KEY, key) {
        // Some tokens keep no public object; most of those show its parts on the private one.
        Err(error) if error.code == "KEY_NOT_FOUND" => find(session, ObjectClass::PRIVATE_KEY, key)?,
        other => other?,
    };
    public_key::read(session, object)
}

/// Refuses an ID or label that is in use.
pub(super) fn unused(session: &Session, key: &KeyId, label: &str) -> Result<(), CommandError> {
    for taken in [Attribute::Id(key.as_bytes().to_vec()), Attribute::Label(label.as_bytes().to_vec())] {
        if !session.find_objects(&[taken, Attribute::Token(true)])?.is_empty() {
            let detail = format!("the token already holds an object with ID {key} or label {label:?}");
            return Err(CommandError::own(ErrorClass::Fail, "KEY_EXISTS", detail));
        }
    }
    Ok(())
}

/// What makes an object one of the token's, found by ID and label.
pub(super) fn kept(key: &KeyId, label: &str) -> [Attribute; 3] {
    [
        Attribute::Token(true),
        Attribute::Id(key.as_bytes().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// What a private key may do, and whether it may leave.
pub(super) fn signs_only(leaving: Leaving) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(leaving != Leaving::Never),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    // Tokens that don't know it are never asked for it.
    if leaving == Leaving::WrappedTrusted {
        attributes.push(Attribute::WrapWithTrusted(true));
    }
    attributes
}

/// What a public key may do.
pub(super) fn verifies_only() -> [Attribute; 4] {
    [Attribute::Private(false), Attribute::Verify(true), Attribute::Encrypt(false), Attribute::Wrap(false)]
}

/// Makes a key pair that can sign, and nothing else.
pub(super) fn generate(
    session: &Session,
    key: &KeyId,
    label: &str,
    algorithm: KeyAlgorithm,
    leaving: Leaving,
) -> Result<Vec<u8>, CommandError> {
    unused(session, key, label)?;
    let mut public = [verifies_only().as_slice(), &kept(key, label)].concat();
    let mechanism = match algorithm {
        KeyAlgorithm::P256 | KeyAlgorithm::P384 => {
            let curve = if algorithm == KeyAlgorithm::P256 { SECP_256_R_1 } else { SECP_384_R_1 };
            let params = curve
                .to_der()
                .map_err(|e| CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", e.to_string()))?;
            public.push(Attribute::EcParams(params));
            Mechanism::EccKeyPairGen
        }
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            let bits = algorithm.modulus_bits().unwrap_or_default();
            public.push(Attribute::ModulusBits(u64::from(bits).into()));
            public.push(Attribute::PublicExponent(F4.to_vec()));
            Mechanism::RsaPkcsKeyPairGen
        }
    };
    let private = [signs_only(leaving).as_slice(), &kept(key, label)].concat();
    let (public, _) = session.generate_key_pair(&mechanism, &public, &private)?;
    public_key::read(session, public)
}

/// Reads a private key's attributes back from the token.
pub(super) fn attributes(session: &Session, key: &KeyId) -> Result<KeyAttributes, CommandError> {
    use AttributeType as T;
    let object = find(session, ObjectClass::PRIVATE_KEY, key)?;
    let mut read = KeyAttributes::default();
    // One by one: a token that doesn't know one of them should still tell the others.
    for wanted in [
        T::Label,
        T::KeyType,
        T::Token,
        T::Private,
        T::Sensitive,
        T::AlwaysSensitive,
        T::Extractable,
        T::NeverExtractable,
        T::Local,
        T::Sign,
        T::Decrypt,
        T::Unwrap,
        T::Derive,
        T::WrapWithTrusted,
    ] {
        let found = match session.get_attributes(object, &[wanted]) {
            Ok(found) => found,
            Err(error) => match CommandError::from(error) {
                unknown if unknown.code == "CKR_ATTRIBUTE_TYPE_INVALID" => continue,
                other => return Err(other),
            },
        };
        for attribute in found {
            match attribute {
                Attribute::Label(value) => read.label = Some(String::from_utf8_lossy(&value).into_owned()),
                Attribute::KeyType(value) => read.key_type = Some(value.to_string()),
                Attribute::Token(value) => read.token = Some(value),
                Attribute::Private(value) => read.private = Some(value),
                Attribute::Sensitive(value) => read.sensitive = Some(value),
                Attribute::AlwaysSensitive(value) => read.always_sensitive = Some(value),
                Attribute::Extractable(value) => read.extractable = Some(value),
                Attribute::NeverExtractable(value) => read.never_extractable = Some(value),
                Attribute::Local(value) => read.local = Some(value),
                Attribute::Sign(value) => read.sign = Some(value),
                Attribute::Decrypt(value) => read.decrypt = Some(value),
                Attribute::Unwrap(value) => read.unwrap = Some(value),
                Attribute::Derive(value) => read.derive = Some(value),
                Attribute::WrapWithTrusted(value) => read.wrap_with_trusted = Some(value),
                _ => {}
            }
        }
    }
    Ok(read)
}

/// Destroys a key pair, the private half first.
pub(super) fn destroy(session: &Session, key: &KeyId) -> Result<(), CommandError> {
    session.destroy_object(find(session, ObjectClass::PRIVATE_KEY, key)?)?;
    match find(session, ObjectClass::PUBLIC_KEY, key) {
        Ok(public) => Ok(session.destroy_object(public)?),
        Err(error) if error.code == "KEY_NOT_FOUND" => Ok(()),
        Err(error) => Err(error),
    }
}
