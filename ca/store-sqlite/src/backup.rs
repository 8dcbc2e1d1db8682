//! Copying a ledger that is in use, and checking a copy.

use std::{path::Path, time::Duration};

use ca_core::domain::audit::{AuditPosition, BrokenChain, verify};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    audit::rows_after,
    failure::Failure,
    schema::{self, OpenError},
};

/// How long to wait for a writer that keeps the ledger from being read.
const PATIENCE: Duration = Duration::from_secs(30);
const PAGE: u32 = 1000;

/// Why there is no copy, or why it can't be relied on.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger, or what should be a copy, isn't one.
    #[error(transparent)]
    NotALedger(#[from] OpenError),
    /// SQLite can't read the one or write the other.
    #[error("SQLite can't {what}")]
    Sqlite {
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The copy's pages or indexes contradict each other.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// The copy's audit trail is broken, as the ledger's must be.
    #[error("the audit trail is broken")]
    Trail(#[source] BrokenChain),
}

/// A copy that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where its audit trail ends: what came later isn't in it.
    pub head: AuditPosition,
}

/// Copies the ledger as it is at one moment into an empty file. Others go on reading and writing meanwhile. The copy is
/// not synced to the disk.
///
/// # Errors
/// [`BackupError`]; the file may then hold a part.
pub async fn copy(ledger: &Path, to: &Path) -> Result<(), BackupError> {
    let options = schema::connect_options(ledger, PATIENCE);
    schema::check(ledger, &options).await?;
    let failed = |what| move |source| BackupError::Sqlite { what, source };
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed("open the ledger"))?;
    sqlx::query("VACUUM INTO $1")
        .bind(to.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await
        .map_err(failed("copy the ledger"))?;
    connection.close().await.map_err(failed("close the ledger"))
}

/// Checks a copy, which nobody may use meanwhile: every page and index, every reference, and the audit trail.
///
/// # Errors
/// [`BackupError`] says what is wrong with it.
pub async fn check(copy: &Path) -> Result<Checked, BackupError> {
    let options = SqliteConnectOptions::new().filename(copy).read_only(true).immutable(true);
    let options = options.pragma("trusted_schema", "OFF");
    schema::check(copy, &options).await?;
    let failed = |what| move |source| BackupError::Sqlite { what, source };
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed("open the copy"))?;
    let faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await
        .map_err(failed("check the copy"))?;
    if faults != ["ok"] {
        return Err(BackupError::Damaged(faults.into_iter().take(3).collect::<Vec<_>>().join("; ")));
    }
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut connection).await;
    if dangling.map_err(failed("check the copy"))?.is_some() {
        return Err(BackupError::Damaged("a row belongs to another that isn't there".to_owned()));
    }
    let head = trail(&mut connection).await?;
    connection.close().await.map_err(failed("close the copy"))?;
    Ok(Checked { head })
}

async fn trail(connection: &mut SqliteConnection) -> Result<AuditPosition, BackupError> {
    let mut reached = AuditPosition::GENESIS;
    loop {
        let rows =
            rows_after(&mut *connection, reached.sequence, PAGE).await.map_err(|failure| match failure {
                Failure::Sql(source) => BackupError::Sqlite { what: "read the copy's audit trail", source },
                other => BackupError::Damaged(format!("{other:?}")),
            })?;
        if rows.is_empty() {
            return Ok(reached);
        }
        reached = rows.iter().try_fold(reached, verify).map_err(BackupError::Trail)?;
    }
}
