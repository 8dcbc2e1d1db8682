//! Portal sessions, each bound to one certificate.

use ca_core::{
    domain::{
        ids::{SerialNumber, UserId},
        user::PasswordKind,
    },
    ports::store::{Conflict, Session},
};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::{
    failure::Failure,
    outcome::Written,
    rows::{SessionRow, serial, time},
    wrong_password,
};

/// Opens a session of a user who may act, with a certificate that stands, and confirms the certificate. A right login
/// password forgets wrong login passwords, and only those.
pub(crate) async fn open(tx: &mut PgConnection, session: &Session) -> Result<Written<()>, Failure> {
    let (user, issuer, serial) = (session.user.as_str(), session.issuer.as_str(), session.serial.as_bytes());
    let (opened_at, last_used_at) =
        (session.opened_at.as_millisecond(), session.last_used_at.as_millisecond());
    let (token, csrf) = (session.token_sha256.as_slice(), session.csrf_sha256.as_slice());
    let confirmed = sqlx::query!(
        "UPDATE certificates SET confirmed_at = coalesce(confirmed_at, $4)
         WHERE issuer = $1 AND serial = $2 AND user_id = $3 AND der IS NOT NULL AND NOT revoked
           AND EXISTS (SELECT 1 FROM users WHERE id = $3 AND state = 'active' AND locked_at IS NULL)",
        issuer,
        serial,
        user,
        opened_at
    )
    .execute(&mut *tx)
    .await?;
    if confirmed.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!(
        "INSERT INTO sessions (token_sha256, csrf_sha256, user_id, issuer, serial, opened_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        token,
        csrf,
        user,
        issuer,
        serial,
        opened_at,
        last_used_at
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO logins (user_id, at, issuer, serial) VALUES ($1, $2, $3, $4)",
        user,
        opened_at,
        issuer,
        serial
    )
    .execute(&mut *tx)
    .await?;
    wrong_password::forget(tx, &session.user, PasswordKind::Login).await?;
    Ok(Written::Changed(()))
}

pub(crate) async fn by_token(
    executor: impl PgExecutor<'_>,
    token: &[u8; 32],
) -> Result<Option<Session>, Failure> {
    let token = token.as_slice();
    let row = sqlx::query_as!(
        SessionRow,
        "SELECT token_sha256, csrf_sha256, user_id, issuer, serial, opened_at, last_used_at
         FROM sessions WHERE token_sha256 = $1",
        token
    )
    .fetch_optional(executor)
    .await?;
    row.map(Session::try_from).transpose()
}

/// Moves the idle clock, never back. A session that was closed meanwhile stays closed.
pub(crate) async fn touch(
    tx: &mut PgConnection,
    token: &[u8; 32],
    now: Timestamp,
) -> Result<Written<()>, Failure> {
    let (token, now) = (token.as_slice(), now.as_millisecond());
    sqlx::query!(
        "UPDATE sessions SET last_used_at = greatest(last_used_at, $2) WHERE token_sha256 = $1",
        token,
        now
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

pub(crate) async fn close(tx: &mut PgConnection, token: &[u8; 32]) -> Result<Written<()>, Failure> {
    let token = token.as_slice();
    let deleted = sqlx::query!("DELETE FROM sessions WHERE token_sha256 = $1", token).execute(tx).await?;
    Ok(if deleted.rows_affected() == 0 { Written::Unchanged(()) } else { Written::Changed(()) })
}

pub(crate) async fn purge(
    tx: &mut PgConnection,
    idle_since: Timestamp,
    opened_before: Timestamp,
) -> Result<Written<u64>, Failure> {
    let (idle_since, opened_before) = (idle_since.as_millisecond(), opened_before.as_millisecond());
    let deleted = sqlx::query!(
        "DELETE FROM sessions WHERE last_used_at < $1 OR opened_at < $2",
        idle_since,
        opened_before
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(deleted.rows_affected()))
}

pub(crate) async fn last_logins(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<(Timestamp, SerialNumber)>, Failure> {
    let user = user.as_str();
    let rows = sqlx::query!(
        "SELECT at, serial FROM logins WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
        user,
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    let rows =
        rows.into_iter().map(|row| Ok((time("logins.at", row.at)?, serial("logins.serial", &row.serial)?)));
    rows.collect()
}
