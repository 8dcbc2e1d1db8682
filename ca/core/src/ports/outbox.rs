//! The outbox: mail that waits to be delivered, and what became of it. What is told is queued by the commits of its causes;
//! here are the notices that time alone causes, and the way out.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    ids::{IssuerId, UserId},
    mail::{MailId, MailKind, MailState, OutboxMail},
};

/// Living certificates of an issuer whose notAfter lies in a piece of time, and which are due a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryNotice {
    /// The issuer.
    pub issuer: IssuerId,
    /// The notice.
    pub kind: MailKind,
    /// notAfter from then on …
    pub from: Timestamp,
    /// … and before then.
    pub until: Timestamp,
}

/// A mail that was claimed for an attempt, with what its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedMail {
    /// The mail. `attempts` and `next_attempt_at` name the attempt: it settles nothing after it was taken for lost.
    pub mail: OutboxMail,
    /// The user's display name.
    pub name: String,
    /// The code that confirms a new address. Not shown by anything but the mail.
    pub code: Option<String>,
    /// notAfter of the certificate that the mail is about.
    pub not_after: Option<Timestamp>,
    /// Whether that certificate is revoked by now.
    pub is_revoked: bool,
    /// When the first plan that stands has it revoked.
    pub to_be_revoked_at: Option<Timestamp>,
    /// What it says of plans.
    pub announcement: Announcement,
}

/// What a mail about the plans for a certificate says, and what others said; nothing of any other mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The date of the revocation; none when it is called off.
    pub revoke_at: Option<Timestamp>,
    /// The date that the user was told, or may have been told, by the last mail before it.
    pub told: Option<Timestamp>,
    /// Whether a later mail says how it is by now.
    pub is_overtaken: bool,
}

/// How a mail is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Not [`MailState::Queued`].
    pub state: MailState,
    /// When.
    pub at: Timestamp,
    /// What the mail server said, or why there was nothing to ask it.
    pub answer: String,
}

/// Which mails somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailList {
    /// Queued ones, the oldest first.
    Queued,
    /// Bounced ones, the latest first.
    Bounced,
    /// A user's, the latest first.
    OfUser(UserId),
}

/// What the outbox holds that isn't finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Queued mails.
    pub queued: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<Timestamp>,
    /// Bounced ones that are still kept.
    pub bounced: u64,
}

/// The outbox.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Queues the notice for at most `limit` certificates that haven't had it and whose users have an address (rule 6:
    /// exactly once for each certificate and kind, whoever else queues at the same time). Returns how many.
    async fn queue_expiry_notices(
        &self,
        notice: &ExpiryNotice,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<u64>;
    /// Takes the queued mail that has been due at `now` for the longest. Until `lost_at` nobody else gets it.
    async fn claim_mail(&self, now: Timestamp, lost_at: Timestamp) -> StoreResult<Option<ClaimedMail>>;
    /// Ends the attempt with the mail; the code in it is forgotten. `false` when another attempt has begun since.
    async fn settle_mail(
        &self,
        attempt: &OutboxMail,
        settlement: &Settlement,
        audit: Option<AuditEvent>,
    ) -> StoreResult<bool>;
    /// Ends the attempt, and there is another one later. `false` when another attempt has begun since.
    async fn postpone_mail(&self, attempt: &OutboxMail, until: Timestamp, answer: &str) -> StoreResult<bool>;
    /// Withdraws everything that is queued; returns how much.
    async fn withdraw_all_mail(&self, at: Timestamp, answer: &str) -> StoreResult<u64>;
    /// Queues a bounced mail anew, to the address that its user has now (an [`EmailChanged`](MailKind::EmailChanged)
    /// to the old one, as before). `false` when there is no such mail, or it held a code, which is gone.
    async fn retry_mail(&self, id: MailId, now: Timestamp, audit: AuditEvent) -> StoreResult<bool>;
    /// A mail by its number.
    async fn mail(&self, id: MailId) -> StoreResult<Option<OutboxMail>>;
    /// At most `limit` mails of a list.
    async fn mails(&self, list: &MailList, limit: u32) -> StoreResult<Vec<OutboxMail>>;
    /// What isn't finished; cheap enough for every quarter of a minute.
    async fn mail_backlog(&self) -> StoreResult<Backlog>;
}
