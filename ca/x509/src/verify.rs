//! Signature checks by aws-lc-rs.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    algorithm::SignatureAlgorithm,
    key::{self, KeyError, KeyKind},
};

/// Why a signature isn't accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The key is unknown or malformed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An ECDSA signature by an RSA key, or the reverse.
    #[error("the signature algorithm doesn't fit the key")]
    Mismatch,
    /// The signature isn't by this key over this message.
    #[error("the signature is wrong")]
    Wrong,
}

/// Checks `signature` (DER `ECDSA-Sig-Value`, or PKCS #1 v1.5) by `spki` over `message`. RSA keys from 2048 to 8192
/// bits.
///
/// # Errors
/// [`VerifyError`] whenever it isn't right.
pub fn verify(
    spki: &SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let verifier = verifier(KeyKind::of(spki)?, algorithm)?;
    UnparsedPublicKey::new(verifier, spki.subject_public_key.raw_bytes())
        .verify(message, signature)
        .map_err(|_| VerifyError::Wrong)
}

/// As [`verify`], and also by keys on P-521, over SHA-512. Only device makers have such keys, in certificates that stand above
/// their devices': nothing is ever certified for one here, so [`KeyKind`] doesn't know them.
///
/// # Errors
/// [`VerifyError`] whenever it isn't right.
pub fn verify_of_maker(
    spki: &SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    if !key::is_p521(spki) {
        return verify(spki, algorithm, message, signature);
    }
    if algorithm != SignatureAlgorithm::EcdsaSha512 {
        return Err(VerifyError::Mismatch);
    }
    UnparsedPublicKey::new(&signature::ECDSA_P521_SHA512_ASN1, spki.subject_public_key.raw_bytes())
        .verify(message, signature)
        .map_err(|_| VerifyError::Wrong)
}

fn verifier(
    key: KeyKind,
    algorithm: SignatureAlgorithm,
) -> Result<&'static dyn VerificationAlgorithm, VerifyError> {
    use SignatureAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512, RsaSha256, RsaSha384, RsaSha512};
    Ok(match (key, algorithm) {
        (KeyKind::P256, EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, EcdsaSha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, EcdsaSha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::Rsa { .. }, RsaSha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, RsaSha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, RsaSha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(VerifyError::Mismatch),
    })
}
