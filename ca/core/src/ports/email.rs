//! Changes of users' e-mail addresses: proposed, and confirmed by the code that only the new address gets.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::{audit::AuditEvent, ids::UserId, mail::EmailAddress};

/// A new address that isn't confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailChange {
    /// The address.
    pub email: EmailAddress,
    /// SHA-256 of the code that was mailed to it.
    pub sha256: [u8; 32],
    /// The code is worthless afterwards.
    pub expires_at: Timestamp,
    /// Wrong codes left before it is burnt.
    pub attempts_left: u8,
}

/// Changes of addresses. Each is done in a portal session: `session` is the SHA-256 of its token, and without it, or when
/// the user is locked or suspended, nothing is done (`Missing`).
#[async_trait]
pub trait EmailStore: Send + Sync {
    /// Enters a change in place of an earlier one and queues the mail with the code. `false`, and nothing is done, when
    /// the user was sent `most` codes since `since`.
    async fn propose_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        change: &EmailChange,
        code: &str,
        (since, most): (Timestamp, u32),
        audit: AuditEvent,
    ) -> StoreResult<bool>;
    /// The change that waits for its code.
    async fn email_change(&self, user: &UserId) -> StoreResult<Option<EmailChange>>;
    /// Takes one attempt from the code, as far as one is left, and writes the audit row in any case.
    async fn spend_email_attempt(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()>;
    /// Makes the change with this code and queues the notice to the old address; `Code` when there is none with it that
    /// lives at `now`.
    async fn confirm_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        sha256: &[u8; 32],
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Forgets a change that waits; without one, nothing is done.
    async fn drop_email_change(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()>;
}
