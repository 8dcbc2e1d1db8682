//! Kept PUKs and requests to unblock, in the ledger.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::store::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    certificate::CertificateRecord,
    custody::{KeptPuk, Sealed, Unblocking},
    device::Device,
    ids::{IdempotencyKey, UserId},
};

/// How many requests a user may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskLimit {
    /// Requests that were made after this moment count.
    pub since: Timestamp,
    /// So many at the most.
    pub at_most: u32,
}

/// Custody. A PUK's row is deleted when the token has another one; a request's never.
#[async_trait]
pub trait CustodyStore: Send + Sync {
    /// Keeps a PUK that the token may get now, beside the one that it has: `proven`, or none of ours. Every other one of
    /// the token is deleted. `Taken` when the deposit's name is in use, `Missing` when `proven` isn't one of the token.
    async fn deposit_puk(&self, puk: &KeptPuk, proven: Option<Uuid>, audit: AuditEvent) -> StoreResult<()>;
    /// The token has the deposited PUK: every other one of the token is deleted, and the unblocking it belongs to, if
    /// any, is done. Nothing is written when it is so already; `Missing` when there is no such deposit.
    async fn confirm_puk(
        &self,
        deposit: Uuid,
        unblocking: Option<Uuid>,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A kept PUK.
    async fn puk(&self, deposit: Uuid) -> StoreResult<Option<KeptPuk>>;
    /// The PUKs of a token, the last deposited first: two at the most.
    async fn puks_of(&self, device: &Device) -> StoreResult<Vec<KeptPuk>>;
    /// PUKs under another version of the custody key than this: at most `limit` after the deposit `after`.
    async fn puks_not_under(
        &self,
        key_version: u32,
        after: Option<Uuid>,
        limit: u32,
    ) -> StoreResult<Vec<KeptPuk>>;
    /// Encrypts a PUK anew. `Missing` when it isn't kept any more.
    async fn reseal_puk(&self, deposit: Uuid, sealed: &Sealed, audit: AuditEvent) -> StoreResult<()>;
    /// How many PUKs are kept under each version of the custody key.
    async fn puk_census(&self) -> StoreResult<Vec<(u32, u64)>>;

    /// Enters a request; what else the user has open is withdrawn in the same commit. `Taken` when the idempotency key
    /// was used, `Quota` at the limit.
    async fn ask_unblocking(&self, asked: &Unblocking, limit: AskLimit, audit: AuditEvent)
    -> StoreResult<()>;
    /// Gives a request another bearer. No row: nothing was decided.
    async fn rebear_unblocking(&self, id: Uuid, bearer_sha256: &[u8; 32]) -> StoreResult<()>;
    /// A request.
    async fn unblocking(&self, id: Uuid) -> StoreResult<Option<Unblocking>>;
    /// A request by the agent's key.
    async fn unblocking_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Unblocking>>;
    /// The requests of a user, newest first.
    async fn unblockings_of(&self, user: &UserId, limit: u32) -> StoreResult<Vec<Unblocking>>;
    /// The requests that wait for a decision at `now`, oldest first.
    async fn waiting_unblockings(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Unblocking>>;
    /// Approves a waiting request, or declines it; `Missing` when it doesn't wait any more at `at`.
    async fn decide_unblocking(
        &self,
        id: Uuid,
        approved: bool,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// The PUK of an approved request is about to be handed out: of several at once one finds room, the others are
    /// `Missing`.
    async fn release_unblocking(
        &self,
        id: Uuid,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;

    /// The certificates on a token that are neither revoked nor given up.
    async fn living_on(&self, device: &Device) -> StoreResult<Vec<CertificateRecord>>;
}
