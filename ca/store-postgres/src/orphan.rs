//! Certificates that only a signer's journal knows.

use ca_core::{domain::ids::IssuerId, ports::store::Orphan};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::{
    failure::Failure,
    outcome::Written,
    rows::{OrphanRow, signed},
};

pub(crate) async fn record(
    tx: &mut PgConnection,
    orphan: &Orphan,
    at: Timestamp,
) -> Result<Written<bool>, Failure> {
    let (issuer, serial) = (orphan.issuer.as_str(), orphan.serial.as_bytes());
    let (sequence, hash) =
        (signed("the orphan's journal sequence", orphan.position.sequence)?, orphan.position.hash.as_slice());
    let signer = orphan.signer.as_str();
    let intent = orphan.intent.0.as_bytes().as_slice();
    let (not_after, found_at) = (orphan.not_after.as_millisecond(), at.as_millisecond());
    let inserted = sqlx::query!(
        "INSERT INTO orphans (issuer, serial, journal_sequence, journal_hash, intent, not_after, found_at, der, signer)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        issuer,
        serial,
        sequence,
        hash,
        intent,
        not_after,
        found_at,
        orphan.der,
        signer
    )
    .execute(tx)
    .await?;
    Ok(if inserted.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}

pub(crate) async fn of_issuer(
    executor: impl PgExecutor<'_>,
    issuer: &IssuerId,
) -> Result<Vec<Orphan>, Failure> {
    let name = issuer.as_str();
    let rows = sqlx::query_as!(
        OrphanRow,
        "SELECT intent, signer, serial, not_after, journal_sequence, journal_hash, der
         FROM orphans WHERE issuer = $1 ORDER BY journal_sequence",
        name
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| row.of(issuer)).collect()
}
