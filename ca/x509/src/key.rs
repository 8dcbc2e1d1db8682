//! Public keys: what kind they are, and their identifiers.

use aws_lc_rs::digest;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1};
use der::{
    Any, Decode, Encode, Sequence,
    asn1::{BitString, ObjectIdentifier, OctetString, UintRef},
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// The kinds of public key that Inro knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// NIST P-256, as an uncompressed point.
    P256,
    /// NIST P-384, as an uncompressed point.
    P384,
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Length of the modulus in bits.
        bits: usize,
    },
}

/// A public key that isn't of a known kind or form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another algorithm or curve.
    #[error("the public key algorithm {0} is not supported")]
    Unsupported(ObjectIdentifier),
    /// The key's own encoding is wrong.
    #[error("the public key is malformed")]
    Malformed,
}

/// `RSAPublicKey` (RFC 8017, A.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RsaPublicKey<'a> {
    /// n
    pub modulus: UintRef<'a>,
    /// e
    pub public_exponent: UintRef<'a>,
}

impl KeyKind {
    /// What kind a `SubjectPublicKeyInfo` is. Checks form, not strength; that the point is on its curve is checked by
    /// [`on_curve`].
    ///
    /// # Errors
    /// [`KeyError`] for unknown algorithms, curves, compressed points and malformed keys.
    pub fn of(spki: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        let bits = spki.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        match spki.algorithm.oid {
            ID_EC_PUBLIC_KEY => {
                let parameters = spki.algorithm.parameters.as_ref().ok_or(KeyError::Malformed)?;
                let curve: ObjectIdentifier = parameters.decode_as().map_err(|_| KeyError::Malformed)?;
                let (kind, length) = match curve {
                    SECP_256_R_1 => (Self::P256, 65),
                    SECP_384_R_1 => (Self::P384, 97),
                    other => return Err(KeyError::Unsupported(other)),
                };
                (bits.len() == length && bits[0] == 4).then_some(kind).ok_or(KeyError::Malformed)
            }
            RSA_ENCRYPTION => {
                let key = RsaPublicKey::from_der(bits).map_err(|_| KeyError::Malformed)?;
                let modulus = key.modulus.as_bytes();
                let leading = modulus.first().ok_or(KeyError::Malformed)?.leading_zeros() as usize;
                Ok(Self::Rsa { bits: modulus.len() * 8 - leading })
            }
            other => Err(KeyError::Unsupported(other)),
        }
    }
}

/// Whether it is a key on P-521, as an uncompressed point: known in signatures of device makers only.
pub(crate) fn is_p521(spki: &SubjectPublicKeyInfoOwned) -> bool {
    let curve = || spki.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
    let point = spki.subject_public_key.as_bytes();
    spki.algorithm.oid == ID_EC_PUBLIC_KEY
        && curve() == Some(SECP_521_R_1)
        && point.is_some_and(|point| point.len() == 133 && point[0] == 4)
}

/// An elliptic-curve key from its curve and its uncompressed point (RFC 5480).
///
/// # Errors
/// A `der` error when the point is too long to be encoded.
pub fn from_point(curve: ObjectIdentifier, point: &[u8]) -> der::Result<SubjectPublicKeyInfoOwned> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: ID_EC_PUBLIC_KEY, parameters: Some(Any::from(curve)) },
        subject_public_key: BitString::from_bytes(point)?,
    })
}

/// An RSA key from its numbers, both big-endian (RFC 8017, A.1).
///
/// # Errors
/// A `der` error when a number is too long to be encoded.
pub fn from_modulus(modulus: &[u8], public_exponent: &[u8]) -> der::Result<SubjectPublicKeyInfoOwned> {
    let key =
        RsaPublicKey { modulus: UintRef::new(modulus)?, public_exponent: UintRef::new(public_exponent)? };
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) },
        subject_public_key: BitString::from_bytes(&key.to_der()?)?,
    })
}

/// Whether an elliptic-curve key's point lies on its curve; true for RSA keys.
///
/// # Errors
/// [`KeyError`] as [`KeyKind::of`].
pub fn on_curve(spki: &SubjectPublicKeyInfoOwned) -> Result<bool, KeyError> {
    use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, ParsedPublicKey, UnparsedPublicKey};
    let algorithm = match KeyKind::of(spki)? {
        KeyKind::P256 => &ECDH_P256,
        KeyKind::P384 => &ECDH_P384,
        KeyKind::Rsa { .. } => return Ok(true),
    };
    let key = UnparsedPublicKey::new(algorithm, spki.subject_public_key.raw_bytes());
    Ok(ParsedPublicKey::try_from(key).is_ok())
}

/// SHA-256 over the whole `SubjectPublicKeyInfo`: the key's name in the ledger.
///
/// # Errors
/// A `der` error when the structure can't be encoded.
pub fn sha256(spki: &SubjectPublicKeyInfoOwned) -> der::Result<[u8; 32]> {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, &spki.to_der()?).as_ref());
    Ok(out)
}

/// The subject key identifier that Inro gives to keys: the leftmost 160 bits of the SHA-256 of the key's BIT STRING
/// (RFC 7093, 2, method 1).
///
/// # Errors
/// A `der` error when the octets don't fit, which doesn't happen.
pub fn identifier(spki: &SubjectPublicKeyInfoOwned) -> der::Result<OctetString> {
    let hash = digest::digest(&digest::SHA256, spki.subject_public_key.raw_bytes());
    OctetString::new(&hash.as_ref()[..20])
}

/// SHA-1 of the key's BIT STRING: OCSP's `KeyHash` and one form of `issuerKeyHash` (RFC 6960, 4.1.1 and 4.2.1). A name,
/// not a protection.
pub fn ocsp_key_hash(spki: &SubjectPublicKeyInfoOwned) -> [u8; 20] {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, spki.subject_public_key.raw_bytes());
    let mut out = [0; 20];
    out.copy_from_slice(hash.as_ref());
    out
}
