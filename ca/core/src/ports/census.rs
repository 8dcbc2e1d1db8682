//! What operations want to know of the ledger: how it is, how busy, and how much of what stands in it. Counts and ages
//! only, never content; no decision is taken on them.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::ids::IssuerId;

/// The ledger as operations see it.
#[async_trait]
pub trait LedgerCensus: Send + Sync {
    /// Commits something without meaning, durably: that it succeeds says that the ledger takes writes now.
    async fn probe(&self) -> StoreResult<()>;
    /// Whether the database's schema is one that this program works with. Another program may have migrated it since.
    async fn schema_fits(&self) -> StoreResult<bool>;
    /// Counts what is unfinished; cheap enough for every quarter of a minute.
    async fn unfinished(&self, issuer: &IssuerId) -> StoreResult<Unfinished>;
    /// What the current CRL says of itself, without its entries.
    async fn crl(&self, issuer: &IssuerId) -> StoreResult<Option<CrlHead>>;
    /// How many live certificates (issued, not revoked) have a notAfter from `from` on and before `until`. Reads much of
    /// a large ledger: for every hour.
    async fn expiring(&self, issuer: &IssuerId, from: Timestamp, until: Timestamp) -> StoreResult<u64>;
    /// How busy the engine is; touches no database.
    fn load(&self) -> LedgerLoad;
}

/// What an issuer's ledger holds that isn't finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Intents without a certificate, of users and of OCSP responders, neither revoked nor given up.
    pub open_intents: u64,
    /// notBefore of the oldest of them: the second in which it was drafted.
    pub oldest_intent: Option<Timestamp>,
    /// Certificates of a signer's journal that the ledger never intended and that aren't revoked.
    pub orphans: u64,
    /// Revocations that a signer's journal lacks, the furthest behind counting.
    pub unjournaled_revocations: u64,
}

/// A published CRL without its DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlHead {
    /// CRL number.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// Entries.
    pub entries: u64,
}

/// How busy the database engine is. Counters begin at 0 with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerLoad {
    /// Connections that may answer queries.
    pub readers: u32,
    /// Of these, how many do so now.
    pub readers_busy: u32,
    /// Facts that wait for the writer.
    pub queued: u64,
    /// Facts that may wait; beyond it callers wait to queue theirs.
    pub queue_limit: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failed_commits: u64,
    /// Facts in the transactions that were committed.
    pub facts: u64,
    /// Microseconds spent in transactions, committed or not.
    pub commit_micros: u64,
}
