//! Wrong passwords at the portal, of either kind: each is counted by itself, and as many of one kind in a row lock the
//! user (IDロック), whichever kind it was. The lock ends live sessions at their next request, so that whoever holds
//! token and login password can't go on guessing the 確認用パスワード; the branch lifts it.

use jiff::Timestamp;

use super::trail::{Details, event};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        ids::UserId,
        user::PasswordKind,
    },
    ports::store::{AuditStore, LoginStore, StoreResult},
};

/// Counts a wrong password with the row of its refusal, and writes down when it locks the user.
pub(super) async fn count(
    (logins, audit): (&dyn LoginStore, &dyn AuditStore),
    (user, kind): (&UserId, PasswordKind),
    now: Timestamp,
    lock_at: u32,
    refusal: AuditEvent,
) -> StoreResult<()> {
    // Only the one that locks has this number: of several at once the others are beyond it.
    if logins.count_wrong_password(user, kind, now, lock_at, refusal).await? == lock_at {
        let row = event(now, Actor::System, "user.locked", user);
        audit.append(row.with("wrong_passwords", kind.as_str())).await?;
    }
    Ok(())
}
