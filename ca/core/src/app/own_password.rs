//! A password that a user who is logged in is asked for again: the 確認用パスワード (rule 10) before a master acts on
//! others, the present one before it is changed. Wrong ones are counted and lock; a right one counts only while the user
//! may still act.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    attempts::Attempts,
    failure::Failure,
    trail::{Details, event},
    wrong_password,
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        ids::UserId,
        user::PasswordKind,
    },
    ports::{
        password::Passwords,
        store::{AuditStore, Conflict, LoginStore, StoreError},
    },
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the user's.
    Right,
    /// It isn't, or the user has none of this kind. That is written down and counted.
    Wrong,
    /// The user was locked or suspended while it was verified; nothing is written down yet.
    MayNotAct,
    /// It wasn't looked at, for too many came in a short time. That is written down.
    TooOften {
        /// When the next one is looked at.
        retry_at: Timestamp,
    },
}

/// Where it is looked up, counted and written down.
pub(super) struct OwnPassword<'a> {
    pub(super) logins: &'a dyn LoginStore,
    pub(super) audit: &'a dyn AuditStore,
    pub(super) passwords: &'a dyn Passwords,
    /// How many are looked at.
    pub(super) attempts: &'a Attempts,
    /// Wrong ones in a row that lock.
    pub(super) lock_at: u32,
}

impl OwnPassword<'_> {
    /// Verifies `password` as `user`'s of this kind; `refusal` is the row that a wrong one leaves.
    pub(super) async fn verify(
        &self,
        (user, kind): (&UserId, PasswordKind),
        password: SecretString,
        now: Timestamp,
        refusal: AuditEvent,
    ) -> Result<Verdict, Failure> {
        let row =
            |action| event(now, Actor::User(user.to_string()), action, user).with("kind", kind.as_str());
        let throttled = row("user.password-throttled");
        if let Err(retry_at) = self.attempts.take(self.audit, user, throttled).await? {
            return Ok(Verdict::TooOften { retry_at });
        }
        let hash = self.logins.password(user, kind).await?;
        if !self.passwords.verify(password, hash).await? {
            let ports = (self.logins, self.audit);
            wrong_password::count(ports, (user, kind), now, self.lock_at, refusal).await?;
            return Ok(Verdict::Wrong);
        }
        match self.logins.accept_password(user, kind, row("user.password-accepted")).await {
            Ok(()) => Ok(Verdict::Right),
            Err(StoreError::Conflict(Conflict::Missing)) => Ok(Verdict::MayNotAct),
            Err(error) => Err(error.into()),
        }
    }
}
