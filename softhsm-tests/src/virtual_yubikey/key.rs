//! Private keys in slots: generate, import, sign, agree, and show the public half.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer,
    rsa as aws_rsa,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use p256::elliptic_curve::{Generate, sec1::ToSec1Point};
use rsa::{
    BoxedUint, RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey},
    traits::PublicKeyParts,
};
use serde::{Deserialize, Serialize};
use x509_cert::{
    der::{
        Decode,
        asn1::{BitString, ObjectIdentifier},
    },
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use super::{
    error::CardError,
    profile::{Firmware, Make, Profile},
    status::{Outcome, Status},
    tlv,
};

/// Key types of the PIV application that are emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// RSA with a 3072-bit modulus.
    Rsa3072 = 0x05,
    /// RSA with a 1024-bit modulus.
    Rsa1024 = 0x06,
    /// RSA with a 2048-bit modulus.
    Rsa2048 = 0x07,
    /// NIST P-256.
    P256 = 0x11,
    /// NIST P-384.
    P384 = 0x14,
    /// RSA with a 4096-bit modulus.
    Rsa4096 = 0x16,
    /// Ed25519.
    Ed25519 = 0xe0,
}

impl Algorithm {
    /// From the algorithm byte of a command, if this firmware knows it.
    pub fn from_byte(byte: u8, firmware: Firmware) -> Option<Self> {
        let algorithm = match byte {
            0x05 => Self::Rsa3072,
            0x06 => Self::Rsa1024,
            0x07 => Self::Rsa2048,
            0x11 => Self::P256,
            0x14 => Self::P384,
            0x16 => Self::Rsa4096,
            0xe0 => Self::Ed25519,
            _ => return None,
        };
        let recent = matches!(algorithm, Self::Rsa3072 | Self::Rsa4096 | Self::Ed25519);
        (!recent || firmware >= Firmware::LARGE_RSA).then_some(algorithm)
    }

    /// Bytes of a modulus or a field element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Rsa1024 => 128,
            Self::Rsa2048 => 256,
            Self::Rsa3072 => 384,
            Self::Rsa4096 => 512,
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
        }
    }
}

/// A private key of one of the emulated types.
#[derive(Clone)]
pub enum PrivateKey {
    /// RSA of any size.
    Rsa(Box<RsaPrivateKey>),
    /// NIST P-256.
    P256(p256::SecretKey),
    /// NIST P-384.
    P384(p384::SecretKey),
    /// Ed25519.
    Ed25519(Arc<Ed25519KeyPair>),
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({:?})", self.algorithm())
    }
}

