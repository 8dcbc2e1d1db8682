//! The store ports on PostgreSQL.
//!
//! Times are kept to the millisecond. Several nodes share the database. Every write of a node goes through one task with
//! group commit ([`writer`]), and the nodes' commits follow one another: each takes the lock of the audit chain first.
//! Queries run on a pool and see everything that was acknowledged, by any node, before they began. What must never happen
//! is also refused by the schema itself (`migrations/`).

mod applicant;
mod approval;
mod arrival;
mod audit;
mod books;
mod bulk;
mod census;
mod certificate;
mod crl;
mod custody;
mod customer;
mod email;
mod enrolment;
mod fleet;
mod intent;
mod issued;
mod lease;
mod login;
mod orphan;
mod outbox;
mod policy;
mod readers;
mod refusal;
mod rejudgement;
mod renewal;
mod responder;
mod retention;
mod revocation;
mod schema;
mod search;
mod server;
mod session;
mod signer;
mod staff;
mod token;
mod trust;
mod writer;
mod wrong_password;

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use ca_core::{
    domain::audit::AuditEvent,
    ports::{ledger::Ledger, store::StoreResult},
};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use store_rows::{failure, head, outcome, rows};
use tokio::task::JoinHandle;

pub use arrival::Arrival;
pub use schema::{Migrated, OpenError, migrate};
pub use server::{InvalidServer, Server};

use crate::{
    failure::Failure,
    head::Head,
    outcome::{BoxFuture, Written},
    readers::Readers,
    server::Use,
    writer::Writer,
};

/// How the store works; the defaults fit.
#[derive(Clone, Debug)]
pub struct Options {
    /// Facts in a transaction at the most; 1 commits each by itself.
    pub group: usize,
    /// Facts that wait for the writer at the most; then callers wait to queue theirs.
    pub queue: usize,
    /// Connections that answer queries; the writer has one more.
    pub readers: u32,
    /// How long to wait for a connection, a new one or one that others use.
    pub acquire_timeout: Duration,
    /// How long a query may take, and each row of a long list, before the connection counts as dead.
    pub read_timeout: Duration,
    /// How long a transaction may take, the wait for other nodes' included, before its outcome counts as unknown.
    pub commit_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group: 64,
            queue: 1024,
            readers: 8,
            acquire_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(15),
        }
    }
}

/// A connection that nobody used for longer is asked whether it still works.
const FRESH: Duration = Duration::from_secs(1);

/// The ledger in a PostgreSQL database. Implements every store port; share it as `Arc<PostgresStore>`.
#[derive(Debug)]
pub struct PostgresStore {
    writer: Writer,
    task: Mutex<Option<JoinHandle<()>>>,
    readers: PgPool,
    read_timeout: Duration,
    head: Head,
}

impl PostgresStore {
    /// Opens a database that [`migrate`] filled or brought up to date.
    ///
    /// # Errors
    /// [`OpenError`] when the server can't be used, or the schema doesn't work with this program.
    pub async fn open(server: &Server, options: &Options) -> Result<Self, OpenError> {
        schema::check(server).await?;
        let unusable = |source| OpenError::Unusable { server: server.clone(), source };
        let (writer, task) = Writer::start(server.clone(), options).await.map_err(unusable)?;
        let readers = PgPoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, state| {
                Box::pin(async move {
                    if state.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| Box::pin(server::prepare(connection, Use::Reading)))
            .connect_with(server.options().clone())
            .await
            .map_err(unusable)?;
        Ok(Self {
            writer,
            task: Mutex::new(Some(task)),
            readers,
            read_timeout: options.read_timeout,
            head: Head::default(),
        })
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
        self.readers.close().await;
    }

    fn readers(&self) -> Readers<'_> {
        Readers::new(&self.readers, self.read_timeout)
    }

    /// Writes one fact and waits until it is durable. `audit` is appended if the fact changed something.
    async fn write<T, F>(&self, audit: Option<AuditEvent>, apply: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Written<T>, Failure>>
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
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Written<T>, Failure>>
            + Send
            + 'static,
    {
        let outcome = self.write(Some(audit), apply).await;
        self.head.forget();
        outcome
    }
}

#[async_trait]
impl Ledger for PostgresStore {
    async fn close(&self) {
        Self::close(self).await;
    }
}
