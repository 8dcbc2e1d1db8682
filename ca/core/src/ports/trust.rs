//! The trust store: bundles of anchors as two officers signed them. What they mean, and whether the signatures hold, is not
//! the store's to judge: whoever reads a bundle checks it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::audit::AuditEvent;

/// An officer's signature under a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficerSignature {
    /// The officer's name, as the configuration had it. Claimed: the signature says who it was.
    pub officer: String,
    /// When.
    pub at: Timestamp,
    /// CMS `SignedData`, detached, DER.
    pub cms: Vec<u8>,
}

/// A bundle that one officer has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedTrust {
    /// The version that it will be.
    pub version: u32,
    /// The document, octet for octet as it was signed.
    pub bundle: Vec<u8>,
    /// The officer who staged it.
    pub first: OfficerSignature,
}

/// A version: a bundle that a second officer has signed too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRecord {
    /// The version, from 1.
    pub version: u32,
    /// The document, octet for octet as it was signed.
    pub bundle: Vec<u8>,
    /// The officer who staged it.
    pub first: OfficerSignature,
    /// The officer who approved it.
    pub second: OfficerSignature,
}

/// Versions of the trust bundle. They are only ever added.
#[async_trait]
pub trait TrustStore: Send + Sync {
    /// Stages a bundle in the place of one that may be staged already; `Missing` when its version isn't the one after the
    /// newest.
    async fn stage_trust(&self, staged: &StagedTrust, audit: AuditEvent) -> StoreResult<()>;
    /// Takes the staged bundle back; `Missing` when there is none.
    async fn withdraw_trust(&self, audit: AuditEvent) -> StoreResult<()>;
    /// The staged bundle.
    async fn staged_trust(&self) -> StoreResult<Option<StagedTrust>>;
    /// Makes the staged bundle the newest version; `Missing` when exactly this isn't what is staged.
    async fn approve_trust(
        &self,
        staged: &StagedTrust,
        second: &OfficerSignature,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// The newest version's number; `None` before the first. Cheap to ask for again and again.
    async fn trust_head(&self) -> StoreResult<Option<u32>>;
    /// A version.
    async fn trust(&self, version: u32) -> StoreResult<Option<TrustRecord>>;
}
