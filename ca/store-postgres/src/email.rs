//! Changes of e-mail addresses that wait for their code.

use async_trait::async_trait;
use ca_core::{
    domain::{audit::AuditEvent, ids::UserId, mail::MailKind},
    ports::{
        email::{EmailChange, EmailStore},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    PostgresStore,
    failure::Failure,
    login, outbox,
    outcome::Written,
    rows::{address, digest, time},
    session,
};

#[async_trait]
impl EmailStore for PostgresStore {
    async fn propose_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        change: &EmailChange,
        code: &str,
        limit: (Timestamp, u32),
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        let (user, session, change, code) = (user.clone(), *session, change.clone(), code.to_owned());
        let at = audit.at;
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                own_session(tx, &user, &session).await?;
                propose(tx, &user, &change, (&code, at), limit).await
            })
        })
        .await
    }

    async fn email_change(&self, user: &UserId) -> StoreResult<Option<EmailChange>> {
        let id = user.as_str();
        let row = sqlx::query!(
            "SELECT email, sha256, expires_at, attempts_left FROM email_changes WHERE user_id = $1",
            id
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        let read = |row: Option<_>| -> Result<Option<EmailChange>, Failure> { row.transpose() };
        Ok(read(row.map(|row| {
            let corrupt = || Failure::Corrupt(format!("email_changes of {user}"));
            Ok(EmailChange {
                email: address("email_changes.email", Some(&row.email))?.ok_or_else(corrupt)?,
                sha256: digest("email_changes.sha256", &row.sha256)?,
                expires_at: time("email_changes.expires_at", row.expires_at)?,
                attempts_left: u8::try_from(row.attempts_left).map_err(|_| corrupt())?,
            })
        }))?)
    }

    async fn spend_email_attempt(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()> {
        let user = user.clone();
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                let user = user.as_str();
                sqlx::query!(
                    "UPDATE email_changes SET attempts_left = attempts_left - 1
                     WHERE user_id = $1 AND attempts_left > 0",
                    user
                )
                .execute(tx)
                .await?;
                Ok(Written::Changed(()))
            })
        })
        .await
    }

    async fn confirm_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        sha256: &[u8; 32],
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (user, session, sha256) = (user.clone(), *session, *sha256);
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                own_session(tx, &user, &session).await?;
                confirm(tx, &user, &sha256, now).await
            })
        })
        .await
    }

    async fn drop_email_change(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()> {
        let user = user.clone();
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                let user = user.as_str();
                let deleted =
                    sqlx::query!("DELETE FROM email_changes WHERE user_id = $1", user).execute(tx).await?;
                let is_new = deleted.rows_affected() > 0;
                Ok(if is_new { Written::Changed(()) } else { Written::Unchanged(()) })
            })
        })
        .await
    }
}

/// Whoever asks has this session and may act.
async fn own_session(tx: &mut PgConnection, user: &UserId, token: &[u8; 32]) -> Result<(), Failure> {
    login::may_act(&mut *tx, user).await?;
    let session = session::by_token(tx, token).await?;
    session.filter(|session| session.user == *user).ok_or(Conflict::Missing)?;
    Ok(())
}

async fn propose(
    tx: &mut PgConnection,
    user: &UserId,
    change: &EmailChange,
    (code, at): (&str, Timestamp),
    (since, most): (Timestamp, u32),
) -> Result<Written<bool>, Failure> {
    let (user, since) = (user.as_str(), since.as_millisecond());
    let sent = sqlx::query_scalar!(
        r#"SELECT count(*) AS "sent!" FROM outbox
           WHERE user_id = $1 AND kind = 'email-code' AND queued_at >= $2"#,
        user,
        since
    )
    .fetch_one(&mut *tx)
    .await?;
    if sent >= i64::from(most) {
        return Ok(Written::Unchanged(false));
    }
    let (email, sha256) = (change.email.as_str(), change.sha256.as_slice());
    let (expires_at, attempts_left) = (change.expires_at.as_millisecond(), i64::from(change.attempts_left));
    sqlx::query!(
        "INSERT INTO email_changes (user_id, email, sha256, expires_at, attempts_left) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, sha256 = excluded.sha256,
             expires_at = excluded.expires_at, attempts_left = excluded.attempts_left",
        user,
        email,
        sha256,
        expires_at,
        attempts_left
    )
    .execute(&mut *tx)
    .await?;
    let (kind, at) = (MailKind::EmailCode.as_str(), at.as_millisecond());
    sqlx::query!(
        "INSERT INTO outbox (kind, user_id, recipient, code, queued_at, next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
        kind,
        user,
        email,
        code,
        at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(true))
}

async fn confirm(
    tx: &mut PgConnection,
    user: &UserId,
    sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Written<()>, Failure> {
    let (id, sha256, at) = (user.as_str(), sha256.as_slice(), now.as_millisecond());
    let email = sqlx::query_scalar!(
        "DELETE FROM email_changes
         WHERE user_id = $1 AND sha256 = $2 AND attempts_left > 0 AND expires_at > $3 RETURNING email",
        id,
        sha256,
        at
    )
    .fetch_optional(&mut *tx)
    .await?;
    let email = email.ok_or(Conflict::Code)?;
    outbox::enqueue(&mut *tx, MailKind::EmailChanged, user, None, now).await?;
    sqlx::query!("UPDATE users SET email = $2 WHERE id = $1", id, email).execute(tx).await?;
    Ok(Written::Changed(()))
}
