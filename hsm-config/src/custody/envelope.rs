//! Sealing: CMS `AuthEnvelopedData` (RFC 5083) with AES-256-GCM (RFC 5084), to the holder of a key or to a key itself.
//!
//! A P-256 or P-384 key is reached by ephemeral-static ECDH (RFC 5753): the card does the agreement, everything else
//! happens here. A key of 32 octets wraps the content's key (RFC 3565). Any CMS implementation opens both, such as
//! `openssl cms -decrypt`, so a share is not lost with this program.

mod key;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    rand::{SystemRandom, fill},
};
use cms::{
    authenveloped_data::AuthEnvelopedData,
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    enveloped_data::{
        EncryptedContentInfo, KekIdentifier, KekRecipientInfo, KeyAgreeRecipientIdentifier,
        KeyAgreeRecipientInfo, OriginatorIdentifierOrKey, OriginatorPublicKey, RecipientEncryptedKey,
        RecipientInfo, RecipientInfos,
    },
};
use const_oid::{
    ObjectIdentifier,
    db::{rfc5753::ID_EC_PUBLIC_KEY, rfc5911::ID_DATA},
};
use der::{
    Any, Decode, DecodePem, Encode, EncodePem, Sequence,
    asn1::{BitString, OctetString, SetOfVec},
    pem::LineEnding,
};
use x509_cert::{Certificate, spki::AlgorithmIdentifierOwned};
use zeroize::Zeroizing;

pub use key::Curve;
pub(super) use key::random_key;
use key::{aes_wrap, derive, unwrap_key, wrap_key};

/// id-ct-authEnvelopedData (RFC 5083, 2).
const AUTH_ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.23");
/// id-aes256-GCM (RFC 5084, 3.2).
const AES_256_GCM_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.46");

const TAG: usize = 16;
const TAG_OCTETS: u8 = 16;
const NONCE: usize = 12;
const KEY: usize = 32;

/// A key that seals or opens: 32 octets, wiped when dropped.
pub(super) type Key = Zeroizing<[u8; KEY]>;

/// Why something can't be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The certificate's key is none that a share can be sealed to.
    #[error("the certificate's key is neither on P-256 nor on P-384")]
    Recipient,
    /// The system's generator or a primitive failed.
    #[error("the machine's cryptography failed")]
    Crypto,
    /// It isn't CMS as this program writes it.
    #[error("it is not a sealed file as this program writes it")]
    Malformed,
    /// The key doesn't open it, or it was changed.
    #[error("it can't be opened: the wrong key, or it was changed")]
    Refused,
}

/// `GCMParameters` (RFC 5084, 3.2); the tag's length has a default that is not ours.
#[derive(Sequence)]
struct GcmParameters {
    nonce: OctetString,
    tag_length: u8,
}

/// Seals to the holder of a certificate's key. PEM, label `CMS`.
pub(super) fn seal_to(recipient: &Certificate, content: &[u8]) -> Result<String, EnvelopeError> {
    let spki = recipient.tbs_certificate().subject_public_key_info();
    let curve = Curve::of(spki)?;
    let ephemeral = EphemeralPrivateKey::generate(curve.agreement(), &SystemRandom::new()).map_err(failed)?;
    let point = ephemeral.compute_public_key().map_err(failed)?.as_ref().to_vec();
    let theirs = UnparsedPublicKey::new(curve.agreement(), spki.subject_public_key.raw_bytes());
    let key = agree_ephemeral(ephemeral, theirs, EnvelopeError::Recipient, |secret| derive(curve, secret))?;
    let content_key = random_key()?;
    let identifier = IssuerAndSerialNumber {
        issuer: recipient.tbs_certificate().issuer().clone(),
        serial_number: recipient.tbs_certificate().serial_number().clone(),
    };
    let wrap = aes_wrap().to_der().and_then(|der| Any::from_der(&der)).map_err(failed)?;
    let info = RecipientInfo::Kari(KeyAgreeRecipientInfo {
        version: CmsVersion::V3,
        originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_EC_PUBLIC_KEY,
                parameters: Some(Any::from(curve.oid())),
            },
            public_key: BitString::from_bytes(&point).map_err(failed)?,
        }),
        ukm: None,
        key_enc_alg: AlgorithmIdentifierOwned { oid: curve.scheme(), parameters: Some(wrap) },
        recipient_enc_keys: vec![RecipientEncryptedKey {
            rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(identifier),
            enc_key: OctetString::new(wrap_key(&key, &content_key)?).map_err(failed)?,
        }],
    });
    seal(info, &content_key, content)
}

