//! The algorithm identifiers of TPM 2.0 (Part 2, 6.3) that Inro knows, and the hashes among them.

use aws_lc_rs::{digest, hmac};

/// `TPM_ALG_RSA`.
pub(super) const RSA: u16 = 0x0001;
/// `TPM_ALG_AES`.
pub(super) const AES: u16 = 0x0006;
/// `TPM_ALG_NULL`.
pub(super) const NULL: u16 = 0x0010;
/// `TPM_ALG_RSASSA`.
pub(super) const RSASSA: u16 = 0x0014;
/// `TPM_ALG_RSAES`.
pub(super) const RSAES: u16 = 0x0015;
/// `TPM_ALG_RSAPSS`.
pub(super) const RSAPSS: u16 = 0x0016;
/// `TPM_ALG_OAEP`.
pub(super) const OAEP: u16 = 0x0017;
/// `TPM_ALG_ECDSA`.
pub(super) const ECDSA: u16 = 0x0018;
/// `TPM_ALG_ECDH`.
pub(super) const ECDH: u16 = 0x0019;
/// `TPM_ALG_ECDAA`, whose scheme has a counter besides the hash.
pub(super) const ECDAA: u16 = 0x001a;
/// `TPM_ALG_ECMQV`.
pub(super) const ECMQV: u16 = 0x001d;
/// `TPM_ALG_ECC`.
pub(super) const ECC: u16 = 0x0023;
/// `TPM_ALG_CFB`.
pub(super) const CFB: u16 = 0x0043;

/// `TPM_ECC_NIST_P256` (Part 2, 6.4).
pub(super) const NIST_P256: u16 = 0x0003;
/// `TPM_ECC_NIST_P384`.
pub(super) const NIST_P384: u16 = 0x0004;

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1: only for signatures, and only where the policy allows it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// By its identifier.
    pub(super) fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0004 => Some(Self::Sha1),
            0x000b => Some(Self::Sha256),
            0x000c => Some(Self::Sha384),
            0x000d => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Its identifier.
    pub(super) fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The hash of these octets.
    pub(super) fn of(self, octets: &[u8]) -> Vec<u8> {
        digest::digest(self.digest(), octets).as_ref().to_vec()
    }

    /// The length of its values, in octets.
    pub(super) fn length(self) -> usize {
        self.digest().output_len()
    }

    /// HMAC with it.
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}
