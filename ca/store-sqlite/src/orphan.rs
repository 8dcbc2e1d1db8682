//! Certificates that only the signer's journal knows, and how far that journal was reconciled.

use ca_core::{domain::ids::IssuerId, ports::store::Orphan};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::{
    failure::Failure,
    outcome::Written,
    rows::{OrphanRow, signed, unsigned},
};

pub(crate) async fn record(
    tx: &mut SqliteConnection,
    orphan: &Orphan,
    at: Timestamp,
) -> Result<Written<bool>, Failure> {
    let (issuer, serial) = (orphan.issuer.as_str(), orphan.serial.as_bytes());
    let (sequence, hash) =
        (signed("the orphan's journal sequence", orphan.position.sequence)?, orphan.position.hash.as_slice());
    let intent = orphan.intent.0.as_bytes().as_slice();
    let (not_after, found_at) = (orphan.not_after.as_millisecond(), at.as_millisecond());
    let inserted = sqlx::query!(
        "INSERT INTO orphans (issuer, serial, journal_sequence, journal_hash, intent, not_after, found_at, der)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        issuer,
        serial,
        sequence,
        hash,
        intent,
        not_after,
        found_at,
        orphan.der
    )
    .execute(tx)
    .await?;
    Ok(if inserted.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}

pub(crate) async fn of_issuer(
    executor: impl SqliteExecutor<'_>,
    issuer: &IssuerId,
) -> Result<Vec<Orphan>, Failure> {
    let name = issuer.as_str();
    let rows = sqlx::query_as!(
        OrphanRow,
        "SELECT intent, serial, not_after, journal_sequence, journal_hash, der
         FROM orphans WHERE issuer = $1 ORDER BY journal_sequence",
        name
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| row.of(issuer)).collect()
}

pub(crate) async fn reconciled_to(
    executor: impl SqliteExecutor<'_>,
    issuer: &IssuerId,
) -> Result<u64, Failure> {
    let issuer = issuer.as_str();
    let sequence = sqlx::query_scalar!("SELECT reconciled_to FROM issuers WHERE issuer = $1", issuer)
        .fetch_optional(executor)
        .await?;
    unsigned("issuers.reconciled_to", sequence.unwrap_or_default())
}

/// Remembers the place, never an earlier one.
pub(crate) async fn set_reconciled_to(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    sequence: u64,
) -> Result<Written<()>, Failure> {
    let (issuer, sequence) = (issuer.as_str(), signed("the journal's sequence", sequence)?);
    sqlx::query!(
        "INSERT INTO issuers (issuer, reconciled_to) VALUES ($1, $2)
         ON CONFLICT DO UPDATE SET reconciled_to = max(reconciled_to, excluded.reconciled_to)",
        issuer,
        sequence
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}
