//! Wrong passwords in a row, counted by kind: each kind is forgotten by itself.

use ca_core::{
    domain::{ids::UserId, user::PasswordKind},
    ports::store::Conflict,
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{failure::Failure, outcome::Written};

/// Counts a wrong password; at `lock_at` in a row the user is locked.
pub(crate) async fn count(
    tx: &mut PgConnection,
    id: &UserId,
    kind: PasswordKind,
    now: Timestamp,
    lock_at: u32,
) -> Result<Written<u32>, Failure> {
    let (id, kind, now) = (id.as_str(), kind.as_str(), now.as_millisecond());
    let count = sqlx::query_scalar!(
        "INSERT INTO wrong_passwords (user_id, kind, in_a_row) SELECT id, $2, 1 FROM users WHERE id = $1
         ON CONFLICT (user_id, kind) DO UPDATE SET in_a_row = wrong_passwords.in_a_row + 1
         RETURNING in_a_row",
        id,
        kind
    )
    .fetch_optional(&mut *tx)
    .await?;
    let count = count.ok_or(Conflict::Missing)?;
    if count >= i64::from(lock_at) {
        sqlx::query!("UPDATE users SET locked_at = $2 WHERE id = $1 AND locked_at IS NULL", id, now)
            .execute(tx)
            .await?;
    }
    let count = u32::try_from(count)
        .map_err(|_| Failure::Corrupt(format!("wrong_passwords.in_a_row of {id} is {count}")))?;
    Ok(Written::Changed(count))
}

/// Forgets the wrong passwords of one kind.
pub(crate) async fn forget(
    tx: &mut PgConnection,
    id: &UserId,
    kind: PasswordKind,
) -> Result<(), sqlx::Error> {
    let (id, kind) = (id.as_str(), kind.as_str());
    sqlx::query!("DELETE FROM wrong_passwords WHERE user_id = $1 AND kind = $2", id, kind)
        .execute(tx)
        .await?;
    Ok(())
}
