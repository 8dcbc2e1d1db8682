//! Plans that follow from judging the fleet's evidence again: whose certificates are to be revoked, when and why.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::{RevokeOutcome, StoreResult};
use crate::domain::{
    audit::AuditEvent,
    ids::{IssuerId, SerialNumber, UserId},
    revocation::RevocationReason,
};

/// A certificate whose evidence doesn't stand any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Its issuer.
    pub issuer: IssuerId,
    /// Its serial number.
    pub serial: SerialNumber,
    /// Whose it is: who has to be told.
    pub user: UserId,
    /// The refusal's stable code.
    pub code: String,
    /// The refusal in words.
    pub detail: String,
}

/// A plan before it is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRejudgement {
    /// Who planned it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What the evidence was held against, for people.
    pub basis: String,
    /// How many certificates were judged.
    pub judged: u64,
    /// When those that fell out are revoked.
    pub revoke_at: Timestamp,
    /// The reason that the revocations give.
    pub reason: RevocationReason,
    /// Those that fell out.
    pub fallen: Vec<Fallen>,
}

/// How a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanEnd {
    /// Its certificates are revoked.
    Done,
    /// Somebody called it off; what it had revoked by then stays revoked.
    Cancelled,
}

impl PlanEnd {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Done, Self::Cancelled].into_iter().find(|end| end.as_str() == text)
    }
}

/// A plan in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejudgement {
    /// Its number, from 1.
    pub id: u64,
    /// Who planned it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What the evidence was held against.
    pub basis: String,
    /// How many certificates were judged.
    pub judged: u64,
    /// How many fell out.
    pub fallen: u64,
    /// When they are revoked.
    pub revoke_at: Timestamp,
    /// The reason that the revocations give.
    pub reason: RevocationReason,
    /// How and when it ended; `None` while it stands.
    pub ended: Option<(PlanEnd, Timestamp)>,
}

/// Plans of revocation after a new judgement. They are only ever added, and end once.
#[async_trait]
pub trait RejudgementStore: Send + Sync {
    /// Enters a plan; returns its number. In the same commit the users of its living certificates are told the first date of
    /// the plans that stand ([`ToBeRevoked`](crate::domain::mail::MailKind::ToBeRevoked)), if it isn't the one that they were
    /// told last. A mail that was withdrawn told nobody.
    async fn plan_rejudgement(&self, plan: &NewRejudgement, audit: AuditEvent) -> StoreResult<u64>;
    /// All plans, oldest first.
    async fn rejudgements(&self) -> StoreResult<Vec<Rejudgement>>;
    /// The certificates of a plan, ordered by issuer and serial number.
    async fn fallen(&self, plan: u64) -> StoreResult<Vec<Fallen>>;
    /// When the first plan that stands has a certificate revoked.
    async fn planned_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<Timestamp>>;
    /// Revokes a certificate for a plan that names it and stands, with the plan's reason, as
    /// [`RevocationStore::revoke`](super::store::RevocationStore::revoke) does; `Missing` when there is none, or it has
    /// ended. So whoever ended a plan knows that nothing is revoked by it from then on.
    async fn revoke_fallen(
        &self,
        plan: u64,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome>;
    /// Ends a plan; `Missing` when there is none, or it has ended. In the same commit the users of its living certificates
    /// are told the first date that is left, or that there is none any more
    /// ([`NotToBeRevoked`](crate::domain::mail::MailKind::NotToBeRevoked)), as by `plan_rejudgement`.
    async fn end_rejudgement(
        &self,
        plan: u64,
        end: PlanEnd,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
}
