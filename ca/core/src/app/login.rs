//! 電子証明書ログイン: the certificate of the TLS connection and the login password open a session (rule 7).
//!
//! Every attempt with a good certificate reads the same and verifies one password, so that neither text nor time tells
//! anything of the account; and a user has so many attempts, right or wrong, before some are turned away unread. Without
//! a certificate, or with one that is revoked, superseded or out of its time, nothing depends on a password: none is
//! verified, so neither strangers nor the finder of an old token keep the verification busy or use up the user's attempts.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    attempts::Attempts,
    audit_budget::{AuditBudget, refused_stranger},
    enrol::confirm::superseded_by,
    failure::{Failure, carries_failure},
    session,
    throttles::Throttles,
    token,
    trail::{Details, event, foreign, refused},
    wrong_password,
};
use crate::{
    domain::{
        audit::Actor,
        certificate::CertificateRecord,
        ids::{IssuerId, SerialNumber, UserId},
        login::{Attempt, Outcome, Reason, decide, still_good},
        user::{PasswordKind, User},
    },
    ports::{
        clock::Clock,
        password::Passwords,
        rng::Rng,
        store::{AuditStore, CertificateStore, Conflict, CustomerStore, LoginStore, Session, StoreError},
    },
};

/// The use case.
pub struct LogIn {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Passwords and sessions.
    pub logins: Arc<dyn LoginStore>,
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Session tokens.
    pub rng: Arc<dyn Rng>,
    /// Whose certificates customers log in with.
    pub issuer: IssuerId,
    /// Wrong passwords in a row that lock the login.
    pub lock_at: u32,
    /// How many passwords of a user are looked at.
    pub attempts: Arc<Attempts>,
    /// Who logged in from where isn't held up there by what others do at the enrolment API.
    pub throttles: Arc<Throttles>,
    /// What visitors without a certificate may write into the trail.
    pub budget: Arc<AuditBudget>,
}

/// An attempt.
pub struct Login {
    /// The certificate of the TLS connection, DER, whose key the handshake proved; `None` when there is none.
    pub certificate: Option<Vec<u8>>,
    /// The user ID as typed, where the form asks for one.
    pub login_id: Option<String>,
    /// ログインパスワード.
    pub password: SecretString,
    /// Where it comes from, as throttles know it.
    pub source: String,
}

