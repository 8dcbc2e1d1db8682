//! TPM 2.0 key attestation: an endorsement key (EK) that the maker or the bank knows, an attestation key (AK) that lives
//! in the same TPM, and the AK's word for where the user's key was made.

mod ak;
mod algorithm;
mod attest;
mod attributes;
mod certificate;
mod credential;
mod ek;
#[cfg(any(test, feature = "testing"))]
pub mod fixtures;
mod identity;
mod key_policy;
mod public;
mod reader;
mod refusal;
mod signature;
mod statement;
#[cfg(test)]
mod tests;
mod vouching;

use std::fmt;

pub use ak::AttestationKey;
pub use algorithm::Hash;
pub use attest::certified_key;
pub use attributes::Attributes;
pub use certificate::{Make, Vouched, key_of, of_attestation_key, of_endorsement_key};
pub use credential::{Credential, NotMade, make_credential};
pub use ek::{EndorsementKey, serial};
pub use identity::Identity;
pub use public::Public;
pub use refusal::TpmRefusal;
pub use signature::Signature;
pub use statement::{CertifiedKey, Statement, examine, qualifying_data};
pub use vouching::{Vouchers, Word};

/// The evidence. Public areas are `TPMT_PUBLIC` octets (TPM 2.0 Part 2, 12.2.4), certificates are DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmEvidence {
    /// The endorsement key.
    pub ek_public: Vec<u8>,
    /// Its maker's certificate, where the TPM holds one.
    pub ek_certificate: Option<Vec<u8>>,
    /// Certificates between it and the root, if the agent has any; they only help to find the way.
    pub ek_intermediates: Vec<Vec<u8>>,
    /// The attestation key.
    pub ak_public: Vec<u8>,
    /// The attestation key's certificate and those above it, where a maker certified that key itself.
    pub ak_certificates: Vec<Vec<u8>>,
    /// The user's key.
    pub key_public: Vec<u8>,
    /// `TPMS_ATTEST` (Part 2, 10.12.12) of `TPM2_Certify`.
    pub certify_info: Vec<u8>,
    /// `TPMT_SIGNATURE` (Part 2, 11.3.4) of the attestation key over it.
    pub certify_signature: Vec<u8>,
}

impl TpmEvidence {
    /// Its parts for storage: `ek_public`, `ak_public`, `key_public`, `certify_info`, `certify_signature`, the EK's
    /// certificate (empty where there is none), the number of its intermediates in one octet, those intermediates, and
    /// the AK's certificates.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let number = u8::try_from(self.ek_intermediates.len()).unwrap_or(u8::MAX);
        let own = [
            self.ek_public.clone(),
            self.ak_public.clone(),
            self.key_public.clone(),
            self.certify_info.clone(),
            self.certify_signature.clone(),
            self.ek_certificate.clone().unwrap_or_default(),
            vec![number],
        ];
        own.into_iter().chain(self.ek_intermediates.clone()).chain(self.ak_certificates.clone()).collect()
    }

    /// The evidence of such [`parts`](Self::parts); `None` when they aren't.
    pub fn from_parts(parts: &[Vec<u8>]) -> Option<Self> {
        let [
            ek_public,
            ak_public,
            key_public,
            certify_info,
            certify_signature,
            ek_certificate,
            number,
            rest @ ..,
        ] = parts
        else {
            return None;
        };
        let [number] = number.as_slice() else { return None };
        let (ek_intermediates, ak_certificates) = rest.split_at_checked(usize::from(*number))?;
        Some(Self {
            ek_public: ek_public.clone(),
            ek_certificate: Some(ek_certificate.clone()).filter(|der| !der.is_empty()),
            ek_intermediates: ek_intermediates.to_vec(),
            ak_public: ak_public.clone(),
            ak_certificates: ak_certificates.to_vec(),
            key_public: key_public.clone(),
            certify_info: certify_info.clone(),
            certify_signature: certify_signature.clone(),
        })
    }
}

/// Which TPMs are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmRules {
    /// Only TPMs of these makers; `None` for any whose anchors are trusted.
    pub manufacturers: Option<Vec<Manufacturer>>,
    /// Whether an endorsement key's certificate counts after its notAfter: healthy machines outlive theirs.
    pub accept_expired_ek_certificates: bool,
    /// Whether an endorsement key without certificate counts when the bank knows its hash.
    pub accept_ek_by_inventory: bool,
    /// Whether signatures over SHA-1 by the attestation key count.
    pub accept_sha1: bool,
}

impl Default for TpmRules {
    /// Any maker that is trusted, endorsement keys by a certificate that is valid or by the bank's own knowledge, no SHA-1.
    fn default() -> Self {
        Self {
            manufacturers: None,
            accept_expired_ek_certificates: false,
            accept_ek_by_inventory: true,
            accept_sha1: false,
        }
    }
}

/// A TPM maker's identifier in the TCG vendor ID registry, such as `IFX` (0x49465800).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Manufacturer(pub u32);

impl fmt::Display for Manufacturer {
    /// The four characters of the registry without fillers, or else eight hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.0.to_be_bytes();
        let text = octets.trim_ascii_end();
        let end = text.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        match std::str::from_utf8(&text[..end]) {
            Ok(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                f.write_str(text)
            }
            _ => write!(f, "{:08X}", self.0),
        }
    }
}

/// What shows that a TPM is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Voucher {
    /// The maker's certificate for its endorsement key.
    EkCertificate,
    /// The bank's inventory, by the hash of its endorsement key.
    Inventory,
    /// A certificate for its attestation key.
    AkCertificate,
}

impl Voucher {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EkCertificate => "ek-certificate",
            Self::Inventory => "inventory",
            Self::AkCertificate => "ak-certificate",
        }
    }
}

/// What is particular to a key in a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm {
    /// What shows that the TPM is genuine.
    pub voucher: Voucher,
    /// What its certificate says of it.
    pub make: Make,
    /// Whether a certificate that vouches for it has expired.
    pub is_expired: bool,
    /// The hash under the attestation key's signature.
    pub signature_hash: Hash,
    /// What the TPM does with the user's key.
    pub attributes: Attributes,
    /// The Name of the attestation key.
    pub ak_name: Vec<u8>,
    /// The Name of the user's key.
    pub key_name: Vec<u8>,
}

impl Tpm {
    /// What was decoded, as `name=value` lines.
    pub(super) fn decoded(&self) -> Vec<String> {
        let unknown = || "unknown".to_owned();
        let make = &self.make;
        vec![
            format!("voucher={}", self.voucher.as_str()),
            format!("manufacturer={}", make.manufacturer.map_or_else(unknown, |maker| maker.to_string())),
            format!("model={}", make.model.clone().unwrap_or_else(unknown)),
            format!("version={}", make.version.clone().unwrap_or_else(unknown)),
            format!("voucher_expired={}", self.is_expired),
            format!("attributes={}", self.attributes),
            format!("signature_hash={}", self.signature_hash.as_str()),
            format!("ak_name={}", hex::encode(&self.ak_name)),
            format!("key_name={}", hex::encode(&self.key_name)),
        ]
    }
}