/// Seals with a key that is known to whoever shall open it by `name`. PEM, label `CMS`.
pub(super) fn seal_with(key: &Key, name: &[u8], content: &[u8]) -> Result<String, EnvelopeError> {
    let content_key = random_key()?;
    let info = RecipientInfo::Kekri(KekRecipientInfo {
        version: CmsVersion::V4,
        kek_id: KekIdentifier {
            kek_identifier: OctetString::new(name).map_err(failed)?,
            date: None,
            other: None,
        },
        key_enc_alg: aes_wrap(),
        encrypted_key: OctetString::new(wrap_key(key, &content_key)?).map_err(failed)?,
    });
    seal(info, &content_key, content)
}

fn seal(info: RecipientInfo, content_key: &Key, content: &[u8]) -> Result<String, EnvelopeError> {
    let mut nonce = [0; NONCE];
    fill(&mut nonce).map_err(failed)?;
    let parameters =
        GcmParameters { nonce: OctetString::new(nonce).map_err(failed)?, tag_length: TAG_OCTETS };
    let parameters = parameters.to_der().and_then(|der| Any::from_der(&der)).map_err(failed)?;
    let mut text = Zeroizing::new(content.to_vec());
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key[..]).map_err(failed)?);
    let tag = cipher
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .map_err(failed)?;
    let sealed = AuthEnvelopedData {
        version: CmsVersion::V0,
        originator_info: None,
        recip_infos: RecipientInfos(SetOfVec::try_from(vec![info]).map_err(failed)?),
        auth_encrypted_content_info: EncryptedContentInfo {
            content_type: ID_DATA,
            content_enc_alg: AlgorithmIdentifierOwned { oid: AES_256_GCM_OID, parameters: Some(parameters) },
            encrypted_content: Some(OctetString::new(text.as_slice()).map_err(failed)?),
        },
        auth_attrs: None,
        mac: OctetString::new(tag.as_ref()).map_err(failed)?,
        unauth_attrs: None,
    };
    let content = sealed.to_der().and_then(|der| Any::from_der(&der)).map_err(failed)?;
    ContentInfo { content_type: AUTH_ENVELOPED_DATA, content }.to_pem(LineEnding::LF).map_err(failed)
}

/// Something sealed, read but not opened.
pub(super) struct Sealed {
    data: AuthEnvelopedData,
}

/// What it takes to open it.
pub(super) enum Lock {
    /// The holder of a key on this curve agrees with this point, uncompressed (SEC 1, 2.3.3).
    Agreement {
        /// The curve.
        curve: Curve,
        /// The sender's point.
        point: Vec<u8>,
    },
    /// A key of 32 octets, known by this name.
    Key(Vec<u8>),
}

impl Sealed {
    /// Reads PEM.
    pub(super) fn read(pem: &str) -> Result<Self, EnvelopeError> {
        let malformed = |_| EnvelopeError::Malformed;
        let info = ContentInfo::from_pem(pem).map_err(malformed)?;
        if info.content_type != AUTH_ENVELOPED_DATA {
            return Err(EnvelopeError::Malformed);
        }
        let data: AuthEnvelopedData = info.content.decode_as().map_err(malformed)?;
        if data.auth_attrs.is_some()
            || data.auth_encrypted_content_info.content_enc_alg.oid != AES_256_GCM_OID
            || data.mac.as_bytes().len() != TAG
        {
            return Err(EnvelopeError::Malformed);
        }
        Ok(Self { data })
    }

    /// What it takes to open it.
    pub(super) fn lock(&self) -> Result<Lock, EnvelopeError> {
        match self.recipient()? {
            RecipientInfo::Kari(info) => {
                let OriginatorIdentifierOrKey::OriginatorKey(key) = &info.originator else {
                    return Err(EnvelopeError::Malformed);
                };
                let curve = [Curve::P256, Curve::P384]
                    .into_iter()
                    .find(|curve| curve.scheme() == info.key_enc_alg.oid)
                    .ok_or(EnvelopeError::Malformed)?;
                Ok(Lock::Agreement { curve, point: key.public_key.raw_bytes().to_vec() })
            }
            RecipientInfo::Kekri(info) if info.key_enc_alg == aes_wrap() => {
                Ok(Lock::Key(info.kek_id.kek_identifier.as_bytes().to_vec()))
            }
            _ => Err(EnvelopeError::Malformed),
        }
    }

    /// Opens what was sealed to the holder of a key, with what that key agreed on.
    pub(super) fn open_agreed(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let RecipientInfo::Kari(info) = self.recipient()? else { return Err(EnvelopeError::Malformed) };
        let [wrapped] = info.recipient_enc_keys.as_slice() else { return Err(EnvelopeError::Malformed) };
        let key = derive(curve, secret)?;
        self.open(&unwrap_key(&key, wrapped.enc_key.as_bytes())?)
    }

