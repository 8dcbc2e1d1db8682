//! Erasing personal data whose period is over. What that is says the view `erasable`; each erasing looks once more.

use async_trait::async_trait;
use ca_core::{
    domain::{audit::AuditEvent, retention::PersonalData},
    ports::{
        retention::{RecordKey, RetentionStore},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{PostgresStore, failure::Failure, outcome::Written, rows::unsigned};

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn count_erasable(&self, kind: PersonalData, before: Timestamp) -> StoreResult<u64> {
        let (kind, before) = (kind.as_str(), before.as_millisecond());
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM erasable WHERE kind = $1 AND since < $2"#,
            kind,
            before
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(unsigned("records whose period is over", count)?)
    }

    async fn erasable(
        &self,
        kind: PersonalData,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<RecordKey>> {
        let (kind, before) = (kind.as_str(), before.as_millisecond());
        let records = sqlx::query_scalar!(
            r#"SELECT record AS "record!" FROM erasable WHERE kind = $1 AND since < $2 LIMIT $3"#,
            kind,
            before,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(records.into_iter().map(RecordKey).collect())
    }

    async fn erase(
        &self,
        kind: PersonalData,
        before: Timestamp,
        keys: &[RecordKey],
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (number, at) = (keys.len() as u64, audit.at.as_millisecond());
        let keys: Vec<String> = keys.iter().map(|key| key.0.clone()).collect();
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                let before = before.as_millisecond();
                let erased = match kind {
                    PersonalData::Logins => logins(tx, &keys, before).await?,
                    PersonalData::Mail => mail(tx, &keys, before).await?,
                    PersonalData::Enrolments => enrolments(tx, &keys, before).await?,
                    PersonalData::Evidence => evidence(tx, &keys, before).await?,
                    PersonalData::RemovedUsers => removed_users(tx, &keys, before, at).await?,
                };
                if erased == number { Ok(Written::Changed(())) } else { Err(Conflict::Missing.into()) }
            })
        })
        .await
    }
}

async fn logins(tx: &mut PgConnection, keys: &[String], before: i64) -> Result<u64, sqlx::Error> {
    let erased = sqlx::query!(
        "DELETE FROM logins WHERE id IN (SELECT unnest($1::text[])::bigint) AND at < $2",
        keys,
        before
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

async fn mail(tx: &mut PgConnection, keys: &[String], before: i64) -> Result<u64, sqlx::Error> {
    let erased = sqlx::query!(
        "DELETE FROM outbox
         WHERE id IN (SELECT unnest($1::text[])::bigint) AND state <> 'queued' AND settled_at < $2
           AND NOT (announcement > 0 AND EXISTS (
               SELECT 1 FROM rejudged_certificates r WHERE r.issuer = outbox.issuer AND r.serial = outbox.serial
                  AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = r.rejudgement)))",
        keys,
        before
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

/// With the evidence of those that were refused on it. The foreign keys keep what a certificate came of.
async fn enrolments(tx: &mut PgConnection, keys: &[String], before: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "DELETE FROM evidence_parts WHERE enrolment IN (SELECT decode(k, 'hex') FROM unnest($1::text[]) k)",
        keys
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM evidence WHERE enrolment IN (SELECT decode(k, 'hex') FROM unnest($1::text[]) k)",
        keys
    )
    .execute(&mut *tx)
    .await?;
    let erased = sqlx::query!(
        "DELETE FROM enrolments
         WHERE id IN (SELECT decode(k, 'hex') FROM unnest($1::text[]) k) AND expires_at < $2
           AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.intent = enrolments.id)
           AND NOT EXISTS (SELECT 1 FROM orphans o WHERE o.intent = enrolments.id)",
        keys,
        before
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

async fn evidence(tx: &mut PgConnection, keys: &[String], before: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "DELETE FROM evidence_parts WHERE enrolment IN (SELECT decode(k, 'hex') FROM unnest($1::text[]) k)",
        keys
    )
    .execute(&mut *tx)
    .await?;
    let erased = sqlx::query!(
        "DELETE FROM evidence
         WHERE enrolment IN (SELECT decode(k, 'hex') FROM unnest($1::text[]) k)
           AND EXISTS (SELECT 1 FROM certificates c WHERE c.intent = evidence.enrolment AND c.not_after < $2)",
        keys,
        before
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
}

/// What is left of a removed user is the ID, which is never given again, and what the certificates say.
async fn removed_users(
    tx: &mut PgConnection,
    keys: &[String],
    before: i64,
    at: i64,
) -> Result<u64, sqlx::Error> {
    let erased = sqlx::query!(
        "UPDATE removals SET erased_at = $3
         WHERE user_id IN (SELECT unnest($1::text[]))
           AND EXISTS (SELECT 1 FROM erasable_users e WHERE e.user_id = removals.user_id AND e.since < $2)",
        keys,
        before,
        at
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE users SET display_name = '', email = NULL WHERE id IN (SELECT unnest($1::text[]))",
        keys
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM logins WHERE user_id IN (SELECT unnest($1::text[]))", keys)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("DELETE FROM wrong_passwords WHERE user_id IN (SELECT unnest($1::text[]))", keys)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("DELETE FROM outbox WHERE user_id IN (SELECT unnest($1::text[]))", keys).execute(tx).await?;
    Ok(erased.rows_affected())
}
