//! The audit trail: appended by the writer inside each transaction, read by anyone.

use async_trait::async_trait;
use ca_core::{
    domain::audit::{AuditEvent, AuditPosition, AuditRow},
    ports::store::{AuditStore, StoreResult},
};
use sqlx::{PgConnection, PgExecutor};

use crate::{
    PostgresStore,
    failure::Failure,
    outcome::Written,
    rows::{digest, signed, unsigned},
};

/// The rows of one transaction, chained onto the head that it found.
#[derive(Debug)]
pub(crate) struct Trail {
    head: AuditPosition,
    rows: Vec<AuditRow>,
}

impl Trail {
    /// Starts at the head inside the transaction.
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let head = head(connection).await.map_err(unwritable)?;
        Ok(Self { head, rows: Vec::new() })
    }

    /// Adds the row of a fact that was written.
    pub(crate) fn append(&mut self, event: &AuditEvent) {
        let row = AuditRow::following(self.head, event);
        self.head = row.position();
        self.rows.push(row);
    }

    /// Inserts the rows and returns the new head.
    pub(crate) async fn write(self, connection: &mut PgConnection) -> Result<AuditPosition, sqlx::Error> {
        if self.rows.is_empty() {
            return Ok(self.head);
        }
        let column = |text: fn(&AuditRow) -> &String| self.rows.iter().map(text).collect::<Vec<_>>();
        let sequences = self.rows.iter().map(|row| signed("audit.sequence", row.sequence));
        let sequences = sequences.collect::<Result<Vec<i64>, _>>().map_err(unwritable)?;
        let times: Vec<i64> = self.rows.iter().map(|row| row.at_ms).collect();
        let hashes: Vec<&[u8]> = self.rows.iter().map(|row| row.hash.as_slice()).collect();
        sqlx::query!(
            "INSERT INTO audit (sequence, at, actor, action, subject, details, hash)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                                  $7::bytea[])",
            &sequences,
            &times,
            &column(|row| &row.actor) as &[&String],
            &column(|row| &row.action) as &[&String],
            &column(|row| &row.subject) as &[&String],
            &column(|row| &row.details) as &[&String],
            &hashes as &[&[u8]]
        )
        .execute(connection)
        .await?;
        Ok(self.head)
    }
}

/// Nothing may be chained onto a head that can't be read.
fn unwritable(failure: Failure) -> sqlx::Error {
    match failure {
        Failure::Sql(error) => error,
        other => sqlx::Error::Decode(format!("{other:?}").into()),
    }
}

/// The last row's number and hash.
pub(crate) async fn head(executor: impl PgExecutor<'_>) -> Result<AuditPosition, Failure> {
    let row = sqlx::query!("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(executor)
        .await?;
    row.map_or(Ok(AuditPosition::GENESIS), |row| {
        Ok(AuditPosition {
            sequence: unsigned("audit.sequence", row.sequence)?,
            hash: digest("audit.hash", &row.hash)?,
        })
    })
}

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append(&self, event: AuditEvent) -> StoreResult<()> {
        self.write(Some(event), |_| Box::pin(async { Ok(Written::Changed(())) })).await
    }

    async fn head(&self) -> StoreResult<AuditPosition> {
        Ok(head(self.readers()).await?)
    }

    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        // Beyond what PostgreSQL counts to there are no rows.
        let after = i64::try_from(sequence).unwrap_or(i64::MAX);
        let rows = sqlx::query_as!(
            StoredRow,
            "SELECT sequence, at, actor, action, subject, details, hash FROM audit
             WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            after,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(AuditRow::try_from).collect::<Result<_, Failure>>()?)
    }
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
