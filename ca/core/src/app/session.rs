//! A portal session, checked against the ledger at each request: a revoked certificate, a suspended or locked user ends
//! it at the next one.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    failure::{Failure, carries_failure},
    token,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        certificate::CertificateRecord,
        login::{Reason, still_good},
        user::{PasswordKind, User},
    },
    ports::{
        clock::Clock,
        store::{AuditStore, CertificateStore, CustomerStore, LoginStore, Session},
    },
};

/// The idle clock is moved at most so often, so that a request seldom writes.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// Without a request.
    pub idle: SignedDuration,
    /// In any case.
    pub absolute: SignedDuration,
}

impl Default for SessionTerms {
    fn default() -> Self {
        Self { idle: SignedDuration::from_mins(10), absolute: SignedDuration::from_hours(8) }
    }
}

/// The use case.
pub struct CheckSession {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Sessions.
    pub logins: Arc<dyn LoginStore>,
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// A session's token on a connection that isn't its own.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long sessions last.
    pub terms: SessionTerms,
}

/// A session that stands.
#[derive(Clone, Debug)]
pub struct ActiveSession {
    /// The session.
    pub session: Session,
    /// The user.
    pub user: User,
    /// The certificate that it is bound to.
    pub certificate: CertificateRecord,
    /// A password that somebody else handed over; nothing else is done before the user has changed it.
    pub to_change: Option<PasswordKind>,
}

impl ActiveSession {
    /// Whether a form's token is this session's.
    pub fn csrf_matches(&self, presented: &str) -> bool {
        let found: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        found.ct_eq(&self.session.csrf_sha256).into()
    }
}

/// Why there is no session any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Too long without a request.
    #[error("the session was idle for too long")]
    Idle,
    /// Too long in all.
    #[error("the session lasted too long")]
    TooOld,
    /// The connection has another certificate, or none.
    #[error("the connection's certificate is not the session's")]
    OtherCertificate,
    /// Certificate or user may not act any more.
    #[error("{0}")]
    NoLongerGood(Reason),
}

impl Ended {
    fn code(self) -> &'static str {
        match self {
            Self::Idle => "session-idle",
            Self::TooOld => "session-too-old",
            Self::OtherCertificate => "session-other-certificate",
            Self::NoLongerGood(reason) => reason.code(),
        }
    }
}

/// Why the request isn't served.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No such session: never opened, logged out, or swept away.
    #[error("there is no such session")]
    Unknown,
    /// It ended just now.
    #[error("the session ended")]
    Ended(#[source] Ended),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(SessionError);

/// The token that forms carry, derived from the session's so that any page can be written from the cookie alone.
pub fn csrf_token(session_token: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"inro-csrf-v1\0");
    hash.update(session_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

impl CheckSession {
    /// The session with this token, on a connection with this certificate.
    ///
    /// # Errors
    /// `Unknown`, `Ended`.
    pub async fn run(
        &self,
        session_token: &str,
        certificate: Option<&[u8]>,
    ) -> Result<ActiveSession, SessionError> {
        let sha256 = token::sha256(session_token).ok_or(SessionError::Unknown)?;
        let session = self.logins.session(&sha256).await?.ok_or(SessionError::Unknown)?;
        let record = self.certificates.certificate(&session.issuer, &session.serial).await?;
        let user = self.customers.user(&session.user).await?;
        let (Some(record), Some(user)) = (record, user) else {
            return Err(Failure::defect("a session without certificate or user").into());
        };
        let now = self.clock.now();
        if let Err(ended) = self.judge(&session, &record, &user, certificate, now) {
            return Err(self.end(&session, ended, now).await);
        }
        if now.duration_since(session.last_used_at) >= TOUCH_EVERY {
            self.logins.touch_session(&sha256, now).await?;
        }
        let initial = self.logins.initial_passwords(&user.id).await?;
        let to_change =
            [PasswordKind::Login, PasswordKind::Confirmation].into_iter().find(|k| initial.contains(k));
        Ok(ActiveSession { session, user, certificate: record, to_change })
    }

    /// Deletes sessions that nobody will use again. For a periodic job.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn sweep(&self) -> Result<u64, Failure> {
        let now = self.clock.now();
        let before = |age| now.checked_sub(age).map_err(Failure::defect);
        Ok(self.logins.purge_sessions(before(self.terms.idle)?, before(self.terms.absolute)?).await?)
    }

    fn judge(
        &self,
        session: &Session,
        record: &CertificateRecord,
        user: &User,
        presented: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), Ended> {
        if presented.is_none() || record.der() != presented {
            return Err(Ended::OtherCertificate);
        }
        still_good(record, user, now).map_err(Ended::NoLongerGood)?;
        if now.duration_since(session.opened_at) > self.terms.absolute {
            return Err(Ended::TooOld);
        }
        if now.duration_since(session.last_used_at) > self.terms.idle {
            return Err(Ended::Idle);
        }
        Ok(())
    }

    async fn end(&self, session: &Session, ended: Ended, now: Timestamp) -> SessionError {
        // A request on another connection doesn't end the session of the connection that owns it.
        let foreign = ended == Ended::OtherCertificate;
        let action = if foreign { "session.refused" } else { "session.ended" };
        let row = event(now, Actor::System, action, &session.user)
            .with("reason", ended.code())
            .with("serial", &session.serial);
        let written = if foreign {
            self.audit.append(row).await
        } else {
            self.logins.close_session(&session.token_sha256, row).await
        };
        written.map_or_else(Into::into, |()| SessionError::Ended(ended))
    }
}
