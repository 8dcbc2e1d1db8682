//! Why a TPM's evidence is refused.

use super::{Manufacturer, attributes::Attributes};

/// The reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmRefusal {
    /// A structure isn't what it should be.
    #[error("the {which} is malformed")]
    Malformed {
        /// Which one.
        which: &'static str,
    },
    /// A structure is of a kind that isn't known, such as another curve.
    #[error("the {which} is of a kind that is not accepted")]
    Unsupported {
        /// Which one.
        which: &'static str,
    },
    /// The endorsement key isn't made by a template of the TCG's.
    #[error("the endorsement key is of no template of the TCG EK Credential Profile")]
    EkTemplate,
    /// The endorsement key can be broken.
    #[error("the endorsement key is weak: {0}")]
    EkWeak(crate::domain::key_quality::WeakKey),
    /// The certificate is no endorsement key's.
    #[error("the endorsement key's certificate is for another purpose: {problem}")]
    EkCertificate {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The certificate is of another endorsement key.
    #[error("the endorsement key's certificate is of another key")]
    EkCertificateKey,
    /// The certificate, or one above it, has expired.
    #[error("the endorsement key's certificate, or one above it, has expired")]
    EkExpired,
    /// Nothing vouches for the TPM.
    #[error("the endorsement key has no certificate, and the bank doesn't know it")]
    EkUnknown,
    /// A maker that isn't accepted.
    #[error("TPMs of the maker {} are not accepted", .found.map_or_else(|| "unknown".to_owned(), |maker| maker.to_string()))]
    Manufacturer {
        /// As the certificate says.
        found: Option<Manufacturer>,
    },
    /// The attestation key isn't one.
    #[error("the attestation key must {} the attribute {attribute}", must(*.is_set))]
    AkAttributes {
        /// Which attribute.
        attribute: Attributes,
        /// Whether it is set, and mustn't be.
        is_set: bool,
    },
    /// The attestation key signs in no way that is accepted.
    #[error("the attestation key is bound to no signature scheme that is accepted")]
    AkScheme,
    /// Another attestation key than the challenge was made for.
    #[error("the attestation key is another than the one that the challenge was made for")]
    AkName,
    /// The certificate is no attestation key's.
    #[error("the attestation key's certificate is for another purpose: {problem}")]
    AkCertificate {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The certificate is of another attestation key.
    #[error("the attestation key's certificate is of another key")]
    AkCertificateKey,
    /// The attestation wasn't made by a TPM.
    #[error("the attestation doesn't begin with the TPM's magic number")]
    Magic,
    /// It attests something else.
    #[error("the attestation is not of a key's certification")]
    Type,
    /// It wasn't signed by the attestation key.
    #[error("the attestation is not signed by the attestation key")]
    CertifySignature,
    /// It was made for another challenge or key.
    #[error("the attestation was made for another challenge")]
    QualifyingData,
    /// It is of another key.
    #[error("the attestation is of another key: the Name differs")]
    Name,
    /// A signature over SHA-1.
    #[error("the attestation is signed over SHA-1, which is not accepted")]
    Sha1,
    /// The user's key could be elsewhere, or come from elsewhere, or sign what it shouldn't.
    #[error("the key must {} the attribute {attribute}", must(*.is_set))]
    KeyAttributes {
        /// Which attribute.
        attribute: Attributes,
        /// Whether it is set, and mustn't be.
        is_set: bool,
    },
    /// The key can be used in other ways than by its auth value.
    #[error("the key has a policy, by which it could be used without its PIN")]
    KeyPolicy,
}

fn must(is_set: bool) -> &'static str {
    if is_set { "not have" } else { "have" }
}

impl TpmRefusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "evidence-tpm-malformed",
            Self::Unsupported { .. } => "evidence-tpm-unsupported",
            Self::EkTemplate => "evidence-ek-template",
            Self::EkWeak(_) => "evidence-ek-weak",
            Self::EkCertificate { .. } => "evidence-ek-certificate",
            Self::EkCertificateKey => "evidence-ek-certificate-key",
            Self::EkExpired => "evidence-ek-expired",
            Self::EkUnknown => "evidence-ek-unknown",
            Self::Manufacturer { .. } => "evidence-tpm-manufacturer",
            Self::AkAttributes { .. } => "evidence-ak-attributes",
            Self::AkScheme => "evidence-ak-scheme",
            Self::AkName => "evidence-ak-name",
            Self::AkCertificate { .. } => "evidence-ak-certificate",
            Self::AkCertificateKey => "evidence-ak-certificate-key",
            Self::Magic => "evidence-certify-magic",
            Self::Type => "evidence-certify-type",
            Self::CertifySignature => "evidence-certify-signature",
            Self::QualifyingData => "evidence-certify-qualifying-data",
            Self::Name => "evidence-certify-name",
            Self::Sha1 => "evidence-certify-sha1",
            Self::KeyAttributes { .. } => "evidence-key-attributes",
            Self::KeyPolicy => "evidence-key-policy",
        }
    }
}
