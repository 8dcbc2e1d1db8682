//! Keys of an envelope: made, agreed upon with the holder of an elliptic key, and wrapped.

use std::fmt;

use ansi_x963_kdf::derive_key_into;
use aws_lc_rs::{
    agreement::{self, ECDH_P256, ECDH_P384},
    key_wrap::{AES_256, AesKek, KeyWrap},
    rand::fill,
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5753::{
            DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME, DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
            ID_EC_PUBLIC_KEY,
        },
        rfc5912::{SECP_256_R_1, SECP_384_R_1},
    },
};
use der::{Encode, Sequence, asn1::OctetString};
use sha2::{Sha256, Sha384};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::{EnvelopeError, KEY, Key, failed};

/// id-aes256-wrap (RFC 3565, 2.3.2).
const AES_256_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.45");
/// A wrapped key has one block more (RFC 3394).
const WRAPPED: usize = KEY + 8;

/// The curve of a recipient's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// Of a certificate's key.
    ///
    /// # Errors
    /// [`EnvelopeError::Recipient`] for any other kind of key.
    pub fn of(key: &SubjectPublicKeyInfoOwned) -> Result<Self, EnvelopeError> {
        if key.algorithm.oid != ID_EC_PUBLIC_KEY {
            return Err(EnvelopeError::Recipient);
        }
        let named = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
        match named {
            Some(SECP_256_R_1) => Ok(Self::P256),
            Some(SECP_384_R_1) => Ok(Self::P384),
            _ => Err(EnvelopeError::Recipient),
        }
    }

    pub(super) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => SECP_256_R_1,
            Self::P384 => SECP_384_R_1,
        }
    }

    pub(super) fn scheme(self) -> ObjectIdentifier {
        match self {
            Self::P256 => DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME,
            Self::P384 => DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
        }
    }

    pub(super) fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        })
    }
}

/// `ECC-CMS-SharedInfo` (RFC 5753, 7.2), without keying material of the user's.
#[derive(Sequence)]
struct SharedInfo {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    supp_pub_info: OctetString,
}

/// A fresh key.
pub(in super::super) fn random_key() -> Result<Key, EnvelopeError> {
    let mut key = Zeroizing::new([0; KEY]);
    fill(&mut key[..]).map_err(failed)?;
    Ok(key)
}

pub(super) fn aes_wrap() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: AES_256_WRAP, parameters: None }
}

pub(super) fn derive(curve: Curve, secret: &[u8]) -> Result<Key, EnvelopeError> {
    let bits = u32::try_from(KEY * 8).map_err(failed)?;
    let info = SharedInfo {
        key_info: aes_wrap(),
        supp_pub_info: OctetString::new(bits.to_be_bytes()).map_err(failed)?,
    };
    let info = info.to_der().map_err(failed)?;
    let mut key = Zeroizing::new([0; KEY]);
    match curve {
        Curve::P256 => derive_key_into::<Sha256>(secret, &info, &mut key[..]),
        Curve::P384 => derive_key_into::<Sha384>(secret, &info, &mut key[..]),
    }
    .map_err(failed)?;
    Ok(key)
}

pub(super) fn wrap_key(key: &Key, content_key: &Key) -> Result<Vec<u8>, EnvelopeError> {
    let mut wrapped = vec![0; WRAPPED];
    let kek = AesKek::new(&AES_256, &key[..]).map_err(failed)?;
    let length = kek.wrap(&content_key[..], &mut wrapped).map_err(failed)?.len();
    wrapped.truncate(length);
    Ok(wrapped)
}

pub(super) fn unwrap_key(key: &Key, wrapped: &[u8]) -> Result<Key, EnvelopeError> {
    if wrapped.len() != WRAPPED {
        return Err(EnvelopeError::Malformed);
    }
    let kek = AesKek::new(&AES_256, &key[..]).map_err(failed)?;
    let mut content_key = Zeroizing::new([0; WRAPPED]);
    let unwrapped = kek.unwrap(wrapped, &mut content_key[..]).map_err(|_| EnvelopeError::Refused)?;
    let mut key = Zeroizing::new([0; KEY]);
    key.copy_from_slice(unwrapped.get(..KEY).ok_or(EnvelopeError::Malformed)?);
    Ok(key)
}
