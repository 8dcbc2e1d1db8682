//! `SIGNED{}` structures (certificates, CRLs, certification requests): the bytes that were signed, the algorithm, the
//! signature. A signature is checked over the original bytes, never over a re-encoding.

use der::{Decode, Encode, Header, Reader, Sequence, SliceReader, asn1::BitString};
use spki::AlgorithmIdentifierOwned;

use crate::{
    algorithm::{SignatureAlgorithm, UnsupportedAlgorithm},
    verify::{VerifyError, verify, verify_of_maker},
};

/// A signed structure, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The to-be-signed structure, exactly as it came.
    pub tbs: &'a [u8],
    /// The outer `signatureAlgorithm`.
    pub algorithm: AlgorithmIdentifierOwned,
    /// The signature's octets.
    pub signature: Vec<u8>,
}

/// Why a signed structure isn't accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// It isn't a SEQUENCE of three in DER, or something follows it.
    #[error("the structure is not valid DER")]
    Malformed(#[source] der::Error),
    /// Its algorithm is unknown.
    #[error(transparent)]
    Algorithm(#[from] UnsupportedAlgorithm),
    /// Its signature is wrong.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

impl<'a> Signed<'a> {
    /// Takes a signed structure apart.
    ///
    /// # Errors
    /// A `der` error when it is anything else, also with trailing bytes.
    pub fn parse(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let header = Header::decode(&mut reader)?;
        header.tag().assert_eq(der::Tag::Sequence)?;
        let signed = reader.read_nested(header.length(), |inner| {
            let tbs = inner.tlv_bytes()?;
            Ok::<_, der::Error>(Self {
                tbs,
                algorithm: AlgorithmIdentifierOwned::decode(inner)?,
                signature: BitString::decode(inner)?
                    .as_bytes()
                    .ok_or(der::Tag::BitString.value_error())?
                    .to_vec(),
            })
        })?;
        reader.finish()?;
        Ok(signed)
    }

    /// Checks the signature by `issuer`.
    ///
    /// # Errors
    /// [`SignedError`] when the algorithm is unknown or the signature wrong.
    pub fn verify(&self, issuer: &spki::SubjectPublicKeyInfoOwned) -> Result<(), SignedError> {
        let algorithm = SignatureAlgorithm::from_identifier(&self.algorithm)?;
        Ok(verify(issuer, algorithm, self.tbs, &self.signature)?)
    }

    /// Checks the signature by a device maker's `issuer`, whose key may also be on P-521.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_of_maker(&self, issuer: &spki::SubjectPublicKeyInfoOwned) -> Result<(), SignedError> {
        let algorithm = SignatureAlgorithm::from_identifier(&self.algorithm)?;
        Ok(verify_of_maker(issuer, algorithm, self.tbs, &self.signature)?)
    }
}

#[derive(Sequence)]
struct Assembled<'a> {
    tbs: der::asn1::AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Puts a signed structure together; `tbs` stands in it byte for byte.
///
/// # Errors
/// A `der` error when `tbs` isn't one DER value.
pub fn assemble(tbs: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> der::Result<Vec<u8>> {
    Assembled {
        tbs: der::asn1::AnyRef::from_der(tbs)?,
        algorithm: algorithm.identifier(),
        signature: BitString::from_bytes(signature)?,
    }
    .to_der()
}
