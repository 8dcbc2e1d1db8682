//! The signer process, which holds the keys and decides for itself.

use async_trait::async_trait;
use jiff::Timestamp;

pub use crate::domain::receipt::{JournalPosition, JournaledSignature};

use crate::domain::{
    ids::{EnrolmentId, IssuerId},
    revocation::Revocation,
};

/// A signer of one issuer: its issuing key and its OCSP responder key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs a `TBSCertificate`. Repeating an intent with the same bytes returns the first signature.
    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: [u8; 32],
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError>;

    /// Signs a `TBSCertList`.
    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: [u8; 32],
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError>;

    /// Signs an OCSP `ResponseData` with the issuer's responder key.
    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError>;

    /// Records revocations in the journal, durably and idempotently.
    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: [u8; 32],
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError>;

    /// What the journal holds for an intent.
    async fn recorded(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
    ) -> Result<Option<Journaled>, SignerError>;

    /// Certificates in the journal after `sequence`, in order, at most `limit`; and the last position looked at.
    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<(Vec<Journaled>, u64), SignerError>;

    /// Whether every key of the issuer just signed something that verified.
    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError>;
}

/// A certificate in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journaled {
    /// The intent.
    pub intent: EnrolmentId,
    /// What was signed.
    pub tbs: Vec<u8>,
    /// The signature and its place.
    pub signature: JournaledSignature,
    /// When, by the signer's clock.
    pub at: Timestamp,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The signer's policy said no: a defect or an attack, never retried.
    #[error("the signer refused ({code}): {detail}")]
    Refused {
        /// The refusal's kind.
        code: String,
        /// The particulars.
        detail: String,
    },
    /// Not now. Whether a signature exists is unknown until [`Signer::recorded`] is asked or the same intent is
    /// sent again.
    #[error("the signer is not available: {0}")]
    Unavailable(String),
    /// The PIN is latched; an operator must act.
    #[error("the signer is locked out: {0}")]
    LockedOut(String),
}