impl PrivateKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, CardError> {
        let size = match algorithm {
            Algorithm::P256 => return Ok(Self::P256(p256::SecretKey::generate_from_rng(&mut rand::rng()))),
            Algorithm::P384 => return Ok(Self::P384(p384::SecretKey::generate_from_rng(&mut rand::rng()))),
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(|_| CardError::KeyGeneration)?;
                return Ok(Self::Ed25519(Arc::new(pair)));
            }
            // AWS-LC makes no keys that small.
            Algorithm::Rsa1024 => {
                let key = RsaPrivateKey::new_unchecked(&mut rand::rng(), 1024)
                    .map_err(|_| CardError::KeyGeneration)?;
                return Ok(Self::Rsa(Box::new(key)));
            }
            Algorithm::Rsa2048 => aws_rsa::KeySize::Rsa2048,
            Algorithm::Rsa3072 => aws_rsa::KeySize::Rsa3072,
            Algorithm::Rsa4096 => aws_rsa::KeySize::Rsa4096,
        };
        // An order of magnitude faster than the pure Rust generator, which matters with many cards in parallel.
        let pair = aws_rsa::KeyPair::generate(size).map_err(|_| CardError::KeyGeneration)?;
        let der = pair.as_der().map_err(|_| CardError::KeyGeneration)?;
        Self::from_pkcs8(der.as_ref())
    }

    /// Reads a PKCS#8 structure of any emulated key type.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CardError> {
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
            return Ok(Self::P384(key));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self::Ed25519(Arc::new(pair)));
        }
        let key = RsaPrivateKey::from_pkcs8_der(der).map_err(|_| CardError::StoredKey)?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// The key as PKCS#8.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, CardError> {
        let document = match self {
            Self::Rsa(key) => key.to_pkcs8_der(),
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::Ed25519(pair) => {
                let document = pair.to_pkcs8().map_err(|_| CardError::StoredKey)?;
                return Ok(document.as_ref().to_vec());
            }
        };
        Ok(document.map_err(|_| CardError::StoredKey)?.as_bytes().to_vec())
    }

    /// Reads the key parts of an IMPORT ASYMMETRIC KEY command.
    pub(super) fn import(algorithm: Algorithm, parts: &[tlv::Element<'_>]) -> Result<Self, Status> {
        let part = |tag| tlv::find(parts, tag).ok_or(Status::WRONG_DATA);
        match algorithm {
            Algorithm::P256 => {
                p256::SecretKey::from_slice(part(6)?).map(Self::P256).map_err(|_| Status::WRONG_DATA)
            }
            Algorithm::P384 => {
                p384::SecretKey::from_slice(part(6)?).map(Self::P384).map_err(|_| Status::WRONG_DATA)
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_seed_unchecked(part(7)?)
                .map(|pair| Self::Ed25519(Arc::new(pair)))
                .map_err(|_| Status::WRONG_DATA),
            _ => {
                let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
                let key =
                    RsaPrivateKey::from_p_q(number(part(1)?), number(part(2)?), BoxedUint::from(65537_u64))
                        .map_err(|_| Status::WRONG_DATA)?;
                if key.size() != algorithm.bytes() {
                    return Err(Status::WRONG_DATA);
                }
                Ok(Self::Rsa(Box::new(key)))
            }
        }
    }

    /// The type of this key.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::P256,
            Self::P384(_) => Algorithm::P384,
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Rsa(key) => match key.size() {
                128 => Algorithm::Rsa1024,
                384 => Algorithm::Rsa3072,
                512 => Algorithm::Rsa4096,
                _ => Algorithm::Rsa2048,
            },
        }
    }

    /// The public key as GENERATE and GET METADATA return it, without an outer tag.
    pub fn public_template(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Rsa(key) => {
                tlv::put(&mut out, 0x81, &key.n().to_be_bytes_trimmed_vartime());
                tlv::put(&mut out, 0x82, &key.e().to_be_bytes_trimmed_vartime());
            }
            Self::P256(key) => tlv::put(&mut out, 0x86, key.public_key().to_sec1_point(false).as_bytes()),
            Self::P384(key) => tlv::put(&mut out, 0x86, key.public_key().to_sec1_point(false).as_bytes()),
            Self::Ed25519(pair) => tlv::put(&mut out, 0x86, pair.public_key().as_ref()),
        }
        out
    }

    /// The public key as X.509 writes it.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn public_key_info(&self) -> Result<SubjectPublicKeyInfoOwned, CardError> {
        let document = match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
            Self::P256(key) => key.public_key().to_public_key_der(),
            Self::P384(key) => key.public_key().to_public_key_der(),
            Self::Ed25519(pair) => return ed25519_info(pair.public_key().as_ref()),
        };
        let document = document?;
        Ok(SubjectPublicKeyInfoOwned::from_der(document.as_bytes())?)
    }

    /// The private-key operation of GENERAL AUTHENTICATE: raw RSA, ECDSA over a digest (DER signature), or Ed25519 over
    /// the message.
    pub(super) fn sign(&self, input: &[u8]) -> Outcome {
        match self {
            Self::Rsa(key) => raw_rsa(key, input),
            Self::P256(key) => {
                use p256::ecdsa::{DerSignature, SigningKey, signature::hazmat::PrehashSigner};
                let digest = left_padded::<32>(input)?;
                let signature: DerSignature =
                    SigningKey::from(key).sign_prehash(&digest).map_err(|_| Status::INTERNAL)?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::P384(key) => {
                use p384::ecdsa::{DerSignature, SigningKey, signature::hazmat::PrehashSigner};
                let digest = left_padded::<48>(input)?;
                let signature: DerSignature =
                    SigningKey::from(key).sign_prehash(&digest).map_err(|_| Status::INTERNAL)?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }

    /// ECDH with an uncompressed point: the x coordinate.
    pub(super) fn agree(&self, point: &[u8]) -> Outcome {
        match self {
            Self::Rsa(_) | Self::Ed25519(_) => Err(Status::WRONG_DATA),
            Self::P256(key) => {
                let peer = p256::PublicKey::from_sec1_bytes(point).map_err(|_| Status::WRONG_DATA)?;
                Ok(key.diffie_hellman(&peer).raw_secret_bytes().to_vec())
            }
            Self::P384(key) => {
                let peer = p384::PublicKey::from_sec1_bytes(point).map_err(|_| Status::WRONG_DATA)?;
                Ok(key.diffie_hellman(&peer).raw_secret_bytes().to_vec())
            }
        }
    }
}

/// RFC 8410, section 4.
fn ed25519_info(public_key: &[u8]) -> Result<SubjectPublicKeyInfoOwned, CardError> {
    let oid = ObjectIdentifier::new_unwrap("1.3.101.112");
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters: None },
        subject_public_key: BitString::from_bytes(public_key)?,
    })
}

