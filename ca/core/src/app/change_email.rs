//! A user changes the address that notices go to: asked for the login password again, told at the old address, and only
//! after the code that was mailed to the new one came back. Mail has no links (rule 9), so the code is typed in.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    attempts::Attempts,
    failure::{Failure, carries_failure},
    own_password::{OwnPassword, Verdict},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        ids::UserId,
        mail::{EmailAddress, InvalidAddress},
        user::PasswordKind,
    },
    ports::{
        clock::Clock,
        email::{EmailChange, EmailStore},
        password::Passwords,
        rng::Rng,
        store::{AuditStore, Conflict, CustomerStore, LoginStore, Session, StoreError},
    },
};

/// How long a code is good for.
pub const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(30);
/// Digits of a code: typed by hand, good for a few attempts within one session only.
pub const CODE_DIGITS: usize = 8;
/// Wrong codes before it is burnt.
const CODE_ATTEMPTS: u8 = 5;
/// Codes that a user is sent within a day at the most, so that nobody's letter box is filled by way of the bank.
pub const CODES_A_DAY: u32 = 5;

/// The use case.
pub struct ChangeEmail {
    /// Changes.
    pub emails: Arc<dyn EmailStore>,
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// The login password, and who is locked.
    pub logins: Arc<dyn LoginStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Codes.
    pub rng: Arc<dyn Rng>,
    /// How many passwords of a user are looked at.
    pub attempts: Arc<Attempts>,
    /// Wrong passwords in a row that lock the user.
    pub lock_at: u32,
}

/// Why the address isn't changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeEmailError {
    /// The login password is wrong.
    #[error("the login password is wrong")]
    WrongPassword,
    /// It isn't an address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// It is the present one.
    #[error("that is the present address")]
    Same,
    /// Too many codes in a day.
    #[error("no more than {CODES_A_DAY} codes a day")]
    TooMany,
    /// The code is wrong, burnt, or too old.
    #[error("the code isn't the one that was sent, or its time is over")]
    Code,
    /// Not a user who may act.
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
carries_failure!(ChangeEmailError);

impl ChangeEmailError {
    fn code(&self) -> &'static str {
        match self {
            Self::WrongPassword => "password-wrong",
            Self::Address(_) => "email",
            Self::Same => "same-email",
            Self::TooMany => "too-many-codes",
            Self::Code => "code-wrong",
            Self::NotPermitted => "not-permitted",
            Self::TooOften { .. } => "too-often",
            Self::Failure(_) => "failure",
        }
    }
}

