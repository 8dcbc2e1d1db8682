//! A private key on its way from one token to another, encrypted from module to module (`C_WrapKey`, `C_UnwrapKey`).
//!
//! The receiving token makes an RSA key pair for this one journey. The giving token wraps a fresh AES key to it
//! (RSA-OAEP) and the private key under the AES key (RFC 5649, or AES-GCM where the token lacks that): no secret is in this program's memory at any time, and
//! what crosses is of use to the receiving token alone. All helpers are session objects: they end with the lane.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::key_store::{self, kept, signs_only, unused, verifies_only};
use super::module::{Module, given};
use super::protocol::{
    CommandError, ErrorClass, KeyCipher, Leaving, OaepHash, TrustedKey, WrappedKey, WrappingKey,
};
use super::public_key;
use crate::token::{KeyId, Pin, TokenSelection};

const TRANSPORT_BITS: u64 = 3072;
const AES_OCTETS: u64 = 32;
const GCM_IV_OCTETS: usize = 12;
const GCM_TAG_BITS: u64 = 128;
/// What a trusted key is called while it is on its token.
const TRUSTED_LABEL: &str = "inro-journey";
const TRUSTED_ID_OCTETS: u32 = 16;

/// The receiving token's transport key, with the session that it lives in.
pub(super) struct Transport {
    session: Session,
    private: ObjectHandle,
}

impl Transport {
    /// Makes a transport key; its public half is the second result, DER `SubjectPublicKeyInfo`.
    pub(super) fn make(session: Session) -> Result<(Self, Vec<u8>), CommandError> {
        let public = [
            Attribute::Token(false),
            Attribute::Private(false),
            Attribute::Wrap(true),
            Attribute::Encrypt(true),
            Attribute::Verify(false),
            Attribute::ModulusBits(TRANSPORT_BITS.into()),
            Attribute::PublicExponent(key_store::F4.to_vec()),
        ];
        let private = [
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Unwrap(true),
            Attribute::Decrypt(false),
            Attribute::Sign(false),
        ];
        let (public, private) =
            session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)?;
        let public = public_key::read(&session, public)?;
        Ok((Self { session, private }, public))
    }

    /// Unwraps a key and keeps it on the token, with a public half beside it.
    pub(super) fn unwrap(
        self,
        key: &KeyId,
        label: &str,
        public_key: &[u8],
        wrapped: &WrappedKey,
        leaving: Leaving,
    ) -> Result<(), CommandError> {
        let session = &self.session;
        unused(session, key, label)?;
        let public = PublicHalf::parse(public_key)?;
        let secret = session.unwrap_key(
            &oaep(wrapped.hash),
            self.private,
            &wrapped.secret,
            &[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Token(false),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Unwrap(true),
            ],
        )?;
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(public.kind)];
        template.extend(signs_only(leaving));
        template.extend(kept(key, label));
        with(wrapped.cipher, |cipher| session.unwrap_key(cipher, secret, &wrapped.key, &template))?;
        let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(public.kind)];
        template.extend(public.attributes);
        template.extend(verifies_only());
        template.extend(kept(key, label));
        session.create_object(&template)?;
        Ok(())
    }
}

/// Wraps a private key of the token for another token.
pub(super) fn wrap(
    session: &Session,
    key: &KeyId,
    under: &WrappingKey,
    mechanisms: &[MechanismType],
) -> Result<WrappedKey, CommandError> {
    let private = key_store::find(session, ObjectClass::PRIVATE_KEY, key)?;
    let pads = mechanisms.contains(&MechanismType::AES_KEY_WRAP_PAD);
    let cipher = if pads { KeyCipher::KeyWrapPad } else { KeyCipher::Gcm };
    let wrapped = |secret| with(cipher, |mechanism| session.wrap_key(mechanism, secret, private));
    match under {
        WrappingKey::Fresh(transport) => {
            let transport = transport_object(session, transport, false)?;
            let secret = session.generate_key(&Mechanism::AesKeyGen, &wraps_only(false))?;
            let key = wrapped(secret)?;
            let (secret, hash) = wrap_secret(session, transport, secret)?;
            Ok(WrappedKey { key, cipher, secret, hash })
        }
        WrappingKey::Trusted(trusted) => {
            let secret = key_store::find(session, ObjectClass::SECRET_KEY, &trusted.id)?;
            let key = wrapped(secret);
            session.destroy_object(secret)?;
            Ok(WrappedKey { key: key?, cipher, secret: trusted.secret.clone(), hash: trusted.hash })
        }
    }
}

impl Module {
    /// Has the security officer make a trusted key for another token's transport key.
    pub(super) fn make_trusted_key(
        &self,
        selection: &TokenSelection,
        so_pin: &Pin,
        transport: &[u8],
    ) -> Result<TrustedKey, CommandError> {
        let refused = |class, code: &str, detail: &str| {
            CommandError::own(class, code, format!("{selection}: the security officer's PIN: {detail}"))
        };
        let (slot, info) = self
            .find(selection)
            .map_err(|e| CommandError::own(ErrorClass::Fail, "TOKEN_ABSENT", e.to_string()))?;
        if info.so_pin_locked() || info.so_pin_final_try() {
            let detail = "one more wrong one would lock it, or it is locked, so no program tries";
            return Err(refused(ErrorClass::Lockout, "CKR_PIN_LOCKED", detail));
        }
        let pin = given(&info, selection, so_pin)
            .map_err(|e| CommandError::own(ErrorClass::Fail, "NOT_LOGGED_IN", e.to_string()))?;
        let session = self.pkcs11.open_rw_session(slot)?;
        session.login(UserType::So, pin).map_err(|error| {
            let CommandError { class, code, detail } = error.into();
            refused(class, &code, &detail)
        })?;
        let made = trusted_key(&session, transport);
        session.logout()?;
        made
    }
}

