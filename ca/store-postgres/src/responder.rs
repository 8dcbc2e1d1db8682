//! The certificates of OCSP responders.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{EnrolmentId, IssuerId, SignerName},
        responder::ResponderRecord,
    },
    ports::{
        responders::ResponderStore,
        signer::JournalPosition,
        store::{Conflict, IntentReceipt, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    PostgresStore,
    failure::Failure,
    outcome::Written,
    rows::{ResponderRow, signed},
};

#[async_trait]
impl ResponderStore for PostgresStore {
    async fn record_responder_intent(
        &self,
        record: &ResponderRecord,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt> {
        let record = record.clone();
        let written = self.writer.write(
            Some(audit),
            Box::new(move |tx| Box::pin(async move { record_intent(tx, &record).await })),
        );
        Ok(IntentReceipt { audit_head: written.await?.audit_head })
    }

    async fn record_responder(
        &self,
        intent: EnrolmentId,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let der = der.to_vec();
        self.write(Some(audit), move |tx| {
            Box::pin(async move { record_issued(tx, intent, &der, position, at).await })
        })
        .await
    }

    async fn abandon_responder_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()> {
        let at = audit.at;
        self.write(Some(audit), move |tx| Box::pin(async move { abandon(tx, intent, at).await })).await
    }

    async fn responder_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<ResponderRecord>> {
        let id = intent.0.as_bytes().as_slice();
        let row = sqlx::query_as!(
            ResponderRow,
            r#"SELECT p.intent, p.issuer, p.signer, p.serial, p.public_key_sha256, p.not_before, p.not_after,
                      p.abandoned_at, p.issued_at, p.tbs, p.der, r.at AS "revoked_at?", r.reason AS "revoked_reason?"
               FROM responders p LEFT JOIN revocations r ON r.issuer = p.issuer AND r.serial = p.serial
               WHERE p.intent = $1"#,
            id
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(row.map(ResponderRecord::try_from).transpose()?)
    }

    async fn open_responder_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
    ) -> StoreResult<Vec<ResponderRecord>> {
        let (issuer, signer) = (issuer.as_str(), signer.as_str());
        let rows = sqlx::query_as!(
            ResponderRow,
            r#"SELECT p.intent, p.issuer, p.signer, p.serial, p.public_key_sha256, p.not_before, p.not_after,
                      p.abandoned_at, p.issued_at, p.tbs, p.der, r.at AS "revoked_at?", r.reason AS "revoked_reason?"
               FROM responders p LEFT JOIN revocations r ON r.issuer = p.issuer AND r.serial = p.serial
               WHERE p.issuer = $1 AND p.signer = $2 AND p.der IS NULL AND p.abandoned_at IS NULL AND r.at IS NULL
               ORDER BY p.not_before DESC"#,
            issuer,
            signer
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(ResponderRecord::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn responders(
        &self,
        issuer: &IssuerId,
        public_key_sha256: &[u8; 32],
        now: Timestamp,
    ) -> StoreResult<Vec<ResponderRecord>> {
        let (issuer, key, now) = (issuer.as_str(), public_key_sha256.as_slice(), now.as_millisecond());
        let rows = sqlx::query_as!(
            ResponderRow,
            r#"SELECT p.intent, p.issuer, p.signer, p.serial, p.public_key_sha256, p.not_before, p.not_after,
                      p.abandoned_at, p.issued_at, p.tbs, p.der, r.at AS "revoked_at?", r.reason AS "revoked_reason?"
               FROM responders p LEFT JOIN revocations r ON r.issuer = p.issuer AND r.serial = p.serial
               WHERE p.issuer = $1 AND p.public_key_sha256 = $2 AND p.not_after > $3 AND p.der IS NOT NULL
                 AND r.at IS NULL
               ORDER BY p.not_before DESC"#,
            issuer,
            key,
            now
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(ResponderRecord::try_from).collect::<Result<_, Failure>>()?)
    }
}

async fn record_intent(tx: &mut PgConnection, record: &ResponderRecord) -> Result<Written<()>, Failure> {
    let (intent, serial) = (record.intent.0.as_bytes().as_slice(), record.serial.as_bytes());
    let (issuer, signer) = (record.issuer.as_str(), record.signer.as_str());
    let (not_before, not_after) = (record.not_before.as_millisecond(), record.not_after.as_millisecond());
    let key = record.public_key_sha256.as_slice();
    let inserted = sqlx::query!(
        "INSERT INTO responders (intent, issuer, signer, serial, public_key_sha256, not_before, not_after, tbs)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        intent,
        issuer,
        signer,
        serial,
        key,
        not_before,
        not_after,
        record.tbs
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::Taken.into()) } else { Ok(Written::Changed(())) }
}

async fn record_issued(
    tx: &mut PgConnection,
    intent: EnrolmentId,
    der: &[u8],
    position: JournalPosition,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (id, at, hash) = (intent.0.as_bytes().as_slice(), at.as_millisecond(), position.hash.as_slice());
    let sequence = signed("the journal's sequence", position.sequence)?;
    let updated = sqlx::query!(
        "UPDATE responders SET der = $2, issued_at = $3, journal_sequence = $4, journal_hash = $5
         WHERE intent = $1 AND der IS NULL AND abandoned_at IS NULL",
        id,
        der,
        at,
        sequence,
        hash
    )
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(Written::Changed(()));
    }
    let known = sqlx::query!("SELECT der FROM responders WHERE intent = $1", id).fetch_optional(tx).await?;
    match known {
        Some(row) if row.der.as_deref() == Some(der) => Ok(Written::Unchanged(())),
        _ => Err(Conflict::Missing.into()),
    }
}

async fn abandon(tx: &mut PgConnection, intent: EnrolmentId, at: Timestamp) -> Result<Written<()>, Failure> {
    let (id, at) = (intent.0.as_bytes().as_slice(), at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE responders SET abandoned_at = $2
         WHERE intent = $1 AND der IS NULL AND abandoned_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM revocations r
                           WHERE r.issuer = responders.issuer AND r.serial = responders.serial)",
        id,
        at
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
