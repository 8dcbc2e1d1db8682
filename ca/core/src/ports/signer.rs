//! The signer process, which holds the keys and decides for itself.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

pub use crate::domain::receipt::{JournalPosition, JournaledSignature};

use crate::domain::{
    audit::AuditPosition,
    ids::{EnrolmentId, IssuerId, SignerName},
    revocation::Revocation,
};

/// A signer of one issuer: its issuing key and its OCSP responder key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The name of the signer that this node uses for an issuer: it goes into the ledger with each intent.
    ///
    /// # Errors
    /// `Refused` when no signer is configured for the issuer.
    fn name(&self, issuer: &IssuerId) -> Result<SignerName, SignerError>;

    /// Signs a `TBSCertificate`. Repeating an intent with the same bytes returns the first signature.
    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError>;

    /// Signs a `TBSCertList`.
    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError>;

    /// Signs an OCSP `ResponseData` with the issuer's responder key.
    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError>;

    /// Records revocations in the journal, durably and idempotently.
    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError>;

    /// What the journal holds for an intent.
    async fn recorded(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
    ) -> Result<Option<Journaled>, SignerError>;

    /// Entries of the journal after `sequence`, in order, at most `limit`; empty at the end. OCSP counters are left
    /// out, so sequence numbers have gaps.
    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError>;

    /// Which journal it is, and where it ends.
    async fn journal(&self, issuer: &IssuerId) -> Result<JournalHead, SignerError>;

    /// Whether every key of the issuer just signed something that verified.
    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError>;
}

/// A journal's identity and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Random, from the journal's first octets: another journal under the same signer name shows.
    pub journal: Uuid,
    /// The last entry; `None` when it is empty.
    pub last: Option<JournalPosition>,
    /// The furthest place in the ledger's audit trail that an entry carries.
    pub audit: Option<AuditPosition>,
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its place.
    pub position: JournalPosition,
    /// When, by the signer's clock.
    pub at: Timestamp,
    /// Where the ledger's audit trail ended when it was asked for.
    pub audit: AuditPosition,
    /// What it is about.
    pub body: JournalBody,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalBody {
    /// A certificate was signed.
    Certificate(Journaled),
    /// A CRL with this number was signed.
    Crl(u64),
    /// A certificate was revoked.
    Revocation(Revocation),
    /// Another issuer's.
    Foreign,
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
    /// What its hash is over, where the journal was asked in a way that says it.
    pub chained: Option<Chained>,
}

/// What the hash of an entry of the journal is over: SHA-256 of both, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chained {
    /// The hash of the entry before, or the journal's first.
    pub previous: [u8; 32],
    /// The entry's octets: CBOR of the signer's own.
    pub octets: Vec<u8>,
}

/// [`SignerError::Refused`]'s code when something is too old, or dated too far ahead, to be signed.
pub const OUTSIDE_VALIDITY: &str = "outside_validity";

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
