//! A member's session at the console: opened with the key of the member's token, whose PIN is the second factor, and
//! checked against the ledger at each request. A withdrawn member's ends at the next one.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Acting;
use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure},
        session::{SessionTerms, csrf_token},
        token,
        trail::{Details, event},
    },
    domain::{
        audit::Actor,
        ids::SerialNumber,
        machine::ValiditySpan,
        staff::{Member, MemberState},
    },
    ports::{
        clock::Clock,
        rng::Rng,
        staff::{StaffRevocations, StaffSession, StaffStore},
        store::{AuditStore, Conflict, StoreError},
    },
};

/// The idle clock is moved at most so often, so that a request seldom writes.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// The use case.
pub struct StaffSessions {
    /// Members and sessions.
    pub staff: Arc<dyn StaffStore>,
    /// Certificates that the staff CA took back.
    pub revocations: Arc<dyn StaffRevocations>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Session tokens.
    pub rng: Arc<dyn Rng>,
    /// How long sessions last.
    pub terms: SessionTerms,
    /// What holders of staff certificates that aren't members may write into the trail.
    pub budget: Arc<AuditBudget>,
}

/// A certificate of the staff issuer whose key the TLS handshake proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its serial number.
    pub serial: SerialNumber,
    /// SHA-256 of its `SubjectPublicKeyInfo`, DER.
    pub key_sha256: [u8; 32],
    /// From when to when it holds.
    pub validity: ValiditySpan,
}

/// Why a certificate opens nothing here. Its holder may be told: nobody else can present it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// None was presented.
    #[error("no certificate was presented")]
    Missing,
    /// Its key is no member's.
    #[error("the certificate's key is not a member of staff's")]
    Unknown,
    /// Its member was withdrawn.
    #[error("the member of staff was withdrawn")]
    Withdrawn,
    /// The staff CA's CRL lists it.
    #[error("the staff CA has revoked the certificate")]
    Revoked,
    /// Past its notAfter.
    #[error("the certificate has expired")]
    Expired,
    /// Before its notBefore: a clock is wrong.
    #[error("the certificate is not valid yet")]
    NotYetValid,
}

impl Unfit {
    fn code(self) -> &'static str {
        match self {
            Self::Missing => "staff-no-certificate",
            Self::Unknown => "staff-unknown",
            Self::Withdrawn => "staff-withdrawn",
            Self::Revoked => "staff-revoked",
            Self::Expired => "staff-expired",
            Self::NotYetValid => "staff-not-yet-valid",
        }
    }
}

/// A session was opened.
#[derive(Debug)]
pub struct Opened {
    /// The cookie's value; the ledger keeps its hash only.
    pub session_token: SecretString,
    /// Whose.
    pub member: Member,
}

/// A session that stands.
#[derive(Clone, Debug)]
pub struct ActiveStaff {
    /// Who acts.
    pub acting: Acting,
    csrf_sha256: [u8; 32],
}

