//! Trust bundles.

use async_trait::async_trait;
use ca_core::{
    domain::audit::AuditEvent,
    ports::{
        store::{Conflict, StoreResult},
        trust::{OfficerSignature, StagedTrust, TrustRecord, TrustStore},
    },
};
use sqlx::PgConnection;

use crate::{
    PostgresStore,
    failure::Failure,
    outcome::Written,
    rows::{number, time},
};

#[async_trait]
impl TrustStore for PostgresStore {
    async fn stage_trust(&self, staged: &StagedTrust, audit: AuditEvent) -> StoreResult<()> {
        let staged = staged.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { stage(tx, &staged).await })).await
    }

    async fn withdraw_trust(&self, audit: AuditEvent) -> StoreResult<()> {
        self.write(Some(audit), move |tx| Box::pin(async move { withdraw(tx).await })).await
    }

    async fn staged_trust(&self) -> StoreResult<Option<StagedTrust>> {
        let row =
            sqlx::query!("SELECT version, staged_by, staged_at, first_signature, bundle FROM trust_staged")
                .fetch_optional(self.readers())
                .await
                .map_err(Failure::from)?;
        let Some(row) = row else { return Ok(None) };
        let first = OfficerSignature {
            officer: row.staged_by,
            at: time("trust_staged.staged_at", row.staged_at)?,
            cms: row.first_signature,
        };
        let version = number("trust_staged.version", row.version)?;
        Ok(Some(StagedTrust { version, bundle: row.bundle, first }))
    }

    async fn approve_trust(
        &self,
        staged: &StagedTrust,
        second: &OfficerSignature,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (staged, second) = (staged.clone(), second.clone());
        self.write(Some(audit), move |tx| Box::pin(async move { approve(tx, &staged, &second).await })).await
    }

    async fn trust_head(&self) -> StoreResult<Option<u32>> {
        let head = sqlx::query_scalar!("SELECT version FROM trust_versions ORDER BY version DESC LIMIT 1")
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(head.map(|version| number("trust_versions.version", version)).transpose()?)
    }

    async fn trust(&self, version: u32) -> StoreResult<Option<TrustRecord>> {
        let wanted = i64::from(version);
        let row = sqlx::query!(
            "SELECT staged_by, staged_at, approved_by, approved_at, first_signature, second_signature, bundle
             FROM trust_versions WHERE version = $1",
            wanted
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        let Some(row) = row else { return Ok(None) };
        let first = OfficerSignature {
            officer: row.staged_by,
            at: time("trust_versions.staged_at", row.staged_at)?,
            cms: row.first_signature,
        };
        let second = OfficerSignature {
            officer: row.approved_by,
            at: time("trust_versions.approved_at", row.approved_at)?,
            cms: row.second_signature,
        };
        Ok(Some(TrustRecord { version, bundle: row.bundle, first, second }))
    }
}

async fn stage(tx: &mut PgConnection, staged: &StagedTrust) -> Result<Written<()>, Failure> {
    sqlx::query!("DELETE FROM trust_staged").execute(&mut *tx).await?;
    let (version, at) = (i64::from(staged.version), staged.first.at.as_millisecond());
    let (bundle, first) = (staged.bundle.as_slice(), &staged.first);
    let (officer, cms) = (first.officer.as_str(), first.cms.as_slice());
    let written = sqlx::query!(
        "INSERT INTO trust_staged (version, staged_by, staged_at, first_signature, bundle)
         SELECT $1::bigint, $2, $3, $4, $5
         WHERE $1::bigint = (SELECT coalesce(max(version), 0) + 1 FROM trust_versions)",
        version,
        officer,
        at,
        cms,
        bundle
    )
    .execute(tx)
    .await?;
    if written.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

async fn withdraw(tx: &mut PgConnection) -> Result<Written<()>, Failure> {
    let withdrawn = sqlx::query!("DELETE FROM trust_staged").execute(tx).await?;
    if withdrawn.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

async fn approve(
    tx: &mut PgConnection,
    staged: &StagedTrust,
    second: &OfficerSignature,
) -> Result<Written<()>, Failure> {
    let (version, at) = (i64::from(staged.version), second.at.as_millisecond());
    let (bundle, first) = (staged.bundle.as_slice(), staged.first.cms.as_slice());
    let (officer, cms) = (second.officer.as_str(), second.cms.as_slice());
    let written = sqlx::query!(
        "INSERT INTO trust_versions (version, staged_by, staged_at, approved_by, approved_at, first_signature,
                                     second_signature, bundle)
         SELECT version, staged_by, staged_at, $2, $3, first_signature, $4, bundle FROM trust_staged
         WHERE version = $1 AND bundle = $5 AND first_signature = $6",
        version,
        officer,
        at,
        cms,
        bundle,
        first
    )
    .execute(&mut *tx)
    .await?;
    if written.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!("DELETE FROM trust_staged").execute(tx).await?;
    Ok(Written::Changed(()))
}