/// The host has already padded: the card only raises to the private exponent.
fn raw_rsa(key: &RsaPrivateKey, input: &[u8]) -> Outcome {
    if input.len() != key.size() {
        return Err(Status::WRONG_LENGTH);
    }
    let bits = key.n().bits_precision();
    let message = BoxedUint::from_be_slice(input, bits).map_err(|_| Status::WRONG_DATA)?;
    let result =
        rsa::hazmat::rsa_decrypt(Some(&mut rand::rng()), key, &message).map_err(|_| Status::WRONG_DATA)?;
    let bytes = result.to_be_bytes_trimmed_vartime();
    let mut out = vec![0; key.size() - bytes.len()];
    out.extend_from_slice(&bytes);
    Ok(out)
}

fn left_padded<const LENGTH: usize>(digest: &[u8]) -> Result<[u8; LENGTH], Status> {
    let mut padded = [0; LENGTH];
    let start = LENGTH.checked_sub(digest.len()).ok_or(Status::WRONG_LENGTH)?;
    padded[start..].copy_from_slice(digest);
    Ok(padded)
}

/// When the PIN is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPolicy {
    /// Never.
    Never = 1,
    /// Once in a session.
    Once = 2,
    /// Before every use.
    Always = 3,
    /// A fingerprint or the PIN, once in a session. Fingerprints aren't emulated: the PIN it is.
    MatchOnce = 4,
    /// A fingerprint or the PIN, before every use.
    MatchAlways = 5,
}

/// When a touch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TouchPolicy {
    /// Never.
    Never = 1,
    /// For every use.
    Always = 2,
    /// Unless there was one in the last 15 seconds.
    Cached = 3,
}

/// The policy tags `AA` and `AB` of GENERATE and IMPORT, with the slot's defaults where they are absent or 0. Policies
/// with fingerprints are for devices that can read them.
pub(super) fn policies(
    elements: &[tlv::Element<'_>],
    slot: u8,
    profile: &Profile,
) -> Result<(PinPolicy, TouchPolicy), Status> {
    if profile.make == Make::Foreign && elements.iter().any(|element| matches!(element.tag, 0xaa | 0xab)) {
        return Err(Status::WRONG_DATA);
    }
    let byte = |tag| match tlv::find(elements, tag) {
        None => Ok(0),
        Some([value]) => Ok(*value),
        Some(_) => Err(Status::WRONG_DATA),
    };
    let pin = match (byte(0xaa)?, slot) {
        (1, _) | (0, 0x9e) => PinPolicy::Never,
        (3, _) | (0, 0x9c) => PinPolicy::Always,
        (0 | 2, _) => PinPolicy::Once,
        (4, _) if profile.form_factor.is_bio() => PinPolicy::MatchOnce,
        (5, _) if profile.form_factor.is_bio() => PinPolicy::MatchAlways,
        _ => return Err(Status::WRONG_DATA),
    };
    let touch = match byte(0xab)? {
        0 | 1 => TouchPolicy::Never,
        2 => TouchPolicy::Always,
        3 => TouchPolicy::Cached,
        _ => return Err(Status::WRONG_DATA),
    };
    Ok((pin, touch))
}