impl ActiveStaff {
    /// Whether a form's token is this session's.
    pub fn csrf_matches(&self, presented: &str) -> bool {
        let found: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        found.ct_eq(&self.csrf_sha256).into()
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum StaffSessionError {
    /// Never opened, closed, or swept away.
    #[error("there is no such session")]
    None,
    /// Too long without a request, or too long in all.
    #[error("the session ended by itself")]
    Over,
    /// Another key's connection.
    #[error("the connection's certificate is not the session's")]
    OtherCertificate,
    /// The certificate is the reason.
    #[error("the certificate is not accepted")]
    Unfit(#[source] Unfit),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(StaffSessionError: store::StoreError);

impl StaffSessions {
    /// Who presents this, and whether the member may come in.
    ///
    /// # Errors
    /// `Unfit`; where a certificate was presented, it is written down.
    pub async fn who(&self, presented: Option<&Presented>) -> Result<Member, StaffSessionError> {
        let now = self.clock.now();
        match self.judge(presented, now).await? {
            Ok(member) => Ok(member),
            Err(Unfit::Missing) => Err(StaffSessionError::Unfit(Unfit::Missing)),
            Err(unfit) => Err(self.refuse(presented, unfit, now).await),
        }
    }

    async fn judge(
        &self,
        presented: Option<&Presented>,
        now: Timestamp,
    ) -> Result<Result<Member, Unfit>, Failure> {
        let Some(presented) = presented else { return Ok(Err(Unfit::Missing)) };
        let Some(member) = self.staff.member_by_key(&presented.key_sha256).await? else {
            return Ok(Err(Unfit::Unknown));
        };
        Ok(if member.state == MemberState::Withdrawn {
            Err(Unfit::Withdrawn)
        } else if self.revocations.is_revoked(&presented.serial) {
            Err(Unfit::Revoked)
        } else if now < presented.validity.not_before {
            Err(Unfit::NotYetValid)
        } else if now > presented.validity.not_after {
            Err(Unfit::Expired)
        } else {
            Ok(member)
        })
    }

    /// Opens a session.
    ///
    /// # Errors
    /// `Unfit`, which is written down.
    pub async fn open(&self, presented: Option<&Presented>) -> Result<Opened, StaffSessionError> {
        let now = self.clock.now();
        let member = match self.judge(presented, now).await? {
            Ok(member) => member,
            Err(unfit) => return Err(self.refuse(presented, unfit, now).await),
        };
        let session_token = token::encode(&self.rng.bytes());
        let hash = token::sha256(session_token.expose_secret());
        let csrf = csrf_token(session_token.expose_secret());
        let session = StaffSession {
            token_sha256: hash.ok_or_else(|| Failure::defect("an unreadable token"))?,
            csrf_sha256: Sha256::digest(csrf.as_bytes()).into(),
            member: member.id.clone(),
            key_sha256: member.key_sha256,
            opened_at: now,
            last_used_at: now,
        };
        let actor = Actor::Staff(member.id.to_string());
        let row = event(now, actor, "staff.login", &member.id).with("roles", &member.roles);
        match self.staff.open_staff_session(&session, row).await {
            Ok(()) => Ok(Opened { session_token, member }),
            // Withdrawn between the look and the commit.
            Err(StoreError::Conflict(Conflict::Missing)) => {
                Err(self.refuse(presented, Unfit::Withdrawn, now).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn refuse(&self, presented: Option<&Presented>, unfit: Unfit, now: Timestamp) -> StaffSessionError {
        let key = presented.map(|presented| hex::encode(presented.key_sha256));
        let row = event(now, Actor::System, "staff.login-refused", key.as_deref().unwrap_or("nobody"))
            .with("reason", unfit.code());
        let refusal = StaffSessionError::Unfit(unfit);
        refused_stranger((&*self.audit, &self.budget), unfit.code(), row, refusal).await
    }

    /// The session with this token, on a connection with this certificate.
    ///
    /// # Errors
    /// [`StaffSessionError`].
    pub async fn check(
        &self,
        session_token: &str,
        presented: Option<&Presented>,
    ) -> Result<ActiveStaff, StaffSessionError> {
        let sha256 = token::sha256(session_token).ok_or(StaffSessionError::None)?;
        let session = self.staff.staff_session(&sha256).await?.ok_or(StaffSessionError::None)?;
        let now = self.clock.now();
        // A request on another connection doesn't end the session of the connection that owns it.
        if presented.is_none_or(|presented| presented.key_sha256 != session.key_sha256) {
            let row = event(now, Actor::System, "staff.session-refused", &session.member)
                .with("reason", "session-other-certificate");
            self.audit.append(row).await?;
            return Err(StaffSessionError::OtherCertificate);
        }
        let member = match self.judge(presented, now).await? {
            Ok(member) => member,
            Err(unfit) => {
                self.end(&session, unfit.code(), now).await?;
                return Err(StaffSessionError::Unfit(unfit));
            }
        };
        let over = now.duration_since(session.opened_at) > self.terms.absolute
            || now.duration_since(session.last_used_at) > self.terms.idle;
        if over || member.id != session.member {
            self.end(&session, "session-over", now).await?;
            return Err(StaffSessionError::Over);
        }
        if now.duration_since(session.last_used_at) >= TOUCH_EVERY {
            self.staff.touch_staff_session(&sha256, now).await?;
        }
        Ok(ActiveStaff { acting: Acting { member }, csrf_sha256: session.csrf_sha256 })
    }

    async fn end(&self, session: &StaffSession, reason: &'static str, now: Timestamp) -> Result<(), Failure> {
        let row = event(now, Actor::System, "staff.session-ended", &session.member).with("reason", reason);
        Ok(self.staff.close_staff_session(&session.token_sha256, row).await?)
    }

    /// ログアウト. A token that is no session's any more is no error.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn close(&self, session_token: &str) -> Result<(), Failure> {
        let Some(sha256) = token::sha256(session_token) else { return Ok(()) };
        let Some(session) = self.staff.staff_session(&sha256).await? else { return Ok(()) };
        let actor = Actor::Staff(session.member.to_string());
        let row = event(self.clock.now(), actor, "staff.logout", &session.member);
        Ok(self.staff.close_staff_session(&sha256, row).await?)
    }

    /// Deletes sessions that nobody will use again. For a periodic job.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn sweep(&self) -> Result<u64, Failure> {
        let now = self.clock.now();
        let before = |age| now.checked_sub(age).map_err(Failure::defect);
        Ok(self.staff.purge_staff_sessions(before(self.terms.idle)?, before(self.terms.absolute)?).await?)
    }
}
