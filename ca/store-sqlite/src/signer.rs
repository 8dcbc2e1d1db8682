//! The signers of all nodes: how far each one's journal and the ledger agree.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SignerName},
    },
    ports::{
        signer::JournalPosition,
        store::{Conflict, SignerRecord, SignerStore, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};
use uuid::Uuid;

use crate::{
    SqliteStore,
    failure::Failure,
    outcome::Written,
    rows::{SignerRow, position, signed},
};

#[async_trait]
impl SignerStore for SqliteStore {
    async fn introduce_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        journal: Uuid,
        audit: AuditEvent,
    ) -> StoreResult<SignerRecord> {
        let (issuer, name, at) = (issuer.clone(), name.clone(), audit.at);
        self.write(Some(audit), move |tx| {
            Box::pin(async move { introduce(tx, &issuer, &name, journal, at).await })
        })
        .await
    }

    async fn signers(&self, issuer: &IssuerId) -> StoreResult<Vec<SignerRecord>> {
        Ok(of_issuer(self.readers(), issuer).await?)
    }

    async fn set_reconciled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        position: JournalPosition,
    ) -> StoreResult<()> {
        let (issuer, name) = (issuer.clone(), name.clone());
        self.write(None, move |tx| {
            Box::pin(async move { set_reconciled(tx, &issuer, &name, position).await })
        })
        .await
    }

    async fn last_journaled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
    ) -> StoreResult<Option<JournalPosition>> {
        Ok(last_journaled(self.readers(), issuer, name).await?)
    }

    async fn accept_lost_anchors(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        up_to: u64,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (issuer, name) = (issuer.clone(), name.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { accept_lost_anchors(tx, &issuer, &name, up_to).await })
        })
        .await
    }

    async fn retire_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (issuer, name) = (issuer.clone(), name.clone());
        self.write(Some(audit), move |tx| Box::pin(async move { retire(tx, &issuer, &name, at).await })).await
    }
}

async fn introduce(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    name: &SignerName,
    journal: Uuid,
    at: Timestamp,
) -> Result<Written<SignerRecord>, Failure> {
    let (issuer_id, signer, at) = (issuer.as_str(), name.as_str(), at.as_millisecond());
    let octets = journal.as_bytes().as_slice();
    let inserted = sqlx::query!(
        "INSERT INTO signers (issuer, name, journal, introduced_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        issuer_id,
        signer,
        octets,
        at
    )
    .execute(&mut *tx)
    .await?;
    let standing = of_issuer(&mut *tx, issuer).await?.into_iter().find(|record| record.name == *name);
    let record = standing.ok_or(Conflict::Missing)?;
    if record.journal != journal {
        return Err(Conflict::OtherJournal.into());
    }
    Ok(if inserted.rows_affected() == 0 { Written::Unchanged(record) } else { Written::Changed(record) })
}

async fn of_issuer(
    executor: impl SqliteExecutor<'_>,
    issuer: &IssuerId,
) -> Result<Vec<SignerRecord>, Failure> {
    let name = issuer.as_str();
    let rows = sqlx::query_as!(
        SignerRow,
        "SELECT name, journal, reconciled_sequence, reconciled_hash, revocations_to, anchors_accepted_to, retired_at
         FROM signers WHERE issuer = $1 ORDER BY name",
        name
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| row.of(issuer)).collect()
}

async fn set_reconciled(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    name: &SignerName,
    position: JournalPosition,
) -> Result<Written<()>, Failure> {
    let (issuer, name, hash) = (issuer.as_str(), name.as_str(), position.hash.as_slice());
    let sequence = signed("the journal's sequence", position.sequence)?;
    sqlx::query!(
        "UPDATE signers SET reconciled_sequence = $3, reconciled_hash = $4
         WHERE issuer = $1 AND name = $2 AND coalesce(reconciled_sequence, 0) < $3",
        issuer,
        name,
        sequence,
        hash
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// The journal has the revocations up to here, the last of them by this entry; an earlier number changes nothing.
pub(crate) async fn mark_journaled(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    name: &SignerName,
    (up_to, entry): (u64, JournalPosition),
) -> Result<Written<()>, Failure> {
    let (issuer, name, hash) = (issuer.as_str(), name.as_str(), entry.hash.as_slice());
    let up_to = signed("the revocation's number", up_to)?;
    let sequence = signed("the journal's sequence", entry.sequence)?;
    sqlx::query!(
        "UPDATE signers SET revocations_to = $3,
             journaled_sequence = CASE WHEN journaled_sequence >= $4 THEN journaled_sequence ELSE $4 END,
             journaled_hash = CASE WHEN journaled_sequence >= $4 THEN journaled_hash ELSE $5 END
         WHERE issuer = $1 AND name = $2 AND revocations_to < $3",
        issuer,
        name,
        up_to,
        sequence,
        hash
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

async fn last_journaled(
    pool: &SqlitePool,
    issuer: &IssuerId,
    name: &SignerName,
) -> Result<Option<JournalPosition>, Failure> {
    let (issuer, name) = (issuer.as_str(), name.as_str());
    let row = sqlx::query!(
        r#"SELECT sequence AS "sequence!: i64", hash AS "hash!: Vec<u8>" FROM (
               SELECT * FROM (SELECT journal_sequence AS sequence, journal_hash AS hash FROM certificates
                              WHERE issuer = $1 AND signer = $2 AND journal_sequence IS NOT NULL
                              ORDER BY journal_sequence DESC LIMIT 1)
               UNION ALL
               SELECT journal_sequence, journal_hash FROM responders
               WHERE issuer = $1 AND signer = $2 AND journal_sequence IS NOT NULL
               UNION ALL
               SELECT journaled_sequence, journaled_hash FROM signers
               WHERE issuer = $1 AND name = $2 AND journaled_sequence IS NOT NULL
           ) ORDER BY sequence DESC LIMIT 1"#,
        issuer,
        name
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| position("last_journaled", row.sequence, &row.hash)).transpose()
}

async fn accept_lost_anchors(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    name: &SignerName,
    up_to: u64,
) -> Result<Written<()>, Failure> {
    let (issuer, name) = (issuer.as_str(), name.as_str());
    let up_to = signed("the journal's sequence", up_to)?;
    let updated = sqlx::query!(
        "UPDATE signers SET anchors_accepted_to = max(anchors_accepted_to, $3) WHERE issuer = $1 AND name = $2",
        issuer,
        name,
        up_to
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

async fn retire(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    name: &SignerName,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (issuer, name, at) = (issuer.as_str(), name.as_str(), at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE signers SET retired_at = $3 WHERE issuer = $1 AND name = $2 AND retired_at IS NULL",
        issuer,
        name,
        at
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
