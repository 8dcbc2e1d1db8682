//! Erasing personal data whose period is over. What may go is decided in the commit that takes it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::{audit::AuditEvent, retention::PersonalData};

/// A record of a kind of personal data, as the store names it. Means nothing to anybody else, and is no personal data
/// but for removed users, whose ID it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub String);

/// Personal data whose period is over.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// How many records of the kind have a period that began before `before`. Reads much of a large ledger.
    async fn count_erasable(&self, kind: PersonalData, before: Timestamp) -> StoreResult<u64>;
    /// At most `limit` of them, in no particular order. Reads much of a large ledger.
    async fn erasable(
        &self,
        kind: PersonalData,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<RecordKey>>;
    /// Erases exactly these; `Missing`, and nothing is changed, when one of them isn't, or isn't any more, what may be
    /// erased. Of a removed user name, addresses, logins, settled mails and counts of wrong passwords go; the ID stays.
    async fn erase(
        &self,
        kind: PersonalData,
        before: Timestamp,
        keys: &[RecordKey],
        audit: AuditEvent,
    ) -> StoreResult<()>;
}
