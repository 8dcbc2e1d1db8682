//! What a user does with the own account: the passwords, and 緊急停止 (rule 14). Every session but the one that it was done
//! in ends.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    attempts::Attempts,
    failure::{Failure, carries_failure},
    own_password::{OwnPassword, Verdict},
    password_policy::{self, WeakPassword},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::Actor,
        ids::UserId,
        user::{PasswordKind, Role, UserState},
    },
    ports::{
        clock::Clock,
        password::Passwords,
        store::{AuditStore, Conflict, CustomerStore, LoginStore, PasswordBy, Session, StoreError},
    },
};

/// The use cases.
pub struct Account {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Passwords and sessions.
    pub logins: Arc<dyn LoginStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification and hashing.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How many passwords of a user are looked at.
    pub attempts: Arc<Attempts>,
    /// Wrong passwords in a row that lock the user.
    pub lock_at: u32,
}

/// A password to be changed.
pub struct PasswordChange {
    /// Which of the two.
    pub kind: PasswordKind,
    /// The one that holds until now.
    pub current: SecretString,
    /// The one that is to hold.
    pub new: SecretString,
}

/// What a user chose on the 証明書更新選択画面.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalChoice {
    /// To renew.
    Now,
    /// 「更新しない」: asked again at the next login.
    Later,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The present password is wrong.
    #[error("the present password is wrong")]
    WrongPassword,
    /// The new one isn't taken.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// Not a user who may act, or a general user's confirmation password.
    #[error("the user may not do this")]
    NotPermitted,
    /// Too many passwords in a short time: this one wasn't looked at.
    #[error("too many passwords in a short time")]
    TooOften {
        /// When the next one is.
        retry_at: Timestamp,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(AccountError);

impl AccountError {
    fn code(&self) -> &'static str {
        match self {
            Self::WrongPassword => "password-wrong",
            Self::Weak(_) => "weak-password",
            Self::NotPermitted => "not-permitted",
            Self::TooOften { .. } => "too-often",
            Self::Failure(_) => "failure",
        }
    }
}

impl Account {
    /// Changes a password of the session's user. It becomes the only password of its kind, and the user's other sessions
    /// end with the same commit.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn change_password(
        &self,
        session: &Session,
        change: PasswordChange,
    ) -> Result<(), AccountError> {
        let (now, id, kind) = (self.clock.now(), &session.user, change.kind);
        let row = |action| event(now, Actor::User(id.to_string()), action, id).with("kind", kind.as_str());
        let refusal = |error: &AccountError| row("user.password-refused").with("reason", error.code());
        let permitted = match kind {
            PasswordKind::Login => true,
            PasswordKind::Confirmation => {
                self.customers.user(id).await?.is_some_and(|user| user.role == Role::Master)
            }
        };
        if !permitted {
            return Err(self.refuse(refusal, AccountError::NotPermitted).await);
        }
        let asked = OwnPassword {
            logins: &*self.logins,
            audit: &*self.audit,
            passwords: &*self.passwords,
            attempts: &self.attempts,
            lock_at: self.lock_at,
        };
        let wrong = refusal(&AccountError::WrongPassword);
        match asked.verify((id, kind), change.current, now, wrong).await? {
            Verdict::Right => {}
            Verdict::Wrong => return Err(AccountError::WrongPassword),
            Verdict::TooOften { retry_at } => return Err(AccountError::TooOften { retry_at }),
            Verdict::MayNotAct => return Err(self.refuse(refusal, AccountError::NotPermitted).await),
        }
        if let Err(weak) = self.check_new(id, kind, &change.new).await? {
            return Err(self.refuse(refusal, weak.into()).await);
        }
        let hash = self.passwords.hash(change.new).await?;
        let set = row("user.password-changed");
        let by = PasswordBy::User(session.token_sha256);
        match self.logins.set_password(id, kind, &hash, by, set).await {
            Ok(()) => Ok(()),
            // Logged out, locked or suspended meanwhile.
            Err(StoreError::Conflict(Conflict::Missing)) => {
                Err(self.refuse(refusal, AccountError::NotPermitted).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// 緊急停止: stops the user's own ID, at any hour. Its sessions end at their next request; only the branch, or the
    /// master for a general user, lifts it. Once is enough: a second time changes nothing.
    ///
    /// # Errors
    /// `NotPermitted` for a user who was removed.
    pub async fn stop(&self, id: &UserId) -> Result<(), AccountError> {
        let row = event(self.clock.now(), Actor::User(id.to_string()), "user.suspended", id);
        let row = row.with("reason", "emergency-stop");
        match self.customers.set_user_state(id, UserState::Suspended, row).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict(Conflict::Missing)) => Err(AccountError::NotPermitted),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what a user chose when the renewal was offered; it binds nobody.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn choose_renewal(&self, session: &Session, choice: RenewalChoice) -> Result<(), Failure> {
        let action = match choice {
            RenewalChoice::Now => "renewal.chosen",
            RenewalChoice::Later => "renewal.declined",
        };
        let row = event(self.clock.now(), Actor::User(session.user.to_string()), action, &session.user);
        Ok(self.audit.append(row.with("serial", &session.serial)).await?)
    }

    async fn check_new(
        &self,
        id: &UserId,
        kind: PasswordKind,
        new: &SecretString,
    ) -> Result<Result<(), WeakPassword>, AccountError> {
        if let Err(weak) = password_policy::check(new, id) {
            return Ok(Err(weak));
        }
        for (other, weak) in [(kind, WeakPassword::SameAsBefore), (kind.other(), WeakPassword::SameAsOther)] {
            if let Some(hash) = self.logins.password(id, other).await?
                && self.passwords.verify(new.clone(), Some(hash)).await?
            {
                return Ok(Err(weak));
            }
        }
        Ok(Ok(()))
    }

    async fn refuse(
        &self,
        row: impl Fn(&AccountError) -> crate::domain::audit::AuditEvent,
        error: AccountError,
    ) -> AccountError {
        refused(&*self.audit, row(&error), error).await
    }
}