/// A session was opened.
#[derive(Debug)]
pub struct LoggedIn {
    /// The cookie's value; the ledger keeps its hash only.
    pub session_token: SecretString,
    /// The user.
    pub user: User,
    /// The certificate.
    pub certificate: CertificateRecord,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The certificate is the reason: missing, unknown, revoked, expired. Its holder may be told.
    #[error("the certificate is not accepted")]
    Certificate(#[source] Reason),
    /// ID, password or account: one answer.
    #[error("the login is refused")]
    Refused,
    /// Too many passwords in a short time: this one wasn't looked at, so nothing is said of it.
    #[error("too many passwords in a short time")]
    TooOften {
        /// When the next one is.
        retry_at: Timestamp,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(LoginError);

/// What the ledger knows of the certificate that was presented.
struct Known {
    certificate: Option<CertificateRecord>,
    user: Option<User>,
    login_id: Option<UserId>,
    id_is_malformed: bool,
}

impl Known {
    /// The user whose password counts: the certificate alone is no reason to refuse.
    fn who_may_be_asked(&self, now: Timestamp) -> Option<&User> {
        let (certificate, user) = (self.certificate.as_ref()?, self.user.as_ref()?);
        let refused = still_good(certificate, user, now).err();
        (!refused.is_some_and(Reason::is_the_certificates)).then_some(user)
    }
}

impl LogIn {
    /// Logs in.
    ///
    /// # Errors
    /// `Certificate`, `Refused`, `TooOften`.
    pub async fn run(&self, login: Login) -> Result<LoggedIn, LoginError> {
        let now = self.clock.now();
        let known = self.look_up(&login).await?;
        let password_is_right = match known.who_may_be_asked(now) {
            Some(user) => {
                self.take_attempt(user, now).await?;
                let hash = self.logins.password(&user.id, PasswordKind::Login).await?;
                self.passwords.verify(login.password, hash).await?
            }
            None => false,
        };
        let attempt = Attempt {
            presented: login.certificate.as_deref(),
            certificate: known.certificate.as_ref(),
            user: known.user.as_ref(),
            login_id: known.login_id.as_ref(),
            password_is_right: password_is_right && !known.id_is_malformed,
        };
        let outcome = decide(&attempt, now);
        match (outcome, known.user, known.certificate) {
            (Outcome::Admitted { .. }, Some(user), Some(certificate)) => {
                self.open(user, certificate, &login.source, now).await
            }
            (Outcome::Admitted { .. }, ..) => Err(Failure::defect("a login without user").into()),
            (Outcome::Refused(reason), user, certificate) => {
                Err(self.refuse(reason, user, certificate, login.login_id, now).await)
            }
        }
    }

    async fn take_attempt(&self, user: &User, now: Timestamp) -> Result<(), LoginError> {
        let row = event(now, Actor::User(user.id.to_string()), "login.refused", &user.id);
        let taken = self.attempts.take(&*self.audit, &user.id, row.with("reason", "login-too-often"));
        taken.await?.map_err(|retry_at| LoginError::TooOften { retry_at })
    }

    async fn look_up(&self, login: &Login) -> Result<Known, LoginError> {
        let serial = login.certificate.as_deref().and_then(SerialNumber::of_certificate);
        let certificate = match &serial {
            Some(serial) => self.certificates.certificate(&self.issuer, serial).await?,
            None => None,
        };
        // Another CA's certificate with the same serial number says nothing about our user.
        let certificate = certificate.filter(|record| record.der() == login.certificate.as_deref());
        let user = match &certificate {
            Some(record) => self.customers.user(&record.user).await?,
            None => None,
        };
        let login_id = login.login_id.as_deref().map(UserId::parse);
        let id_is_malformed = matches!(login_id, Some(Err(_)));
        Ok(Known { certificate, user, login_id: login_id.and_then(Result::ok), id_is_malformed })
    }

    async fn open(
        &self,
        user: User,
        certificate: CertificateRecord,
        source: &str,
        now: Timestamp,
    ) -> Result<LoggedIn, LoginError> {
        let session_token = token::encode(&self.rng.bytes());
        let hash = |text: &str| token::sha256(text).ok_or_else(|| Failure::defect("an unreadable token"));
        let csrf = session::csrf_token(session_token.expose_secret());
        let session = Session {
            token_sha256: hash(session_token.expose_secret())?,
            csrf_sha256: Sha256::digest(csrf.as_bytes()).into(),
            user: user.id.clone(),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            opened_at: now,
            last_used_at: now,
        };
        let row = event(now, Actor::User(user.id.to_string()), "login.admitted", &user.id)
            .with("serial", &certificate.serial)
            .with("device", &certificate.device.serial);
        // The first login with a renewal makes it the user's certificate.
        let row = match superseded_by(&*self.certificates, &certificate).await? {
            Some(predecessor) => row.with("supersedes", predecessor.serial),
            None => row,
        };
        match self.logins.open_session(&session, row).await {
            Ok(()) => {
                self.throttles.succeeded(&user.id, source, now);
                Ok(LoggedIn { session_token, user, certificate })
            }
            // Revoked, suspended or locked between the decision and the commit.
            Err(StoreError::Conflict(Conflict::Missing)) => {
                Err(self.refuse(Reason::AccountClosed, Some(user), Some(certificate), None, now).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn refuse(
        &self,
        reason: Reason,
        user: Option<User>,
        certificate: Option<CertificateRecord>,
        typed: Option<String>,
        now: Timestamp,
    ) -> LoginError {
        let id = user.as_ref().map(|user| user.id.to_string());
        let claimed = id.clone().or(typed.as_deref().map(foreign)).unwrap_or_default();
        let mut row =
            event(now, Actor::User(claimed.clone()), "login.refused", claimed).with("reason", reason.code());
        if let Some(certificate) = certificate {
            row = row.with("serial", &certificate.serial);
        }
        if let Some(typed) = typed {
            row = row.with("login_id", foreign(&typed));
        }
        let error =
            if reason.is_the_certificates() { LoginError::Certificate(reason) } else { LoginError::Refused };
        match user {
            Some(user) if reason.counts_as_wrong_password() => {
                let (ports, wrong) = ((&*self.logins, &*self.audit), (&user.id, PasswordKind::Login));
                let counted = wrong_password::count(ports, wrong, now, self.lock_at, row).await;
                counted.map_or_else(Into::into, |()| error)
            }
            Some(_) => refused(&*self.audit, row, error).await,
            None => refused_stranger((&*self.audit, &self.budget), reason.code(), row, error).await,
        }
    }
}
