//! Passwords, and the port that sessions belong to as well.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::UserId,
        user::{PasswordHash, PasswordKind, UserState},
    },
    ports::store::{Conflict, LoginEntry, LoginStore, PasswordBy, Session, StoreResult},
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    PostgresStore, customer, failure::Failure, outcome::Written, rows::name, session, wrong_password,
};

#[async_trait]
impl LoginStore for PostgresStore {
    async fn set_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        hash: &PasswordHash,
        by: PasswordBy,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (id, hash) = (id.clone(), hash.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { set_password(tx, &id, kind, &hash, by).await })
        })
        .await
    }

    async fn password(&self, id: &UserId, kind: PasswordKind) -> StoreResult<Option<PasswordHash>> {
        let (id, kind) = (id.as_str(), kind.as_str());
        let phc = sqlx::query_scalar!("SELECT phc FROM passwords WHERE user_id = $1 AND kind = $2", id, kind)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(phc.map(PasswordHash::from_phc))
    }

    async fn initial_passwords(&self, id: &UserId) -> StoreResult<Vec<PasswordKind>> {
        let id = id.as_str();
        let kinds = sqlx::query_scalar!(
            "SELECT kind FROM passwords WHERE user_id = $1 AND initial ORDER BY kind",
            id
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let kinds = kinds.iter().map(|kind| name("passwords.kind", kind, PasswordKind::parse));
        Ok(kinds.collect::<Result<_, Failure>>()?)
    }

    async fn count_wrong_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        now: Timestamp,
        lock_at: u32,
        audit: AuditEvent,
    ) -> StoreResult<u32> {
        let id = id.clone();
        self.write(Some(audit), move |tx| {
            Box::pin(async move { wrong_password::count(tx, &id, kind, now, lock_at).await })
        })
        .await
    }

    async fn accept_password(&self, id: &UserId, kind: PasswordKind, audit: AuditEvent) -> StoreResult<()> {
        let id = id.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { accept_password(tx, &id, kind).await })).await
    }

    async fn unlock(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()> {
        let id = id.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { unlock(tx, &id).await })).await
    }

    async fn open_session(&self, session: &Session, audit: AuditEvent) -> StoreResult<()> {
        let session = session.clone();
        // A first login with a renewal supersedes the certificate before it.
        self.write_revoking(audit, move |tx| Box::pin(async move { session::open(tx, &session).await })).await
    }

    async fn session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<Session>> {
        Ok(session::by_token(self.readers(), token_sha256).await?)
    }

    async fn touch_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()> {
        let token = *token_sha256;
        self.write(None, move |tx| Box::pin(async move { session::touch(tx, &token, now).await })).await
    }

    async fn close_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()> {
        let token = *token_sha256;
        self.write(Some(audit), move |tx| Box::pin(async move { session::close(tx, &token).await })).await
    }

    async fn purge_sessions(&self, idle_since: Timestamp, opened_before: Timestamp) -> StoreResult<u64> {
        self.write(None, move |tx| {
            Box::pin(async move { session::purge(tx, idle_since, opened_before).await })
        })
        .await
    }

    async fn last_logins(&self, id: &UserId, limit: u32) -> StoreResult<Vec<LoginEntry>> {
        Ok(session::last_logins(self.readers(), id, limit).await?)
    }
}

async fn set_password(
    tx: &mut PgConnection,
    id: &UserId,
    kind: PasswordKind,
    hash: &PasswordHash,
    by: PasswordBy,
) -> Result<Written<()>, Failure> {
    if let Some(token) = by.session() {
        may_act(&mut *tx, id).await?;
        let session = session::by_token(&mut *tx, token).await?;
        session.filter(|session| session.user == *id).ok_or(Conflict::Missing)?;
    }
    wrong_password::forget(&mut *tx, id, kind).await?;
    session::end_others(&mut *tx, id, by.session()).await?;
    let (id, kind, phc) = (id.as_str(), kind.as_str(), hash.expose_phc());
    let initial = by == PasswordBy::Issuer;
    let inserted = sqlx::query!(
        "INSERT INTO passwords (user_id, kind, phc, initial)
         SELECT id, $2, $3, $4 FROM users WHERE id = $1 AND state <> 'removed'
         ON CONFLICT (user_id, kind) DO UPDATE SET phc = excluded.phc, initial = excluded.initial",
        id,
        kind,
        phc,
        initial
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

async fn accept_password(
    tx: &mut PgConnection,
    id: &UserId,
    kind: PasswordKind,
) -> Result<Written<()>, Failure> {
    may_act(&mut *tx, id).await?;
    wrong_password::forget(tx, id, kind).await?;
    Ok(Written::Changed(()))
}

/// `Missing` when the user is locked or suspended, or isn't there.
pub(crate) async fn may_act(tx: &mut PgConnection, id: &UserId) -> Result<(), Failure> {
    let user = customer::user(tx, id).await?;
    let acts = user.is_some_and(|user| user.state == UserState::Active && user.locked_at.is_none());
    if acts { Ok(()) } else { Err(Conflict::Missing.into()) }
}

async fn unlock(tx: &mut PgConnection, id: &UserId) -> Result<Written<()>, Failure> {
    let id = id.as_str();
    let updated =
        sqlx::query!("UPDATE users SET locked_at = NULL WHERE id = $1", id).execute(&mut *tx).await?;
    if updated.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!("DELETE FROM wrong_passwords WHERE user_id = $1", id).execute(tx).await?;
    Ok(Written::Changed(()))
}
