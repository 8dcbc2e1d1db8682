//! What operations want to know: health, load and counts.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ca_core::{
    domain::ids::IssuerId,
    ports::{
        census::{CrlHead, LedgerCensus, LedgerLoad, Unfinished},
        store::StoreResult,
    },
};
use jiff::Timestamp;
use sqlx::SqlitePool;

use crate::{
    SqliteStore,
    failure::Failure,
    outcome::Written,
    rows::{time, unsigned},
    schema,
};

/// What the writer has done since it was started.
#[derive(Debug, Default)]
pub(crate) struct Done {
    commits: AtomicU64,
    failed_commits: AtomicU64,
    facts: AtomicU64,
    micros: AtomicU64,
}

impl Done {
    /// Counts a transaction with so many facts.
    pub(crate) fn count(&self, facts: usize, committed: bool, took: std::time::Duration) {
        let commits = if committed { &self.commits } else { &self.failed_commits };
        commits.fetch_add(1, Ordering::Relaxed);
        if committed {
            self.facts.fetch_add(facts as u64, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[async_trait]
impl LedgerCensus for SqliteStore {
    async fn probe(&self) -> StoreResult<()> {
        self.write(None, |tx| {
            Box::pin(async move {
                // Writes the file's header page whether or not the number changes; nobody reads it.
                sqlx::query("PRAGMA user_version = 1").execute(tx).await?;
                Ok(Written::Unchanged(()))
            })
        })
        .await
    }

    async fn schema_fits(&self) -> StoreResult<bool> {
        let mut connection = self.readers().acquire().await.map_err(Failure::from)?;
        Ok(schema::fits(&mut connection).await.map_err(Failure::from)?)
    }

    async fn unfinished(&self, issuer: &IssuerId) -> StoreResult<Unfinished> {
        Ok(unfinished(self.readers(), issuer).await?)
    }

    async fn crl(&self, issuer: &IssuerId) -> StoreResult<Option<CrlHead>> {
        Ok(crl(self.readers(), issuer).await?)
    }

    async fn expiring(&self, issuer: &IssuerId, from: Timestamp, until: Timestamp) -> StoreResult<u64> {
        Ok(expiring(self.readers(), issuer, from, until).await?)
    }

    fn load(&self) -> LedgerLoad {
        let (queued, queue_limit) = self.writer.queued();
        let done = self.writer.done();
        let size = self.readers().size();
        LedgerLoad {
            readers: self.readers().options().get_max_connections(),
            readers_busy: size.saturating_sub(u32::try_from(self.readers().num_idle()).unwrap_or(size)),
            queued,
            queue_limit,
            commits: done.commits.load(Ordering::Relaxed),
            failed_commits: done.failed_commits.load(Ordering::Relaxed),
            facts: done.facts.load(Ordering::Relaxed),
            commit_micros: done.micros.load(Ordering::Relaxed),
        }
    }
}

async fn unfinished(pool: &SqlitePool, issuer: &IssuerId) -> Result<Unfinished, Failure> {
    let issuer = issuer.as_str();
    let intents = sqlx::query!(
        r#"SELECT count(*) AS "count!: i64", min(not_before) AS "oldest: i64"
           FROM (SELECT not_before FROM certificates
                 WHERE issuer = $1 AND der IS NULL AND revoked = 0 AND abandoned_at IS NULL
                 UNION ALL
                 SELECT not_before FROM responders
                 WHERE issuer = $1 AND der IS NULL AND abandoned_at IS NULL AND NOT EXISTS
                     (SELECT 1 FROM revocations r WHERE r.issuer = responders.issuer AND r.serial = responders.serial)
                ) AS open"#,
        issuer
    )
    .fetch_one(pool)
    .await?;
    let orphans = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!: i64" FROM orphans
           WHERE issuer = $1 AND NOT EXISTS
               (SELECT 1 FROM revocations r WHERE r.issuer = orphans.issuer AND r.serial = orphans.serial)"#,
        issuer
    )
    .fetch_one(pool)
    .await?;
    let unjournaled = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!: i64" FROM revocations
           WHERE issuer = $1 AND number >
               (SELECT min(revocations_to) FROM signers WHERE signers.issuer = $1 AND retired_at IS NULL)"#,
        issuer
    )
    .fetch_one(pool)
    .await?;
    Ok(Unfinished {
        open_intents: unsigned("the count of open intents", intents.count)?,
        oldest_intent: intents.oldest.map(|at| time("certificates.not_before", at)).transpose()?,
        orphans: unsigned("the count of orphans", orphans)?,
        unjournaled_revocations: unsigned("the count of unjournaled revocations", unjournaled)?,
    })
}

async fn crl(pool: &SqlitePool, issuer: &IssuerId) -> Result<Option<CrlHead>, Failure> {
    let issuer = issuer.as_str();
    let row =
        sqlx::query!("SELECT number, this_update, next_update, entries FROM crls WHERE issuer = $1", issuer)
            .fetch_optional(pool)
            .await?;
    row.map(|row| {
        Ok(CrlHead {
            number: unsigned("crls.number", row.number)?,
            this_update: time("crls.this_update", row.this_update)?,
            next_update: time("crls.next_update", row.next_update)?,
            entries: unsigned("crls.entries", row.entries)?,
        })
    })
    .transpose()
}

async fn expiring(
    pool: &SqlitePool,
    issuer: &IssuerId,
    from: Timestamp,
    until: Timestamp,
) -> Result<u64, Failure> {
    let (issuer, from, until) = (issuer.as_str(), from.as_millisecond(), until.as_millisecond());
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!: i64" FROM certificates
           WHERE issuer = $1 AND not_after >= $2 AND not_after < $3 AND der IS NOT NULL AND revoked = 0"#,
        issuer,
        from,
        until
    )
    .fetch_one(pool)
    .await?;
    unsigned("the count of certificates", count)
}