/// In the security officer's session.
fn trusted_key(session: &Session, transport: &[u8]) -> Result<TrustedKey, CommandError> {
    let named = [Attribute::Token(true), Attribute::Label(TRUSTED_LABEL.as_bytes().to_vec())];
    // A journey that broke off has left one, which is of no use to anybody.
    for left in session.find_objects(&[&named[..], &[Attribute::Class(ObjectClass::SECRET_KEY)]].concat())? {
        session.destroy_object(left)?;
    }
    let id = session.generate_random_vec(TRUSTED_ID_OCTETS)?;
    let named = [&named[..], &[Attribute::Id(id.clone()), Attribute::Private(false)]].concat();
    let transport = transport_object(session, transport, true)?;
    let secret = session.generate_key(&Mechanism::AesKeyGen, &[wraps_only(true), named].concat())?;
    let crossing = wrap_secret(session, transport, secret).and_then(|crossing| {
        // It has crossed; from here on it is in this token and the other alone.
        session.update_attributes(secret, &[Attribute::Extractable(false)])?;
        Ok(crossing)
    });
    let id = KeyId::try_from(hex::encode(&id))
        .map_err(|e| CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", e.to_string()));
    match (crossing, id) {
        (Ok((secret, hash)), Ok(id)) => Ok(TrustedKey { id, secret, hash }),
        (Err(error), _) | (_, Err(error)) => {
            session.destroy_object(secret)?;
            Err(error)
        }
    }
}

/// The other token's transport key as an object of this session.
fn transport_object(
    session: &Session,
    transport: &[u8],
    trusted: bool,
) -> Result<ObjectHandle, CommandError> {
    let transport = PublicHalf::parse(transport)?;
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(transport.kind),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Wrap(true),
        Attribute::Encrypt(true),
    ];
    if trusted {
        template.push(Attribute::Trusted(true));
    }
    template.extend(transport.attributes);
    Ok(session.create_object(&template)?)
}

/// An AES key that wraps one private key, and crosses itself. With a trusted one nobody can decrypt what it wrapped, and
/// nobody can wrap it for an untrusted key.
fn wraps_only(trusted: bool) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Wrap(true),
        Attribute::ValueLen(AES_OCTETS.into()),
    ];
    if trusted {
        attributes.extend([
            Attribute::Trusted(true),
            Attribute::WrapWithTrusted(true),
            Attribute::Unwrap(false),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ]);
    } else {
        attributes.push(Attribute::Token(false));
    }
    attributes
}

/// Does something with the mechanism of this cipher.
fn with<T>(
    cipher: KeyCipher,
    work: impl FnOnce(&Mechanism<'_>) -> Result<T, Error>,
) -> Result<T, CommandError> {
    let mut iv = [0; GCM_IV_OCTETS];
    let mechanism = match cipher {
        KeyCipher::KeyWrapPad => Mechanism::AesKeyWrapPad,
        KeyCipher::Gcm => Mechanism::AesGcm(GcmParams::new(&mut iv, &[], GCM_TAG_BITS.into())?),
    };
    Ok(work(&mechanism)?)
}

/// With SHA-256 where the token can, else with SHA-1.
fn wrap_secret(
    session: &Session,
    transport: ObjectHandle,
    secret: ObjectHandle,
) -> Result<(Vec<u8>, OaepHash), CommandError> {
    match session.wrap_key(&oaep(OaepHash::Sha256), transport, secret) {
        Ok(wrapped) => Ok((wrapped, OaepHash::Sha256)),
        Err(Error::Pkcs11(RvError::MechanismParamInvalid | RvError::ArgumentsBad, _)) => {
            Ok((session.wrap_key(&oaep(OaepHash::Sha1), transport, secret)?, OaepHash::Sha1))
        }
        Err(error) => Err(error.into()),
    }
}

fn oaep(hash: OaepHash) -> Mechanism<'static> {
    let (hash, mask) = match hash {
        OaepHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        OaepHash::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
    };
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()))
}

/// A public key as the attributes of an object.
struct PublicHalf {
    kind: KeyType,
    attributes: Vec<Attribute>,
}

impl PublicHalf {
    fn parse(spki: &[u8]) -> Result<Self, CommandError> {
        let unsupported = |e: String| CommandError::own(ErrorClass::Fail, "KEY_UNSUPPORTED", e);
        let spki = SubjectPublicKeyInfoOwned::from_der(spki).map_err(|e| unsupported(e.to_string()))?;
        let kind = ca_x509::KeyKind::of(&spki).map_err(|e| unsupported(e.to_string()))?;
        let bits = spki.subject_public_key.raw_bytes();
        if let ca_x509::KeyKind::Rsa { .. } = kind {
            let key = ca_x509::key::RsaPublicKey::from_der(bits).map_err(|e| unsupported(e.to_string()))?;
            let attributes = vec![
                Attribute::Modulus(key.modulus.as_bytes().to_vec()),
                Attribute::PublicExponent(key.public_exponent.as_bytes().to_vec()),
            ];
            return Ok(Self { kind: KeyType::RSA, attributes });
        }
        let encoded = || {
            let curve = spki.algorithm.parameters.as_ref().map_or(Ok(Vec::new()), Encode::to_der)?;
            let point = der::asn1::OctetStringRef::new(bits)?.to_der()?;
            Ok::<_, der::Error>(vec![Attribute::EcParams(curve), Attribute::EcPoint(point)])
        };
        let attributes = encoded().map_err(|e| unsupported(e.to_string()))?;
        Ok(Self { kind: KeyType::EC, attributes })
    }
}
