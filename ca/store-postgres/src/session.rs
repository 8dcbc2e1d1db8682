//! Portal sessions, each bound to one certificate.

use ca_core::{
    domain::{ids::UserId, user::PasswordKind},
    ports::store::{Conflict, LoginEntry, Session},
};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::{
    failure::Failure,
    outcome::Written,
    renewal,
    rows::{SessionRow, device, serial, time},
    wrong_password,
};

/// Opens a session of a user who may act, with a certificate that stands, and confirms the certificate. A right login
/// password forgets wrong login passwords, and only those.
pub(crate) async fn open(tx: &mut PgConnection, session: &Session) -> Result<Written<()>, Failure> {
    let (user, issuer, serial) = (session.user.as_str(), session.issuer.as_str(), session.serial.as_bytes());
    let (opened_at, last_used_at) =
        (session.opened_at.as_millisecond(), session.last_used_at.as_millisecond());
    let (token, csrf) = (session.token_sha256.as_slice(), session.csrf_sha256.as_slice());
    let may_act = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM certificates c JOIN users u ON u.id = c.user_id
                          WHERE c.issuer = $1 AND c.serial = $2 AND u.id = $3
                            AND u.state = 'active' AND u.locked_at IS NULL) AS "may_act!""#,
        issuer,
        serial,
        user
    )
    .fetch_one(&mut *tx)
    .await?;
    if !may_act {
        return Err(Conflict::Missing.into());
    }
    renewal::confirm(&mut *tx, &session.issuer, &session.serial, session.opened_at).await?;
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

/// Ends the user's sessions, all but the one with this token.
pub(crate) async fn end_others(
    tx: &mut PgConnection,
    user: &UserId,
    keep: Option<&[u8; 32]>,
) -> Result<(), Failure> {
    // No session has an empty token's hash.
    let (user, keep) = (user.as_str(), keep.map_or(&[][..], <[u8; 32]>::as_slice));
    sqlx::query!("DELETE FROM sessions WHERE user_id = $1 AND token_sha256 <> $2", user, keep)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn last_logins(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<LoginEntry>, Failure> {
    let user = user.as_str();
    let rows = sqlx::query!(
        "SELECT l.at, l.serial, c.device_kind, c.device_serial
         FROM logins l JOIN certificates c ON c.issuer = l.issuer AND c.serial = l.serial
         WHERE l.user_id = $1 ORDER BY l.id DESC LIMIT $2",
        user,
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    let entry = |at, number: &[u8], kind: &str, device_serial: &str| {
        Ok(LoginEntry {
            at: time("logins.at", at)?,
            serial: serial("logins.serial", number)?,
            device: device("certificates", kind, device_serial)?,
        })
    };
    rows.iter().map(|row| entry(row.at, &row.serial, &row.device_kind, &row.device_serial)).collect()
}
