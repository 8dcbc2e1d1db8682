//! Members of staff, their sessions at the console, and what takes two of them.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::store::StoreResult;
use crate::domain::{
    approval::{Approval, Outcome},
    audit::AuditEvent,
    contract::Plan,
    device::Device,
    enrolment::AcquisitionCode,
    ids::{ContractNumber, SerialNumber, StaffId, UserId},
    policy::Assignment,
    staff::Member,
};

/// Members of staff and their sessions.
#[async_trait]
pub trait StaffStore: Send + Sync {
    /// Enters a member: a new one, or one as he or she is from now on. `Taken` when the key is another active member's.
    /// The member's sessions end.
    async fn put_member(&self, member: &Member, audit: AuditEvent) -> StoreResult<()>;
    /// A member by ID.
    async fn member(&self, id: &StaffId) -> StoreResult<Option<Member>>;
    /// The member with this key: the active one, if there is one.
    async fn member_by_key(&self, key_sha256: &[u8; 32]) -> StoreResult<Option<Member>>;
    /// All members by ID, withdrawn ones included.
    async fn members(&self) -> StoreResult<Vec<Member>>;
    /// Withdraws an active member and ends the member's sessions; `Missing` when there is none.
    async fn withdraw_member(&self, id: &StaffId, audit: AuditEvent) -> StoreResult<()>;

    /// Opens a session; `Missing` when the member isn't active with this key.
    async fn open_staff_session(&self, session: &StaffSession, audit: AuditEvent) -> StoreResult<()>;
    /// A session by the SHA-256 of its token.
    async fn staff_session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<StaffSession>>;
    /// Moves a session's idle clock.
    async fn touch_staff_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()>;
    /// Ends a session.
    async fn close_staff_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()>;
    /// Deletes sessions that were last used before `idle_since` or opened before `opened_before`.
    async fn purge_staff_sessions(&self, idle_since: Timestamp, opened_before: Timestamp)
    -> StoreResult<u64>;
}

/// Which certificates the staff CA has revoked.
pub trait StaffRevocations: Send + Sync {
    /// Whether the staff CA's CRL lists this certificate of it.
    fn is_revoked(&self, serial: &SerialNumber) -> bool;
}

/// A member's session, bound to the key of the member's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffSession {
    /// SHA-256 of the cookie's value.
    pub token_sha256: [u8; 32],
    /// SHA-256 of the token that forms carry against cross-site requests.
    pub csrf_sha256: [u8; 32],
    /// Whose.
    pub member: StaffId,
    /// SHA-256 of the key that opened it.
    pub key_sha256: [u8; 32],
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
}

/// Requests that take two. They are only ever added, and end once.
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Enters a request; `Taken` when one of its kind about its subject is open at `asked_at`.
    async fn ask(&self, approval: &Approval, audit: AuditEvent) -> StoreResult<()>;
    /// A request by name.
    async fn approval(&self, id: Uuid) -> StoreResult<Option<Approval>>;
    /// The requests that are open at `now`, oldest first, at most `limit`.
    async fn open_approvals(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Approval>>;
    /// The requests of late, newest first, at most `limit`.
    async fn recent_approvals(&self, limit: u32) -> StoreResult<Vec<Approval>>;
    /// Refuses or withdraws a request; `Missing` when there is none, `Barred` as [`Approval::check`] says of the members
    /// as they are in the commit.
    async fn end_approval(
        &self,
        id: Uuid,
        outcome: Outcome,
        by: &StaffId,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Approves a request and brings about what it asks for, in one commit: nothing, when either can't be. `Barred` as in
    /// [`Self::end_approval`]; else what the effect alone would meet with.
    async fn execute_approval(
        &self,
        id: Uuid,
        by: &StaffId,
        at: Timestamp,
        effect: &Effect,
        audit: AuditEvent,
    ) -> StoreResult<()>;
}

/// What an approved request does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Replaces a user's acquisition code.
    Code(UserId, AcquisitionCode),
    /// Assigns a token to a user.
    Device(UserId, Device),
    /// Gives a contract a policy.
    Policy(Assignment),
    /// Gives a contract a plan; `Quota` when it has more users than that, `Missing` when there is no such contract.
    Plan(ContractNumber, Plan),
    /// Enters a member of staff.
    Member(Member),
}
