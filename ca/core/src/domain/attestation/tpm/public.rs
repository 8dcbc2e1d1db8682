//! `TPMT_PUBLIC` (TPM 2.0 Part 2, 12.2.4): a key's public area, and its Name (Part 1, 16), which binds all of it.

use ca_x509::key::on_curve;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::{
    Any, Encode,
    asn1::{BitString, UintRef},
};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{
    algorithm::{self, Hash},
    attributes::Attributes,
    reader::{Malformed, Reader},
    refusal::TpmRefusal,
};

/// A public area has at most so many octets: RSA-4096 with a SHA-512 policy has under 650.
const MAX_PUBLIC_BYTES: usize = 1024;

/// The exponent that stands for itself as 0 (Part 2, 12.2.3.5).
const DEFAULT_EXPONENT: u32 = 65_537;

/// A public area that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// The hash of its Name.
    pub name_hash: Hash,
    /// What the TPM does with it.
    pub attributes: Attributes,
    /// authPolicy; empty where no policy authorises anything.
    pub policy: Vec<u8>,
    /// The cipher by which a storage key protects its children.
    pub symmetric: Option<Symmetric>,
    /// The scheme that a signing key is bound to.
    pub scheme: Option<Scheme>,
    /// The key itself.
    pub key: SubjectPublicKeyInfoOwned,
    name: Vec<u8>,
}

/// A storage key's cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetric {
    /// `TPM_ALG_ID`.
    pub algorithm: u16,
    /// Bits of its key.
    pub bits: u16,
    /// `TPM_ALG_ID` of its mode.
    pub mode: u16,
}

/// A key's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// `TPM_ALG_ID`.
    pub algorithm: u16,
    /// `TPM_ALG_ID` of its hash, where it has one.
    pub hash: Option<u16>,
}

impl Public {
    /// Reads a public area of an RSA or P-256 or P-384 key.
    ///
    /// # Errors
    /// [`TpmRefusal`] names it `which` where it is none, or of a kind that isn't known.
    pub fn parse(octets: &[u8], which: &'static str) -> Result<Self, TpmRefusal> {
        if octets.len() > MAX_PUBLIC_BYTES {
            return Err(TpmRefusal::Malformed { which });
        }
        let read = Raw::read(octets).map_err(|Malformed| TpmRefusal::Malformed { which })?;
        let unsupported = TpmRefusal::Unsupported { which };
        let name_hash = Hash::from_id(read.name_hash).filter(|hash| *hash != Hash::Sha1);
        let name_hash = name_hash.ok_or(unsupported.clone())?;
        let name = [&name_hash.id().to_be_bytes()[..], &name_hash.of(octets)].concat();
        Ok(Self {
            name_hash,
            attributes: Attributes::from_bits(read.attributes).ok_or(TpmRefusal::Malformed { which })?,
            policy: read.policy.to_vec(),
            symmetric: read.symmetric,
            scheme: read.scheme,
            key: read.key.subject_public_key_info().ok_or(unsupported)?,
            name,
        })
    }

    /// Its Name: the hash's identifier, and the hash of the whole area.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

struct Raw<'a> {
    name_hash: u16,
    attributes: u32,
    policy: &'a [u8],
    symmetric: Option<Symmetric>,
    scheme: Option<Scheme>,
    key: Key<'a>,
}

enum Key<'a> {
    Rsa { bits: u16, exponent: u32, modulus: &'a [u8] },
    Ecc { curve: u16, x: &'a [u8], y: &'a [u8] },
    Unknown,
}

