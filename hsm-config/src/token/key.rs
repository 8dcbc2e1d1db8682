//! Keys on a token: their identifier, kind, and how they sign.

use std::fmt;
use std::str::FromStr;

use ca_x509::SignatureAlgorithm;
use serde::{Deserialize, Serialize};

/// What a key signs for nothing but to show that it does, and how fast. It begins no DER structure, so the signature is
/// good for nothing.
pub(crate) const PROBE: &[u8] = b"Inro looks whether and how fast this key signs";

/// `CKA_ID` of a key pair: 1 to 32 bytes, written in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Vec<u8>);

/// Not a [`KeyId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key ID: write 1 to 32 bytes in hexadecimal, such as \"a1\" or \"0001\"")]
pub struct KeyIdError(String);

impl KeyId {
    /// Stands for an ID that could not be read, in a specification that is then not returned.
    pub(crate) fn placeholder() -> Self {
        Self(vec![0])
    }

    /// The bytes of `CKA_ID`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        match hex::decode(text) {
            Ok(bytes) if (1..=32).contains(&bytes.len()) => Ok(Self(bytes)),
            _ => Err(KeyIdError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        hex::encode(id.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The kinds of key that a certificate authority of this house has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, signing with SHA-256.
    P256,
    /// ECDSA on NIST P-384, signing with SHA-384.
    P384,
    /// RSA with a modulus of 3072 bits, PKCS#1 v1.5 with SHA-256.
    Rsa3072,
    /// RSA with a modulus of 4096 bits, PKCS#1 v1.5 with SHA-256.
    Rsa4096,
}

impl KeyAlgorithm {
    /// How such a key signs.
    pub fn mechanism(self) -> SignatureMechanism {
        match self {
            Self::P256 => SignatureMechanism::EcdsaP256Sha256,
            Self::P384 => SignatureMechanism::EcdsaP384Sha384,
            Self::Rsa3072 | Self::Rsa4096 => SignatureMechanism::RsaPkcs1Sha256,
        }
    }

    /// Bits of the RSA modulus, `None` for elliptic curves.
    pub fn modulus_bits(self) -> Option<u32> {
        match self {
            Self::P256 | Self::P384 => None,
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
        })
    }
}

/// How to sign a message; the digest is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignatureMechanism {
    /// ecdsa-with-SHA256 on P-256.
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384 on P-384.
    EcdsaP384Sha384,
    /// sha256WithRSAEncryption.
    RsaPkcs1Sha256,
}

impl From<SignatureAlgorithm> for SignatureMechanism {
    fn from(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaSha384 => Self::EcdsaP384Sha384,
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha512 => Self::EcdsaP256Sha256,
            SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha384 | SignatureAlgorithm::RsaSha512 => {
                Self::RsaPkcs1Sha256
            }
        }
    }
}
