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
use cryptoki::session::Session;
use der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::key_store::{self, kept, signs_only, unused, verifies_only};
use super::protocol::{CommandError, ErrorClass, KeyCipher, Leaving, OaepHash, WrappedKey};
use super::public_key;
use crate::token::KeyId;

const TRANSPORT_BITS: u64 = 3072;
const AES_OCTETS: u64 = 32;
const GCM_IV_OCTETS: usize = 12;
const GCM_TAG_BITS: u64 = 128;

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
        template.extend(signs_only(Leaving::Wrapped));
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

/// Wraps a private key of the token for another token's transport key.
pub(super) fn wrap(
    session: &Session,
    key: &KeyId,
    transport: &[u8],
    mechanisms: &[MechanismType],
) -> Result<WrappedKey, CommandError> {
    let private = key_store::find(session, ObjectClass::PRIVATE_KEY, key)?;
    let transport = PublicHalf::parse(transport)?;
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(transport.kind),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Wrap(true),
        Attribute::Encrypt(true),
    ];
    template.extend(transport.attributes);
    let transport = session.create_object(&template)?;
    let secret = session.generate_key(
        &Mechanism::AesKeyGen,
        &[
            Attribute::Token(false),
            Attribute::Sensitive(true),
            Attribute::Extractable(true),
            Attribute::Wrap(true),
            Attribute::ValueLen(AES_OCTETS.into()),
        ],
    )?;
    let pads = mechanisms.contains(&MechanismType::AES_KEY_WRAP_PAD);
    let cipher = if pads { KeyCipher::KeyWrapPad } else { KeyCipher::Gcm };
    let wrapped = with(cipher, |mechanism| session.wrap_key(mechanism, secret, private))?;
    let (secret, hash) = wrap_secret(session, transport, secret)?;
    Ok(WrappedKey { key: wrapped, cipher, secret, hash })
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