impl ChangeEmail {
    /// Takes a new address and mails a code to it; notices go to the old one until it comes back. A wrong password counts
    /// as one at the login.
    ///
    /// # Errors
    /// [`ChangeEmailError`].
    pub async fn propose(
        &self,
        session: &Session,
        password: SecretString,
        typed: &str,
    ) -> Result<EmailAddress, ChangeEmailError> {
        let (now, id) = (self.clock.now(), &session.user);
        let asked = OwnPassword {
            logins: &*self.logins,
            audit: &*self.audit,
            passwords: &*self.passwords,
            attempts: &self.attempts,
            lock_at: self.lock_at,
        };
        let wrong = refusal(now, id, &ChangeEmailError::WrongPassword);
        match asked.verify((id, PasswordKind::Login), password, now, wrong).await? {
            Verdict::Right => {}
            Verdict::Wrong => return Err(ChangeEmailError::WrongPassword),
            Verdict::TooOften { retry_at } => return Err(ChangeEmailError::TooOften { retry_at }),
            Verdict::MayNotAct => return Err(self.refuse(now, id, ChangeEmailError::NotPermitted).await),
        }
        let email = match EmailAddress::parse(typed) {
            Ok(email) => email,
            Err(invalid) => return Err(self.refuse(now, id, invalid.into()).await),
        };
        let present = self.customers.user(id).await?.and_then(|user| user.email);
        if present.as_ref() == Some(&email) {
            return Err(self.refuse(now, id, ChangeEmailError::Same).await);
        }
        let code = self.new_code();
        let change = EmailChange {
            email: email.clone(),
            sha256: digest(&code),
            expires_at: now.checked_add(CODE_LIFETIME).map_err(Failure::defect)?,
            attempts_left: CODE_ATTEMPTS,
        };
        let row = event(now, Actor::User(id.to_string()), "user.email-proposed", id);
        let since = now.checked_sub(SignedDuration::from_hours(24)).map_err(Failure::defect)?;
        let limit = (since, CODES_A_DAY);
        let session = &session.token_sha256;
        match self.emails.propose_email(id, session, &change, &code, limit, row).await {
            Ok(true) => Ok(email),
            Ok(false) => Err(self.refuse(now, id, ChangeEmailError::TooMany).await),
            Err(StoreError::Conflict(Conflict::Missing)) => {
                Err(self.refuse(now, id, ChangeEmailError::NotPermitted).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The new address that waits for its code.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn waiting(&self, user: &UserId) -> Result<Option<EmailAddress>, Failure> {
        let change = self.emails.email_change(user).await?;
        let lives = |change: &EmailChange| change.attempts_left > 0 && change.expires_at > self.clock.now();
        Ok(change.filter(lives).map(|change| change.email))
    }

    /// Takes the code; from now on notices go to the new address, and the old one is told.
    ///
    /// # Errors
    /// [`ChangeEmailError`].
    pub async fn confirm(&self, session: &Session, typed: &str) -> Result<(), ChangeEmailError> {
        let (now, id) = (self.clock.now(), &session.user);
        if let Some(sha256) = read_code(typed) {
            let row = event(now, Actor::User(id.to_string()), "user.email-changed", id);
            match self.emails.confirm_email(id, &session.token_sha256, &sha256, now, row).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict(Conflict::Code)) => {}
                Err(StoreError::Conflict(Conflict::Missing)) => {
                    return Err(self.refuse(now, id, ChangeEmailError::NotPermitted).await);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.emails.spend_email_attempt(id, refusal(now, id, &ChangeEmailError::Code)).await?;
        Err(ChangeEmailError::Code)
    }

    /// Gives the change up: the address stays as it is.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn drop_change(&self, session: &Session) -> Result<(), Failure> {
        let id = &session.user;
        let row = event(self.clock.now(), Actor::User(id.to_string()), "user.email-dropped", id);
        Ok(self.emails.drop_email_change(id, row).await?)
    }

    fn new_code(&self) -> String {
        let number = u64::from_be_bytes(self.rng.bytes()) % 100_000_000;
        format!("{number:0CODE_DIGITS$}")
    }

    async fn refuse(&self, now: Timestamp, id: &UserId, error: ChangeEmailError) -> ChangeEmailError {
        refused(&*self.audit, refusal(now, id, &error), error).await
    }
}

fn refusal(now: Timestamp, id: &UserId, error: &ChangeEmailError) -> AuditEvent {
    event(now, Actor::User(id.to_string()), "user.email-refused", id).with("reason", error.code())
}

fn digest(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

/// SHA-256 of a code as people type it, in full width or with blanks; `None` when it can't be one.
fn read_code(typed: &str) -> Option<[u8; 32]> {
    let narrow = |c: char| match c {
        '０'..='９' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        other => other,
    };
    let digits: SecretString = typed
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '－'))
        .map(narrow)
        .collect::<String>()
        .into();
    let text = digits.expose_secret();
    (text.len() == CODE_DIGITS && text.bytes().all(|b| b.is_ascii_digit())).then(|| digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for typed in ["01234567", "0123 4567", " 0123-4567 ", "０１２３４５６７"] {
            assert_eq!(read_code(typed), Some(digest("01234567")), "{typed}");
        }
        for bad in ["", "1234567", "012345678", "0123456a", "٠١٢٣٤٥٦٧"] {
            assert_eq!(read_code(bad), None, "{bad}");
        }
    }
}
