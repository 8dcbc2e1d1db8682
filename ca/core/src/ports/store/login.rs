//! Passwords, portal sessions, and who logged in with what.

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    device::Device,
    ids::{IssuerId, SerialNumber, UserId},
    user::{PasswordHash, PasswordKind},
};

/// Passwords and portal sessions.
#[async_trait]
pub trait LoginStore: Send + Sync {
    /// Sets a password, forgets the wrong ones of its kind and ends the user's sessions. When the user does it, the
    /// session that it is done in goes on; without it, or when the user is locked or suspended, it is `Missing`.
    async fn set_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        hash: &PasswordHash,
        by: PasswordBy,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A user's password hash.
    async fn password(&self, id: &UserId, kind: PasswordKind) -> StoreResult<Option<PasswordHash>>;
    /// The user's passwords that somebody else set and handed over, and that the user hasn't changed since.
    async fn initial_passwords(&self, id: &UserId) -> StoreResult<Vec<PasswordKind>>;
    /// Counts a wrong password at the portal (never at the enrolment API, rule 13), each kind by itself; at `lock_at`
    /// wrong ones of one kind in a row the user is locked, whichever kind it was. Returns the count.
    async fn count_wrong_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        now: Timestamp,
        lock_at: u32,
        audit: AuditEvent,
    ) -> StoreResult<u32>;
    /// Forgets the wrong passwords of this kind after a right one; `Missing` when the user was locked or suspended
    /// meanwhile, so that of many guesses at once none counts after the one that locks.
    async fn accept_password(&self, id: &UserId, kind: PasswordKind, audit: AuditEvent) -> StoreResult<()>;
    /// Unlocks a user and forgets the wrong passwords of both kinds.
    async fn unlock(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()>;
    /// Opens a session after a successful login, forgets wrong login passwords (of the other kind nothing was proven),
    /// confirms the certificate. `Missing` when the user may not act, or for what
    /// [`confirm`](super::CertificateStore::confirm) says.
    async fn open_session(&self, session: &Session, audit: AuditEvent) -> StoreResult<()>;
    /// A session by the SHA-256 of its token.
    async fn session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<Session>>;
    /// Moves a session's idle clock.
    async fn touch_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()>;
    /// Ends a session.
    async fn close_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()>;
    /// Deletes sessions that were last used before `idle_since` or opened before `opened_before`.
    async fn purge_sessions(&self, idle_since: Timestamp, opened_before: Timestamp) -> StoreResult<u64>;
    /// The user's last logins, newest first.
    async fn last_logins(&self, id: &UserId, limit: u32) -> StoreResult<Vec<LoginEntry>>;
}

/// Who sets a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordBy {
    /// The user, in the session with this SHA-256 of its token.
    User([u8; 32]),
    /// A master or a branch, who hands it over: an initial one, which the user changes at the next login.
    Issuer,
    /// The command line, in a bootstrap or a demonstration: it stands as it is.
    Operator,
}

impl PasswordBy {
    /// The session that goes on.
    pub fn session(&self) -> Option<&[u8; 32]> {
        match self {
            Self::User(token_sha256) => Some(token_sha256),
            Self::Issuer | Self::Operator => None,
        }
    }
}

/// A login that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginEntry {
    /// When.
    pub at: Timestamp,
    /// With which certificate.
    pub serial: SerialNumber,
    /// Where its key lives.
    pub device: Device,
}

/// A portal session, bound to one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie's value.
    pub token_sha256: [u8; 32],
    /// SHA-256 of the token that forms carry against cross-site requests.
    pub csrf_sha256: [u8; 32],
    /// Whose.
    pub user: UserId,
    /// The issuer of the certificate it is bound to.
    pub issuer: IssuerId,
    /// The serial number of the certificate it is bound to.
    pub serial: SerialNumber,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
}
