//! Signature algorithms by their `AlgorithmIdentifier` (RFC 5758, RFC 8017).

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{
        ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_256_WITH_RSA_ENCRYPTION,
        SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
    },
};
use der::Any;
use spki::AlgorithmIdentifierOwned;

use crate::key::KeyKind;

/// The signature algorithms that Inro verifies; it signs with [`SignatureAlgorithm::for_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256
    EcdsaSha256,
    /// ecdsa-with-SHA384
    EcdsaSha384,
    /// ecdsa-with-SHA512
    EcdsaSha512,
    /// sha256WithRSAEncryption
    RsaSha256,
    /// sha384WithRSAEncryption
    RsaSha384,
    /// sha512WithRSAEncryption
    RsaSha512,
}

/// An algorithm that Inro doesn't know, or whose parameters are wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature algorithm {0} is not supported")]
pub struct UnsupportedAlgorithm(pub ObjectIdentifier);

impl SignatureAlgorithm {
    const ALL: [Self; 6] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
    ];

    /// What a key of this kind signs with: the hash of the curve's size, SHA-256 for RSA.
    pub fn for_key(key: KeyKind) -> Self {
        match key {
            KeyKind::P256 => Self::EcdsaSha256,
            KeyKind::P384 => Self::EcdsaSha384,
            KeyKind::Rsa { .. } => Self::RsaSha256,
        }
    }

    /// The object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaSha256 => ECDSA_WITH_SHA_256,
            Self::EcdsaSha384 => ECDSA_WITH_SHA_384,
            Self::EcdsaSha512 => ECDSA_WITH_SHA_512,
            Self::RsaSha256 => SHA_256_WITH_RSA_ENCRYPTION,
            Self::RsaSha384 => SHA_384_WITH_RSA_ENCRYPTION,
            Self::RsaSha512 => SHA_512_WITH_RSA_ENCRYPTION,
        }
    }

    /// Whether it is an RSA algorithm (PKCS #1 v1.5).
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512)
    }

    /// The identifier as it stands in certificates: NULL parameters for RSA (RFC 4055, 5), none for ECDSA (RFC 5758,
    /// 3.2).
    pub fn identifier(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid: self.oid(), parameters: self.is_rsa().then(Any::null) }
    }

    /// Reads an identifier. RSA's NULL may be missing, as it is in some devices' certificates.
    ///
    /// # Errors
    /// [`UnsupportedAlgorithm`] for any other algorithm or parameters.
    pub fn from_identifier(identifier: &AlgorithmIdentifierOwned) -> Result<Self, UnsupportedAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.oid() == identifier.oid)
            .filter(|algorithm| match &identifier.parameters {
                None => true,
                Some(parameters) => algorithm.is_rsa() && parameters.is_null(),
            })
            .ok_or(UnsupportedAlgorithm(identifier.oid))
    }
}
