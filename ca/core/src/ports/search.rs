//! Looking for customers, and into the audit trail, in a ledger of any size: every question reads a bounded piece of an
//! index.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::{
    audit::AuditRow,
    contract::Contract,
    ids::{ContractNumber, TokenSerial, UserId},
    user::User,
};

/// Audit rows of certificates in passing, which the certificates' own rows tell as well: too many to be found by their
/// subject. The stores' index leaves out exactly these.
pub const NOT_BY_SUBJECT: [&str; 4] =
    ["enrolment.opened", "certificate.intended", "certificate.issued", "certificate.confirmed"];

/// Rows of the audit trail that somebody asks for; what is `None` doesn't matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who, as the row has it, such as `staff:hanako`.
    pub actor: Option<String>,
    /// The action, or the beginning of one that ends with a dot, such as `user.`.
    pub action: Option<String>,
    /// What it was about.
    pub subject: Option<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

/// Searches.
#[async_trait]
pub trait SearchStore: Send + Sync {
    /// Contracts whose name begins so, by name and number, after the one given.
    async fn contracts_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &ContractNumber)>,
        limit: u32,
    ) -> StoreResult<Vec<Contract>>;
    /// Users whose display name begins so, by name and ID, after the one given.
    async fn users_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &UserId)>,
        limit: u32,
    ) -> StoreResult<Vec<User>>;
    /// Users whose ID begins so, by ID, after the one given.
    async fn users_by_id(&self, prefix: &str, after: Option<&UserId>, limit: u32) -> StoreResult<Vec<User>>;
    /// The users who have a token of this serial number assigned, or a living certificate on one.
    async fn users_by_token(&self, serial: &TokenSerial) -> StoreResult<Vec<User>>;
    /// Audit rows about this subject before a number, newest first; without those of [`NOT_BY_SUBJECT`].
    async fn audit_about(&self, subject: &str, before: u64, limit: u32) -> StoreResult<Vec<AuditRow>>;
    /// Audit rows that the filter lets through, newest first, among the `window` rows before a number.
    async fn audit_before(
        &self,
        filter: &AuditFilter,
        before: u64,
        window: u64,
        limit: u32,
    ) -> StoreResult<Vec<AuditRow>>;
}

/// A text that sorts after every text that begins with `prefix`, octet by octet.
pub fn after_prefix(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}
