//! The ledger. Texts are what the domain's types let through and what ca-core writes itself: they hold no NUL, which
//! PostgreSQL can't keep.

mod certificates;
mod customers;
mod login;
mod revocations;
mod signers;

use async_trait::async_trait;
use jiff::SignedDuration;

pub use certificates::{Application, CertificateStore, FreshChallenge, Orphan, StoredEvidence};
pub use customers::CustomerStore;
pub use login::{LoginEntry, LoginStore, PasswordBy, Session};
pub use revocations::{HEAD_LAG, NextCrl, RevocationStore, RevokeOutcome, Unjournaled};
pub use signers::{SignerRecord, SignerStore};

pub use crate::domain::{
    crl::PublishedCrl,
    ocsp::LedgerStatus,
    receipt::{IntentReceipt, IssuedReceipt},
};

use crate::domain::{
    approval::Barred,
    audit::{AuditEvent, AuditPosition, AuditRow},
};

/// Why a store method did nothing. What is merely not found is `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The commit would break a rule that the store guards; nothing was changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// Busy, full or out of reach for now; nothing was changed, or whether it was is unknown.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row that Inro can't have written.
    #[error("the database holds a row that is corrupt: {what}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        what: String,
    },
}

/// The rule that a commit would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The number or ID is taken, now or by a removed user.
    #[error("it is already registered")]
    Taken,
    /// The contract, user, enrolment or certificate that it belongs to isn't there, or not in a fit state.
    #[error("what it belongs to is missing or not in a fit state")]
    Missing,
    /// The contract has its master, or all its general users.
    #[error("the contract's plan is exhausted")]
    Quota,
    /// The user already holds a certificate or an open intent (rule 1).
    #[error("the user already has a certificate")]
    OnePerUser,
    /// The key is certified already, or the token serves another user.
    #[error("the key or token is in use by another certificate")]
    DeviceInUse,
    /// The inventory doesn't let the token be used: it is another contract's, or out of use.
    #[error("the token inventory doesn't let the token be used")]
    TokenUnfit,
    /// The acquisition code is wrong, used, expired or burnt.
    #[error("the acquisition code is not valid")]
    Code,
    /// A CRL with this number exists, or a higher one.
    #[error("the CRL number doesn't rise")]
    CrlNumber,
    /// What takes two members of staff may not be decided so.
    #[error("{0}")]
    Barred(Barred),
    /// The signer is known with another journal.
    #[error("the signer's journal is not the one that the ledger knows it by")]
    OtherJournal,
}

/// Shorthand for store results.
pub type StoreResult<T> = Result<T, StoreError>;

/// Which node does what only one may do at a time.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes or prolongs the lease by `lifetime`, by the database's clock; false when another holder has it.
    async fn take_lease(&self, name: &str, holder: &str, lifetime: SignedDuration) -> StoreResult<bool>;
    /// Gives the lease back, if this holder has it.
    async fn release_lease(&self, name: &str, holder: &str) -> StoreResult<()>;
}

/// The audit trail by itself: decisions that change nothing else, and reading.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends a row.
    async fn append(&self, event: AuditEvent) -> StoreResult<()>;
    /// The last row's place.
    async fn head(&self) -> StoreResult<AuditPosition>;
    /// Rows after a number, in order.
    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>>;
}
