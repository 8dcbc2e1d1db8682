//! `TPMT_SIGNATURE` (TPM 2.0 Part 2, 11.3.4), checked by aws-lc-rs.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use ca_x509::{KeyKind, ecdsa};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{
    algorithm::{self, Hash},
    public::padded,
    reader::{Malformed, Reader},
    refusal::TpmRefusal,
};

const WHICH: &str = "attestation key's signature";

/// A signature with its scheme: RSASSA-PKCS1-v1_5, or ECDSA as `ECDSA-Sig-Value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The hash of the message.
    pub hash: Hash,
    /// The octets, as X.509 has them.
    pub octets: Vec<u8>,
}

impl Signature {
    /// Reads a signature by `key`.
    ///
    /// # Errors
    /// [`TpmRefusal`] when it is none, or of a scheme that isn't known.
    pub fn parse(octets: &[u8], key: &SubjectPublicKeyInfoOwned) -> Result<Self, TpmRefusal> {
        let malformed = |Malformed| TpmRefusal::Malformed { which: WHICH };
        let mut reader = Reader::new(octets);
        let scheme = reader.u16().map_err(malformed)?;
        if !matches!(scheme, algorithm::RSASSA | algorithm::ECDSA) {
            return Err(TpmRefusal::Unsupported { which: WHICH });
        }
        let hash = Hash::from_id(reader.u16().map_err(malformed)?);
        let hash = hash.ok_or(TpmRefusal::Unsupported { which: WHICH })?;
        let octets = if scheme == algorithm::RSASSA {
            reader.sized().map_err(malformed)?.to_vec()
        } else {
            let (r, s) = (reader.sized().map_err(malformed)?, reader.sized().map_err(malformed)?);
            let length = if KeyKind::of(key) == Ok(KeyKind::P384) { 48 } else { 32 };
            let fixed = padded(r, length).zip(padded(s, length)).map(|(r, s)| [r, s].concat());
            let fixed = fixed.ok_or(TpmRefusal::Malformed { which: WHICH })?;
            ecdsa::der_from_fixed(&fixed).map_err(|_| TpmRefusal::Malformed { which: WHICH })?
        };
        reader.finish().map_err(malformed)?;
        Ok(Self { hash, octets })
    }

    /// Whether it is `key`'s over `message`. RSA keys have 2048 to 8192 bits; ECDSA never goes with SHA-1.
    pub(super) fn is_by(&self, key: &SubjectPublicKeyInfoOwned, message: &[u8]) -> bool {
        let Ok(kind) = KeyKind::of(key) else { return false };
        let Some(verifier) = verifier(kind, self.hash) else { return false };
        UnparsedPublicKey::new(verifier, key.subject_public_key.raw_bytes())
            .verify(message, &self.octets)
            .is_ok()
    }
}

fn verifier(kind: KeyKind, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (kind, hash) {
        (KeyKind::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::Rsa { bits: 2048..=8192 }, Hash::Sha1) => {
            &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        (KeyKind::Rsa { .. }, Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::P256 | KeyKind::P384 | KeyKind::Rsa { .. }, Hash::Sha1) => return None,
    })
}
