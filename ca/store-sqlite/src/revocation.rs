//! Revocations, and the port that CRLs belong to as well.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SerialNumber},
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        signer::JournalPosition,
        store::{LedgerStatus, PublishedCrl, RevocationStore, RevokeOutcome, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};

use crate::{
    SqliteStore, audit, crl,
    failure::Failure,
    outcome::Written,
    rows::{RevocationRow, json, signed},
};

#[async_trait]
impl RevocationStore for SqliteStore {
    async fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        let (issuer, serial) = (issuer.clone(), serial.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { revoke(tx, &issuer, &serial, reason, at).await })
        })
        .await
    }

    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        limit: u32,
    ) -> StoreResult<(Vec<Revocation>, [u8; 32])> {
        Ok(unjournaled(self.readers(), issuer, limit).await?)
    }

    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
        position: JournalPosition,
    ) -> StoreResult<()> {
        let (issuer, serials) = (issuer.clone(), serials.to_vec());
        self.write(None, move |tx| {
            Box::pin(async move { mark_journaled(tx, &issuer, &serials, position).await })
        })
        .await
    }

    async fn revoked(&self, issuer: &IssuerId, now: Timestamp) -> StoreResult<Vec<Revocation>> {
        let (name, now) = (issuer.as_str(), now.as_millisecond());
        let rows = sqlx::query_as!(
            RevocationRow,
            "SELECT serial, at, reason, not_after FROM revocations
             WHERE issuer = $1 AND not_after >= $2 ORDER BY serial",
            name,
            now
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(|row| row.of(issuer)).collect::<Result<_, Failure>>()?)
    }

    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus> {
        Ok(status(self.readers(), issuer, serial).await?)
    }

    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<u64> {
        let issuer = issuer.clone();
        self.write(None, move |tx| Box::pin(async move { crl::next_number(tx, &issuer).await })).await
    }

    async fn publish_crl(&self, issuer: &IssuerId, crl: &PublishedCrl, audit: AuditEvent) -> StoreResult<()> {
        let (issuer, crl) = (issuer.clone(), crl.clone());
        self.write(Some(audit), move |tx| Box::pin(async move { crl::publish(tx, &issuer, &crl).await }))
            .await
    }

    async fn current_crl(&self, issuer: &IssuerId) -> StoreResult<Option<PublishedCrl>> {
        Ok(crl::current(self.readers(), issuer).await?)
    }

    async fn revoked_since_crl(&self, issuer: &IssuerId) -> StoreResult<u64> {
        Ok(crl::revoked_since(self.readers(), issuer).await?)
    }
}

async fn standing(
    executor: impl SqliteExecutor<'_>,
    issuer: &IssuerId,
    serial: &SerialNumber,
) -> Result<Option<Revocation>, Failure> {
    let (name, serial) = (issuer.as_str(), serial.as_bytes());
    let row = sqlx::query_as!(
        RevocationRow,
        "SELECT serial, at, reason, not_after FROM revocations WHERE issuer = $1 AND serial = $2",
        name,
        serial
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| row.of(issuer)).transpose()
}

/// Revokes whatever has this number: a certificate, an intent that may have been signed, an orphan.
async fn revoke(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    reason: RevocationReason,
    at: Timestamp,
) -> Result<Written<RevokeOutcome>, Failure> {
    if let Some(standing) = standing(&mut *tx, issuer, serial).await? {
        return Ok(Written::Unchanged(RevokeOutcome::Already(standing)));
    }
    let (name, number) = (issuer.as_str(), serial.as_bytes());
    let (reason, at) = (reason.code(), at.as_millisecond());
    let inserted = sqlx::query_as!(
        RevocationRow,
        "INSERT INTO revocations (issuer, serial, at, reason, not_after)
         SELECT $1, $2, $3, $4, max(not_after) FROM (
             SELECT not_after FROM certificates WHERE issuer = $1 AND serial = $2 AND abandoned_at IS NULL
             UNION ALL
             SELECT not_after FROM orphans WHERE issuer = $1 AND serial = $2
         ) HAVING count(*) > 0
         RETURNING serial, at, reason, not_after",
        name,
        number,
        at,
        reason
    )
    .fetch_optional(tx)
    .await?;
    Ok(match inserted {
        Some(row) => Written::Changed(RevokeOutcome::Revoked(row.of(issuer)?)),
        None => Written::Unchanged(RevokeOutcome::Unknown),
    })
}

/// Both answers from one snapshot: the head covers every revocation returned.
async fn unjournaled(
    pool: &SqlitePool,
    issuer: &IssuerId,
    limit: u32,
) -> Result<(Vec<Revocation>, [u8; 32]), Failure> {
    let mut snapshot = pool.begin().await?;
    let name = issuer.as_str();
    let rows = sqlx::query_as!(
        RevocationRow,
        "SELECT serial, at, reason, not_after FROM revocations
         WHERE issuer = $1 AND journal_sequence IS NULL ORDER BY at, serial LIMIT $2",
        name,
        limit
    )
    .fetch_all(&mut *snapshot)
    .await?;
    let (_, head) = audit::head(&mut *snapshot).await?;
    snapshot.rollback().await?;
    Ok((rows.into_iter().map(|row| row.of(issuer)).collect::<Result<_, Failure>>()?, head))
}

async fn mark_journaled(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    serials: &[SerialNumber],
    position: JournalPosition,
) -> Result<Written<()>, Failure> {
    let issuer = issuer.as_str();
    let serials = json(serials.iter().map(SerialNumber::to_string))?;
    let (sequence, hash) = (signed("the journal's sequence", position.sequence)?, position.hash.as_slice());
    sqlx::query!(
        "UPDATE revocations SET journal_sequence = $3, journal_hash = $4
         WHERE issuer = $1 AND serial IN (SELECT unhex(value) FROM json_each($2)) AND journal_sequence IS NULL",
        issuer,
        serials,
        sequence,
        hash
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// One statement, so that the answer is of one moment.
async fn status(
    executor: impl SqliteExecutor<'_>,
    issuer: &IssuerId,
    serial: &SerialNumber,
) -> Result<LedgerStatus, Failure> {
    let (name, number) = (issuer.as_str(), serial.as_bytes());
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM certificates
                          WHERE issuer = $1 AND serial = $2 AND issued_at IS NOT NULL AND revoked = 0) AS "good!: bool",
                  r.at AS "at?: i64", r.reason AS "reason?: i64", r.not_after AS "not_after?: i64"
           FROM (SELECT 1) LEFT JOIN revocations r ON r.issuer = $1 AND r.serial = $2"#,
        name,
        number
    )
    .fetch_one(executor)
    .await?;
    if let (Some(at), Some(reason), Some(not_after)) = (row.at, row.reason, row.not_after) {
        let row = RevocationRow { serial: number.to_vec(), at, reason, not_after };
        return Ok(LedgerStatus::Revoked(row.of(issuer)?));
    }
    Ok(if row.good { LedgerStatus::Good } else { LedgerStatus::Unknown })
}