    /// Opens what was sealed with a key.
    pub(super) fn open_with(&self, key: &Key) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let RecipientInfo::Kekri(info) = self.recipient()? else { return Err(EnvelopeError::Malformed) };
        self.open(&unwrap_key(key, info.encrypted_key.as_bytes())?)
    }

    fn recipient(&self) -> Result<&RecipientInfo, EnvelopeError> {
        match self.data.recip_infos.0.as_slice() {
            [one] => Ok(one),
            _ => Err(EnvelopeError::Malformed),
        }
    }

    fn open(&self, content_key: &Key) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let malformed = |_| EnvelopeError::Malformed;
        let content = &self.data.auth_encrypted_content_info;
        let parameters = content.content_enc_alg.parameters.as_ref().ok_or(EnvelopeError::Malformed)?;
        let parameters: GcmParameters = parameters.decode_as().map_err(malformed)?;
        let nonce: [u8; NONCE] =
            parameters.nonce.as_bytes().try_into().map_err(|_| EnvelopeError::Malformed)?;
        let sealed = content.encrypted_content.as_ref().ok_or(EnvelopeError::Malformed)?.as_bytes();
        let mut text = Zeroizing::new(Vec::with_capacity(sealed.len() + TAG));
        text.extend_from_slice(sealed);
        text.extend_from_slice(self.data.mac.as_bytes());
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key[..]).map_err(failed)?);
        cipher
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .map_err(|_| EnvelopeError::Refused)?;
        text.truncate(sealed.len());
        Ok(text)
    }
}

/// Primitives say nothing about why they fail.
fn failed<E>(_: E) -> EnvelopeError {
    EnvelopeError::Crypto
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, PrivateKey, agree};

    use super::*;

    #[test]
    fn what_a_key_sealed_only_that_key_opens() {
        let key = random_key().expect("a key");
        let pem = seal_with(&key, b"set", b"secret").expect("sealed");
        let sealed = Sealed::read(&pem).expect("readable");
        assert!(matches!(sealed.lock(), Ok(Lock::Key(name)) if name == b"set"));
        assert_eq!(sealed.open_with(&key).expect("opened").as_slice(), b"secret");
        let other = random_key().expect("a key");
        assert_eq!(sealed.open_with(&other).err(), Some(EnvelopeError::Refused));
        assert_eq!(sealed.open_agreed(Curve::P256, b"x").err(), Some(EnvelopeError::Malformed));
    }

    #[test]
    fn what_is_sealed_to_a_certificate_its_key_opens() {
        for (algorithm, ecdh, curve) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &ECDH_P256, Curve::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &ECDH_P384, Curve::P384),
        ] {
            let pair = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
            let certificate = parameters.self_signed(&pair).expect("a certificate");
            let certificate = Certificate::from_der(certificate.der()).expect("DER");
            let sealed = Sealed::read(&seal_to(&certificate, b"secret").expect("sealed")).expect("readable");
            let Ok(Lock::Agreement { curve: told, point }) = sealed.lock() else { panic!("an agreement") };
            assert_eq!(told, curve);
            let private = PrivateKey::from_private_key_der(ecdh, pair.serialized_der()).expect("a key");
            let theirs = UnparsedPublicKey::new(ecdh, &point);
            let secret = agree(&private, theirs, (), |secret| Ok(secret.to_vec())).expect("agreed");
            assert_eq!(sealed.open_agreed(curve, &secret).expect("opened").as_slice(), b"secret");
            assert_eq!(sealed.open_agreed(curve, &[7; 32]).err(), Some(EnvelopeError::Refused));
        }
    }

    #[test]
    fn a_changed_file_is_refused() {
        let key = random_key().expect("a key");
        let pem = seal_with(&key, b"set", b"secret").expect("sealed");
        let der = ContentInfo::from_pem(&pem).expect("PEM").to_der().expect("DER");
        for position in 0..der.len() {
            let mut changed = der.clone();
            changed[position] ^= 1;
            let Ok(info) = ContentInfo::from_der(&changed) else { continue };
            let pem = info.to_pem(LineEnding::LF).expect("PEM");
            let Ok(sealed) = Sealed::read(&pem) else { continue };
            let Ok(text) = sealed.open_with(&key) else { continue };
            // Versions and the key's name are told, not relied upon.
            assert_eq!(text.as_slice(), b"secret", "octet {position}");
        }
    }
}
