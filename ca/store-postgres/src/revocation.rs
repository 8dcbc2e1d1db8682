//! Revocations, and the port that CRLs belong to as well.

use std::time::Duration;

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SerialNumber, SignerName},
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        signer::JournalPosition,
        store::{
            Conflict, LedgerStatus, NextCrl, PublishedCrl, RevocationStore, RevokeOutcome, StoreResult,
            Unjournaled,
        },
    },
};
use futures::TryStreamExt;
use jiff::Timestamp;
use sqlx::{Connection, PgConnection, PgExecutor};
use tokio::time::{error::Elapsed, timeout};

use crate::{
    PostgresStore, audit, crl,
    failure::Failure,
    outcome::Written,
    readers::Readers,
    rows::{RevocationRow, id, serial as serial_of, unsigned},
    signer,
};

#[async_trait]
impl RevocationStore for PostgresStore {
    async fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        let (issuer, serial) = (issuer.clone(), serial.clone());
        self.write_revoking(audit, move |tx| {
            Box::pin(async move { revoke(tx, &issuer, &serial, reason, at).await })
        })
        .await
    }

    async fn restore_revocation(&self, revocation: &Revocation, audit: AuditEvent) -> StoreResult<bool> {
        let revocation = revocation.clone();
        self.write_revoking(audit, move |tx| Box::pin(async move { restore(tx, &revocation).await })).await
    }

    async fn predate_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        let (issuer, serial) = (issuer.clone(), serial.clone());
        self.write(Some(audit), move |tx| Box::pin(async move { predate(tx, &issuer, &serial, at).await }))
            .await
    }

    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        limit: u32,
    ) -> StoreResult<Unjournaled> {
        Ok(unjournaled(self.readers(), issuer, signer, limit).await?)
    }

    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        up_to: (u64, JournalPosition),
    ) -> StoreResult<()> {
        let (issuer, signer) = (issuer.clone(), signer.clone());
        self.write(None, move |tx| {
            Box::pin(async move { signer::mark_journaled(tx, &issuer, &signer, up_to).await })
        })
        .await
    }

    async fn revoked(&self, issuer: &IssuerId, from: Timestamp, head: u64) -> StoreResult<Vec<Revocation>> {
        Ok(listed(self.readers(), issuer, from, head).await?)
    }

    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus> {
        let (status, number) = status(self.readers(), issuer, serial).await?;
        if let Some(number) = number {
            self.head.saw(number);
        }
        Ok(status)
    }

    async fn revocation_head(&self) -> StoreResult<u64> {
        Ok(self.head.get(head(self.readers())).await?)
    }

    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<NextCrl> {
        let issuer = issuer.clone();
        self.write(None, move |tx| Box::pin(async move { crl::next_number(tx, &issuer).await })).await
    }

    async fn raise_crl_number(&self, issuer: &IssuerId, number: u64) -> StoreResult<()> {
        let issuer = issuer.clone();
        self.write(None, move |tx| Box::pin(async move { crl::raise_number(tx, &issuer, number).await }))
            .await
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
    executor: impl PgExecutor<'_>,
    issuer: &IssuerId,
    serial: &SerialNumber,
) -> Result<Option<Revocation>, Failure> {
    let (name, serial) = (issuer.as_str(), serial.as_bytes());
    let row = sqlx::query_as!(
        RevocationRow,
        "SELECT number, serial, at, reason, not_after FROM revocations WHERE issuer = $1 AND serial = $2",
        name,
        serial
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| row.of(issuer)).transpose()
}

/// Revokes, and a renewal that nobody confirmed with it.
pub(crate) async fn revoke(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    reason: RevocationReason,
    at: Timestamp,
) -> Result<Written<RevokeOutcome>, Failure> {
    let outcome = enter(&mut *tx, issuer, serial, reason, at).await?;
    if matches!(outcome, Written::Changed(RevokeOutcome::Revoked(_))) {
        renewals_fall_with(tx, issuer, serial, reason, at).await?;
    }
    Ok(outcome)
}

