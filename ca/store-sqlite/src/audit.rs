//! The audit trail: appended by the writer inside each transaction, read by anyone.

use async_trait::async_trait;
use ca_core::{
    domain::audit::{AuditEvent, AuditPosition, AuditRow},
    ports::store::{AuditStore, StoreResult},
};
use serde::Serialize;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::{
    SqliteStore,
    failure::Failure,
    json::json,
    outcome::Written,
    rows::{digest, unsigned},
};

/// The rows of one transaction, chained onto the head that it found.
#[derive(Debug)]
pub(crate) struct Trail {
    head: AuditPosition,
    rows: Vec<AuditRow>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    sequence: u64,
    at: i64,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    details: &'a str,
    hash: String,
}

impl Trail {
    /// Starts at the head inside the transaction.
    pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        // Nothing may be chained onto a head that can't be read.
        let head = head(connection).await.map_err(Failure::into_sql)?;
        Ok(Self { head, rows: Vec::new() })
    }

    /// Begins a transaction, and starts at the head inside it: one question to SQLite's thread.
    pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let begin = "BEGIN IMMEDIATE; SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
        let last: Option<(i64, Vec<u8>)> = sqlx::query_as(begin).fetch_optional(connection).await?;
        let head = last.map_or(Ok(AuditPosition::GENESIS), |(sequence, hash)| position(sequence, &hash));
        Ok(Self { head: head.map_err(Failure::into_sql)?, rows: Vec::new() })
    }

    /// Inserts the rows and commits such a transaction, in one question too. Returns the new head.
    pub(crate) async fn commit(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<AuditPosition, sqlx::Error> {
        let commit = "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
             INSERT INTO audit (sequence, at, actor, action, subject, details, hash)
             SELECT j.value ->> 'sequence', j.value ->> 'at', j.value ->> 'actor', j.value ->> 'action',
                    j.value ->> 'subject', j.value ->> 'details', unhex(j.value ->> 'hash')
             FROM j ORDER BY j.key;
             COMMIT";
        sqlx::query(commit).bind(self.json()?).execute(connection).await?;
        Ok(self.head)
    }

    /// Starts at a head that was the last one a moment ago. Should it not be any more, the rows are refused: the trail has
    /// no gaps, and no number twice.
    pub(crate) fn behind(head: AuditPosition) -> Self {
        Self { head, rows: Vec::new() }
    }

    /// Adds the row of a fact that was written.
    pub(crate) fn append(&mut self, event: &AuditEvent) {
        let row = AuditRow::following(self.head, event);
        self.head = row.position();
        self.rows.push(row);
    }

    /// The last row's position, or the one that it started at.
    pub(crate) fn head(&self) -> AuditPosition {
        self.head
    }

    /// The rows for a statement.
    pub(crate) fn json(&self) -> Result<String, sqlx::Error> {
        json(self.rows.iter().map(|row| JsonRow {
            sequence: row.sequence,
            at: row.at_ms,
            actor: &row.actor,
            action: &row.action,
            subject: &row.subject,
            details: &row.details,
            hash: hex::encode(row.hash),
        }))
    }

    /// Inserts the rows and returns the new head.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<AuditPosition, sqlx::Error> {
        if !self.rows.is_empty() {
            let json = self.json()?;
            sqlx::query!(
                "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
                 INSERT INTO audit (sequence, at, actor, action, subject, details, hash)
                 SELECT j.value ->> 'sequence', j.value ->> 'at', j.value ->> 'actor', j.value ->> 'action',
                        j.value ->> 'subject', j.value ->> 'details', unhex(j.value ->> 'hash')
                 FROM j ORDER BY j.key",
                json
            )
            .execute(connection)
            .await?;
        }
        Ok(self.head)
    }
}

/// The last row's number and hash.
pub(crate) async fn head(executor: impl SqliteExecutor<'_>) -> Result<AuditPosition, Failure> {
    let row = sqlx::query!("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(executor)
        .await?;
    row.map_or(Ok(AuditPosition::GENESIS), |row| position(row.sequence, &row.hash))
}

fn position(sequence: i64, hash: &[u8]) -> Result<AuditPosition, Failure> {
    Ok(AuditPosition { sequence: unsigned("audit.sequence", sequence)?, hash: digest("audit.hash", hash)? })
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append(&self, event: AuditEvent) -> StoreResult<()> {
        self.write(Some(event), |_| Box::pin(async { Ok(Written::Changed(())) })).await
    }

    async fn head(&self) -> StoreResult<AuditPosition> {
        Ok(head(self.readers()).await?)
    }

    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        Ok(rows_after(self.readers(), sequence, limit).await?)
    }
}

/// Rows after a number, in order.
pub(crate) async fn rows_after(
    executor: impl SqliteExecutor<'_>,
    sequence: u64,
    limit: u32,
) -> Result<Vec<AuditRow>, Failure> {
    // Beyond what SQLite counts to there are no rows.
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    let rows = sqlx::query_as!(
        StoredRow,
        "SELECT sequence, at, actor, action, subject, details, hash FROM audit
             WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(AuditRow::try_from).collect()
}

/// A row of `audit`.
pub(crate) struct StoredRow {
    pub(crate) sequence: i64,
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) details: String,
    pub(crate) hash: Vec<u8>,
}

impl TryFrom<StoredRow> for AuditRow {
    type Error = Failure;

    fn try_from(row: StoredRow) -> Result<Self, Failure> {
        Ok(Self {
            sequence: unsigned("audit.sequence", row.sequence)?,
            at_ms: row.at,
            hash: digest("audit.hash", &row.hash)?,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            details: row.details,
        })
    }
}
