//! The store ports on SQLite.
//!
//! Times are kept to the millisecond. Every write goes through one task with group commit ([`writer`]); queries run on
//! a pool of read-only connections and see everything that was acknowledged before they began. What must never happen
//! is also refused by the schema itself (`migrations/`).

mod approval;
mod audit;
pub mod backup;
mod books;
mod bulk;
mod census;
mod certificate;
mod crl;
mod custody;
mod customer;
mod departure;
mod email;
mod enrolment;
mod fleet;
mod heap;
mod intent;
mod issued;
mod json;
mod lease;
mod login;
mod lookup;
mod orphan;
mod outbox;
mod policy;
mod refusal;
mod rejudgement;
mod renewal;
mod responder;
mod retention;
mod revocation;
mod schema;
mod search;
mod session;
mod signer;
mod staff;
mod straight;
mod token;
mod trust;
mod writer;
mod wrong_password;

use std::{path::Path, sync::Mutex, time::Duration};

use async_trait::async_trait;
use ca_core::{
    domain::audit::AuditEvent,
    ports::{ledger::Ledger, store::StoreResult},
};
use sqlx::{
    SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use store_rows::{applicant, failure, head, outcome, rows};
use tokio::task::JoinHandle;

pub use departure::Departure;
pub use schema::{Migrated, OpenError, migrate};

use crate::{
    failure::Failure,
    head::Head,
    lookup::Lookups,
    outcome::{BoxFuture, Written},
    writer::Writer,
};

/// How the store works; the defaults fit.
#[derive(Clone, Debug)]
pub struct Options {
    /// Facts in a transaction at the most; 1 commits each by itself.
    pub group: usize,
    /// Facts that wait for the writer at the most; then callers wait to queue theirs.
    pub queue: usize,
    /// Connections that answer queries.
    pub readers: u32,
    /// How long to wait for another process (the operator's command line) that is writing.
    pub busy_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { group: 64, queue: 1024, readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

/// The ledger in a SQLite database. Implements every store port; share it as `Arc<SqliteStore>`.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    task: Mutex<Option<JoinHandle<()>>>,
    readers: SqlitePool,
    lookups: Lookups,
    head: Head,
}

impl SqliteStore {
    /// Opens a database that [`migrate`] created or brought up to date. Never creates one.
    ///
    /// # Errors
    /// [`OpenError`] when the file is missing, isn't Inro's, or has another version's schema.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let connect = schema::connect_options(path, options.busy_timeout);
        schema::check(path, &connect).await?;
        let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
        let (writer, task) =
            Writer::start(writing(connect.clone()), options.group.max(1), options.queue.max(1))
                .await
                .map_err(unreadable)?;
        let reading = connect.pragma("query_only", "ON");
        let readers = pool(options.readers.max(1), reading.clone()).await.map_err(unreadable)?;
        let lookups = Lookups::start(pool(1, reading).await.map_err(unreadable)?);
        Ok(Self { writer, task: Mutex::new(Some(task)), readers, lookups, head: Head::default() })
    }

    /// Commits what is queued and closes the database. Later calls are refused as unavailable.
    pub async fn close(&self) {
        self.writer.close();
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the writer ended badly");
        }
        self.lookups.close().await;
        self.readers.close().await;
    }

    fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Writes one fact and waits until it is durable. `audit` is appended if the fact changed something.
    async fn write<T, F>(&self, audit: Option<AuditEvent>, apply: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Written<T>, Failure>>
            + Send
            + 'static,
    {
        Ok(self.writer.write(audit, Box::new(apply)).await?.value)
    }

    /// [`write`](Self::write) of what may revoke. Whatever became of it, the head is asked for anew: an outcome may be
    /// unknown.
    async fn write_revoking<T, F>(&self, audit: AuditEvent, apply: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Written<T>, Failure>>
            + Send
            + 'static,
    {
        let outcome = self.write(Some(audit), apply).await;
        self.head.forget();
        outcome
    }
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn close(&self) {
        Self::close(self).await;
    }
}

/// Connections that only read.
async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        // It is a file: there is nobody to ask whether it is still there.
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

/// Settings of the writing connection alone: a WAL of at most 16 MiB between checkpoints, truncated after a burst; 32 MiB
/// of pages in memory, so that the indexes' inner pages stay there.
fn writing(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "MEMORY")
}

#[cfg(test)]
mod tests {
    //! A full disk, as SQLite reports it, brought about by a limit that only the writing connection has.

    use ca_core::{
        domain::audit::{Actor, AuditEvent},
        ports::store::{AuditStore, StoreError},
    };
    use jiff::Timestamp;
    use sqlx::Connection;

    use super::*;

    fn event(n: usize) -> AuditEvent {
        AuditEvent {
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::System,
            action: "test",
            subject: n.to_string(),
            details: vec![("padding", "x".repeat(2000))],
        }
    }

    #[tokio::test]
    async fn a_full_database_is_unavailable_until_there_is_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        migrate(&path).await.expect("created");
        let options = schema::connect_options(&path, Duration::from_secs(5));
        let mut other = SqliteConnection::connect_with(&options).await.expect("a connection");
        sqlx::query("CREATE TABLE filler AS SELECT zeroblob(400000) AS bytes")
            .execute(&mut other)
            .await
            .expect("filled");
        let pages: i64 =
            sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut other).await.expect("a count");

        let limited = options.clone().pragma("max_page_count", pages.to_string());
        let (writer, task) = Writer::start(limited, 32, 64).await.expect("the writer");
        let readers = SqlitePoolOptions::new().connect_with(options).await.expect("the readers");
        let store = SqliteStore {
            writer,
            task: Mutex::new(Some(task)),
            lookups: Lookups::start(readers.clone()),
            readers,
            head: Head::default(),
        };

        let mut written = 0;
        let refused = loop {
            match store.append(event(written)).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        let StoreError::Unavailable(cause) = &refused else { panic!("{refused:?}") };
        let cause = cause.source().expect("SQLite's word").to_string();
        assert!(cause.contains("full"), "{cause}");
        assert!(store.append(event(written)).await.is_err(), "still full");
        assert_eq!(
            store.head().await.expect("reading works").sequence,
            written as u64,
            "nothing half-written"
        );

        sqlx::query("DROP TABLE filler").execute(&mut other).await.expect("room");
        for n in written..written + 5 {
            store.append(event(n)).await.expect("recovered unaided");
        }
        let rows = store.rows_after(0, 1000).await.expect("rows");
        let mut previous = ca_core::domain::audit::AuditPosition::GENESIS;
        for row in &rows {
            previous = ca_core::domain::audit::verify(previous, row).expect("an unbroken chain");
        }
        assert_eq!(rows.len(), written + 5);
    }
}