/// The key that spoke for an unconfirmed renewal isn't believed any more: the renewal is revoked with its certificate.
async fn renewals_fall_with(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    reason: RevocationReason,
    at: Timestamp,
) -> Result<(), Failure> {
    let (name, octets) = (issuer.as_str(), serial.as_bytes());
    let renewals = sqlx::query!(
        "SELECT n.issuer, n.serial FROM certificates p JOIN certificates n ON n.renews = p.intent
         WHERE p.issuer = $1 AND p.serial = $2 AND n.confirmed_at IS NULL AND NOT n.revoked AND n.abandoned_at IS NULL",
        name,
        octets
    )
    .fetch_all(&mut *tx)
    .await?;
    for renewal in renewals {
        let issuer = id("certificates.issuer", &renewal.issuer, IssuerId::parse)?;
        let serial = serial_of("certificates.serial", &renewal.serial)?;
        enter(&mut *tx, &issuer, &serial, reason, at).await?;
    }
    Ok(())
}

/// Enters the revocation of whatever has this number: a certificate, an intent that may have been signed, an orphan, a responder's.
pub(crate) async fn enter(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    reason: RevocationReason,
    at: Timestamp,
) -> Result<Written<RevokeOutcome>, Failure> {
    if let Some(standing) = standing(&mut *tx, issuer, serial).await? {
        return Ok(Written::Unchanged(RevokeOutcome::Already(standing)));
    }
    let (name, number) = (issuer.as_str(), serial.as_bytes());
    let (reason, at) = (i64::from(reason.code()), at.as_millisecond());
    let inserted = sqlx::query_as!(
        RevocationRow,
        "INSERT INTO revocations (number, issuer, serial, at, reason, not_after)
         SELECT (SELECT coalesce(max(number), 0) + 1 FROM revocations), $1, $2, $3, $4, max(not_after) FROM (
             SELECT not_after FROM certificates WHERE issuer = $1 AND serial = $2 AND abandoned_at IS NULL
             UNION ALL
             SELECT not_after FROM orphans WHERE issuer = $1 AND serial = $2
             UNION ALL
             SELECT not_after FROM responders WHERE issuer = $1 AND serial = $2 AND abandoned_at IS NULL
         ) AS known HAVING count(*) > 0
         RETURNING number, serial, at, reason, not_after",
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

async fn restore(tx: &mut PgConnection, revocation: &Revocation) -> Result<Written<bool>, Failure> {
    let (issuer, serial) = (revocation.issuer.as_str(), revocation.serial.as_bytes());
    let (at, not_after) = (revocation.at.as_millisecond(), revocation.not_after.as_millisecond());
    let reason = i64::from(revocation.reason.code());
    let inserted = sqlx::query!(
        "INSERT INTO revocations (number, issuer, serial, at, reason, not_after)
         SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5 FROM revocations
         ON CONFLICT DO NOTHING",
        issuer,
        serial,
        at,
        reason,
        not_after
    )
    .execute(tx)
    .await?;
    Ok(if inserted.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}

/// Moves the revocation back, after which no CRL up to now says what it should.
async fn predate(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    at: Timestamp,
) -> Result<Written<bool>, Failure> {
    let standing = standing(&mut *tx, issuer, serial).await?.ok_or(Conflict::Missing)?;
    if standing.at <= at {
        return Ok(Written::Unchanged(false));
    }
    let (name, octets, at) = (issuer.as_str(), serial.as_bytes(), at.as_millisecond());
    sqlx::query!("UPDATE revocations SET at = $3 WHERE issuer = $1 AND serial = $2", name, octets, at)
        .execute(&mut *tx)
        .await?;
    crl::outdate(tx, issuer).await?;
    Ok(Written::Changed(true))
}

/// A CRL's content: perhaps a million, so row by row, and each row in time.
async fn listed(
    pool: Readers<'_>,
    issuer: &IssuerId,
    from: Timestamp,
    head: u64,
) -> Result<Vec<Revocation>, Failure> {
    let mut lent = pool.lend().await?;
    let patience = lent.patience();
    let read = listed_on(lent.connection()?, patience, issuer, from, head).await;
    lent.answer(read)
}

async fn listed_on(
    connection: &mut PgConnection,
    patience: Duration,
    issuer: &IssuerId,
    from: Timestamp,
    head: u64,
) -> Result<Result<Vec<Revocation>, Failure>, Elapsed> {
    let (name, from) = (issuer.as_str(), from.as_millisecond());
    let mut rows = sqlx::query_as!(
        RevocationRow,
        "SELECT number, serial, at, reason, not_after FROM revocations
         WHERE issuer = $1 AND not_after >= $2 ORDER BY serial",
        name,
        from
    )
    .fetch(connection);
    let mut listed = Vec::new();
    loop {
        let row = timeout(patience, rows.try_next()).await?;
        if matches!(&row, Ok(Some(row)) if !row.is_within(head)) {
            continue;
        }
        match row.map_err(Failure::from).map(|row| row.map(|row| row.of(issuer)).transpose()) {
            Ok(Ok(Some(revocation))) => listed.push(revocation),
            Ok(Ok(None)) => return Ok(Ok(listed)),
            Ok(Err(failure)) | Err(failure) => return Ok(Err(failure)),
        }
    }
}

/// Both answers from one snapshot: the head covers every revocation returned.
async fn unjournaled(
    pool: Readers<'_>,
    issuer: &IssuerId,
    signer: &SignerName,
    limit: u32,
) -> Result<Unjournaled, Failure> {
    let mut lent = pool.lend().await?;
    let patience = lent.patience();
    let read = timeout(patience, unjournaled_on(lent.connection()?, issuer, signer, limit)).await;
    lent.answer(read)
}

async fn unjournaled_on(
    connection: &mut PgConnection,
    issuer: &IssuerId,
    signer: &SignerName,
    limit: u32,
) -> Result<Unjournaled, Failure> {
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let (name, signer) = (issuer.as_str(), signer.as_str());
    let rows = sqlx::query_as!(
        RevocationRow,
        "SELECT number, serial, at, reason, not_after FROM revocations
         WHERE issuer = $1
           AND number > coalesce((SELECT revocations_to FROM signers WHERE issuer = $1 AND name = $2), 0)
         ORDER BY number LIMIT $3",
        name,
        signer,
        i64::from(limit)
    )
    .fetch_all(&mut *snapshot)
    .await?;
    let audit = audit::head(&mut *snapshot).await?;
    snapshot.rollback().await?;
    let numbered = |row: RevocationRow| Ok((unsigned("revocations.number", row.number)?, row.of(issuer)?));
    Ok(Unjournaled { revocations: rows.into_iter().map(numbered).collect::<Result<_, Failure>>()?, audit })
}

/// The number of the latest revocation, of whatever issuer.
pub(crate) async fn head(executor: impl PgExecutor<'_>) -> Result<u64, Failure> {
    let number = sqlx::query_scalar!(r#"SELECT coalesce(max(number), 0) AS "number!" FROM revocations"#)
        .fetch_one(executor)
        .await?;
    unsigned("revocations.number", number)
}

/// One statement, so that the answer is of one moment. With the revocation's number, if it is revoked.
async fn status(
    executor: impl PgExecutor<'_>,
    issuer: &IssuerId,
    serial: &SerialNumber,
) -> Result<(LedgerStatus, Option<u64>), Failure> {
    let (name, number) = (issuer.as_str(), serial.as_bytes());
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM certificates
                          WHERE issuer = $1 AND serial = $2 AND issued_at IS NOT NULL AND NOT revoked) AS "good!",
                  r.number AS "number?", r.at AS "at?", r.reason AS "reason?", r.not_after AS "not_after?"
           FROM (SELECT 1) AS one LEFT JOIN revocations r ON r.issuer = $1 AND r.serial = $2"#,
        name,
        number
    )
    .fetch_one(executor)
    .await?;
    if let (Some(numbered), Some(at), Some(reason), Some(not_after)) =
        (row.number, row.at, row.reason, row.not_after)
    {
        let row = RevocationRow { number: numbered, serial: number.to_vec(), at, reason, not_after };
        let numbered = unsigned("revocations.number", numbered)?;
        return Ok((LedgerStatus::Revoked(row.of(issuer)?), Some(numbered)));
    }
    Ok((if row.good { LedgerStatus::Good } else { LedgerStatus::Unknown }, None))
}