impl<'a> Raw<'a> {
    fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let (kind, name_hash) = (reader.u16()?, reader.u16()?);
        let attributes = reader.u32()?;
        let policy = reader.sized()?;
        if !matches!(kind, algorithm::RSA | algorithm::ECC) {
            let key = Key::Unknown;
            return Ok(Self { name_hash, attributes, policy, symmetric: None, scheme: None, key });
        }
        let symmetric = symmetric(&mut reader)?;
        let scheme = scheme(&mut reader)?;
        let key = if kind == algorithm::RSA {
            let (bits, exponent) = (reader.u16()?, reader.u32()?);
            Key::Rsa { bits, exponent, modulus: reader.sized()? }
        } else {
            let curve = reader.u16()?;
            // The key derivation scheme has no meaning for any key (Part 2, 12.2.3.6), but may have a hash.
            if reader.u16()? != algorithm::NULL {
                reader.u16()?;
            }
            Key::Ecc { curve, x: reader.sized()?, y: reader.sized()? }
        };
        reader.finish()?;
        Ok(Self { name_hash, attributes, policy, symmetric, scheme, key })
    }
}

/// `TPMT_SYM_DEF_OBJECT` (Part 2, 11.1.7).
fn symmetric(reader: &mut Reader<'_>) -> Result<Option<Symmetric>, Malformed> {
    match reader.u16()? {
        algorithm::NULL => Ok(None),
        algorithm => Ok(Some(Symmetric { algorithm, bits: reader.u16()?, mode: reader.u16()? })),
    }
}

/// `TPMT_RSA_SCHEME` or `TPMT_ECC_SCHEME` (Part 2, 11.2.4.2 and 11.2.5.6).
fn scheme(reader: &mut Reader<'_>) -> Result<Option<Scheme>, Malformed> {
    let algorithm = reader.u16()?;
    let hash = match algorithm {
        algorithm::NULL => return Ok(None),
        algorithm::RSAES => None,
        algorithm::ECDAA => {
            let hash = reader.u16()?;
            reader.u16()?;
            Some(hash)
        }
        algorithm::RSASSA
        | algorithm::RSAPSS
        | algorithm::OAEP
        | algorithm::ECDSA
        | algorithm::ECDH..=algorithm::ECMQV => Some(reader.u16()?),
        _ => return Err(Malformed),
    };
    Ok(Some(Scheme { algorithm, hash }))
}

impl Key<'_> {
    fn subject_public_key_info(&self) -> Option<SubjectPublicKeyInfoOwned> {
        let spki = match *self {
            Self::Rsa { bits, exponent, modulus } => rsa(bits, exponent, modulus),
            Self::Ecc { curve, x, y } => ecc(curve, x, y),
            Self::Unknown => None,
        };
        spki.filter(|spki| on_curve(spki) == Ok(true))
    }
}

fn rsa(bits: u16, exponent: u32, modulus: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let is_full =
        modulus.len() * 8 == usize::from(bits) && modulus.first().is_some_and(|first| *first >= 0x80);
    if !is_full || !matches!(bits, 2048 | 3072 | 4096) {
        return None;
    }
    let exponent = if exponent == 0 { DEFAULT_EXPONENT } else { exponent }.to_be_bytes();
    let key = ca_x509::key::RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        public_exponent: UintRef::new(&exponent).ok()?,
    };
    spki(AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) }, &key.to_der().ok()?)
}

fn ecc(curve: u16, x: &[u8], y: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    let (curve, length) = match curve {
        algorithm::NIST_P256 => (SECP_256_R_1, 32),
        algorithm::NIST_P384 => (SECP_384_R_1, 48),
        _ => return None,
    };
    let point = [&[4][..], &padded(x, length)?, &padded(y, length)?].concat();
    let parameters = Some(Any::encode_from(&curve).ok()?);
    spki(AlgorithmIdentifierOwned { oid: ID_EC_PUBLIC_KEY, parameters }, &point)
}

/// A coordinate in its full length: some TPMs leave leading zeros away.
pub(super) fn padded(coordinate: &[u8], length: usize) -> Option<Vec<u8>> {
    let missing = length.checked_sub(coordinate.len())?;
    Some([vec![0; missing].as_slice(), coordinate].concat())
}

fn spki(algorithm: AlgorithmIdentifierOwned, key: &[u8]) -> Option<SubjectPublicKeyInfoOwned> {
    Some(SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(key).ok()? })
}
