//! Step 1 of the wire: ID, password and the binding of user to token (rule 12) buy a challenge. A repeat with the same
//! idempotency key finds the enrolment again, whatever became of it.

use std::sync::Arc;

use ca_x509::KeyKind;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    bearer::BearerKey,
    refusal::{Refusal, RefusalKind},
    throttle::Throttles,
};
use crate::{
    app::{
        acquisition_code,
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure},
        trail::{Details, event, foreign, refused},
    },
    domain::{
        attestation::yubikey::Firmware,
        audit::{Actor, AuditEvent},
        certificate::{CertificateRecord, CertificateState},
        device::Device,
        enrolment::{AcquisitionCode, Binding, Enrolment, EnrolmentState},
        idempotency::{Repeat, judge},
        ids::{EnrolmentId, IdempotencyKey, UserId},
        policy::{
            Applicant, BindingRefusal, CodeCheck, Decision, IssuancePolicy, Reason, bind, check_code,
            is_still_bound, may_open,
        },
        user::{PasswordKind, User},
    },
    ports::{
        clock::Clock,
        password::Passwords,
        rng::Rng,
        store::{
            AuditStore, CertificateStore, Conflict, CustomerStore, FreshChallenge, LoginStore, StoreError,
        },
    },
};

/// The use case.
pub struct OpenEnrolment {
    /// Users and acquisition codes.
    pub customers: Arc<dyn CustomerStore>,
    /// Passwords.
    pub logins: Arc<dyn LoginStore>,
    /// Enrolments and certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Challenges.
    pub rng: Arc<dyn Rng>,
    /// Failures so far (rule 13).
    pub throttles: Arc<Throttles>,
    /// What throttled requests may write into the trail.
    pub budget: Arc<AuditBudget>,
    /// The rules of issuance.
    pub policy: Arc<IssuancePolicy>,
    /// Makes bearers.
    pub bearer_key: BearerKey,
    /// How long a challenge can be answered.
    pub challenge_lifetime: SignedDuration,
}

/// The command.
pub struct Open {
    /// ログインID, as typed.
    pub user_id: String,
    /// ログインパスワード.
    pub password: SecretString,
    /// 取得用コード, as typed.
    pub acquisition_code: Option<SecretString>,
    /// The token that the key will live on.
    pub device: Device,
    /// Its firmware, as claimed: only for what the agent is told to generate.
    pub firmware: Firmware,
    /// The agent's key for this enrolment.
    pub idempotency_key: IdempotencyKey,
    /// Where the request came from, such as an address: an opaque name to throttle by.
    pub source: String,
}

/// The enrolment is open.
#[derive(Debug)]
pub struct Opened {
    /// The enrolment, with challenge and expiry.
    pub enrolment: Enrolment,
    /// Authorises the later steps until the challenge expires.
    pub bearer: SecretString,
    /// Kinds of key to generate, best first.
    pub keys: Vec<KeyKind>,
    /// The certificate, when the enrolment led to one already and only its writing or confirmation is missing.
    pub certified: Option<CertificateRecord>,
    /// False for a repeat.
    pub is_new: bool,
}

/// Why the enrolment isn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Rule 13: too many failures; not looked at before then.
    #[error("too many failed attempts; the next is looked at after {retry_at}")]
    Throttled {
        /// When.
        retry_at: Timestamp,
    },
    /// ID, password, code or token assignment: one answer for all.
    #[error("ID, password, acquisition code or token assignment is wrong")]
    Authentication,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another enrolment")]
    IdempotencyKey,
    /// The enrolment with this key ended: its certificate was revoked, or was never signed. A new key begins anew.
    #[error("the enrolment with this idempotency key has ended; begin a new one")]
    Ended,
    /// It was refused for good before.
    #[error(transparent)]
    Refused(Refusal),
    /// The rules don't allow it now.
    #[error(transparent)]
    Policy(Reason),
    /// A member of staff would have to approve.
    #[error("the enrolment needs approval")]
    Held,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(OpenError);

impl OpenError {
    /// The kind of a final refusal, when it is one.
    pub fn refusal_kind(&self) -> Option<RefusalKind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind()),
            _ => None,
        }
    }
}

/// What is known before anything is decided.
struct Authenticated {
    user: User,
    code: Option<AcquisitionCode>,
    now: Timestamp,
}

impl OpenEnrolment {
    /// Opens an enrolment, or finds it again.
    ///
    /// # Errors
    /// [`OpenError`]; each leaves an audit row.
    pub async fn run(&self, open: Open) -> Result<Opened, OpenError> {
        let now = self.clock.now();
        let id = UserId::parse(&open.user_id).ok();
        self.check_throttle(&open, id.as_ref(), now).await?;
        let known = self.authenticate(&open, id.as_ref(), now).await?;
        // Read after the acquisition code: a repeat that finds its code consumed finds the enrolment too.
        let existing = self.certificates.enrolment_by_key(&open.idempotency_key).await?;
        match judge(existing.as_ref(), &known.user.id, &open.device) {
            Repeat::KeyReused => {
                // Who isn't bound to the token isn't told by this answer that the password is right.
                self.bind(&open, &known).await?;
                Err(self.refuse(&open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await)
            }
            Repeat::Of(enrolment) => self.resume(&open, &known.user, enrolment.clone(), now).await,
            Repeat::First => self.begin(&open, &known).await,
        }
    }

    /// Rule 13. Nothing is known of who is asking, so the trail takes only so many rows of it.
    async fn check_throttle(
        &self,
        open: &Open,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<(), OpenError> {
        let Some(retry_at) = self.throttles.blocked_until(id, &open.source, now) else { return Ok(()) };
        let (ports, row) = ((&*self.audit, &*self.budget), refusal_row(open, "throttled", now));
        Err(refused_stranger(ports, "throttled", row, OpenError::Throttled { retry_at }).await)
    }

    /// One password is verified whether the user exists or not, and one row is written when it is wrong.
    async fn authenticate(
        &self,
        open: &Open,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Authenticated, OpenError> {
        let (user, hash, code) = match id {
            Some(id) => (
                self.customers.user(id).await?,
                self.logins.password(id, PasswordKind::Login).await?,
                self.customers.acquisition_code(id).await?,
            ),
            None => (None, None, None),
        };
        let is_right = self.passwords.verify(open.password.clone(), hash).await?;
        // Others may have failed while this password was verified: many guesses at once are no more than in a row.
        self.check_throttle(open, id, now).await?;
        match user.filter(|_| is_right) {
            Some(user) => Ok(Authenticated { user, code, now }),
            None => Err(self.fail(open, id, "wrong-password", now).await),
        }
    }

    /// A failure that throttles and takes an attempt from the acquisition code, but never touches the login (rule 13).
    async fn fail(&self, open: &Open, id: Option<&UserId>, why: &'static str, now: Timestamp) -> OpenError {
        self.throttles.failed(id, &open.source, now);
        let row = refusal_row(open, why, now);
        let written = match id {
            Some(id) => self.customers.spend_code_attempt(id, row).await,
            None => self.audit.append(row).await,
        };
        written.map_or_else(Into::into, |()| OpenError::Authentication)
    }

    async fn begin(&self, open: &Open, known: &Authenticated) -> Result<Opened, OpenError> {
        let now = known.now;
        let (binding, code) = self.bind(open, known).await?;
        self.throttles.succeeded(&known.user.id);
        self.check_policy(open, &known.user, now).await?;

        let id = EnrolmentId(uuid::Builder::from_random_bytes(self.rng.bytes()).into_uuid());
        let fresh = self.fresh_challenge(id, now)?;
        let enrolment = Enrolment {
            id,
            idempotency_key: open.idempotency_key.clone(),
            user: known.user.id.clone(),
            device: open.device.clone(),
            binding,
            challenge: fresh.challenge,
            bearer_sha256: fresh.bearer_sha256,
            expires_at: fresh.expires_at,
            opened_at: now,
            state: EnrolmentState::Challenged,
        };
        let row = row(open, "enrolment.opened", now).with("enrolment", id).with("binding", binding.as_str());
        match self.certificates.open_enrolment(&enrolment, code, row).await {
            Ok(opened) if opened.id == id => self.answer(open, opened, None, true),
            Ok(earlier) => self.resume(open, &known.user, earlier, now).await,
            Err(StoreError::Conflict(Conflict::Code)) => {
                Err(self.fail(open, Some(&known.user.id), "binding-code-used", now).await)
            }
            Err(StoreError::Conflict(Conflict::Taken)) => {
                Err(self.refuse(open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Rule 12. The hash of the code is returned when the code is what binds: the store consumes it.
    async fn bind(
        &self,
        open: &Open,
        known: &Authenticated,
    ) -> Result<(Binding, Option<[u8; 32]>), OpenError> {
        let presented = open.acquisition_code.as_ref().map(acquisition_code::sha256);
        let check = match &presented {
            None => CodeCheck::NotPresented,
            Some(None) => CodeCheck::Wrong,
            Some(Some(sha256)) => check_code(known.code.as_ref(), Some(sha256), known.now),
        };
        match bind(&known.user, &open.device, check) {
            Ok(Binding::AssignedSerial) => Ok((Binding::AssignedSerial, None)),
            Ok(Binding::AcquisitionCode) => Ok((Binding::AcquisitionCode, presented.flatten())),
            // No code was guessed, so none is burnt. It throttles all the same, or its absence would tell that the
            // password is right.
            Err(refusal @ BindingRefusal::NothingAssigned) => {
                self.throttles.failed(Some(&known.user.id), &open.source, known.now);
                Err(self.refuse(open, refusal.code(), OpenError::Authentication, known.now).await)
            }
            Err(refusal) => Err(self.fail(open, Some(&known.user.id), refusal.code(), known.now).await),
        }
    }

    async fn check_policy(&self, open: &Open, user: &User, now: Timestamp) -> Result<(), OpenError> {
        let contract = self.customers.contract(&user.contract).await?;
        let contract = contract.ok_or_else(|| Failure::defect("a user without contract"))?;
        let certificates = self.certificates.certificates_of(&user.id).await?;
        let beside = self.certificates.holders_beside(&user.id).await?;
        let applicant = Applicant {
            contract: &contract,
            user,
            certificates: &certificates,
            other_holders: usize::try_from(beside).unwrap_or(usize::MAX),
        };
        match may_open(&self.policy, &applicant, now) {
            Decision::Approve => Ok(()),
            Decision::Hold => Err(self.refuse(open, "held", OpenError::Held, now).await),
            Decision::Refuse(reason) => {
                let code = reason.code();
                Err(self.refuse(open, code, OpenError::Policy(reason), now).await)
            }
        }
    }

    async fn resume(
        &self,
        open: &Open,
        user: &User,
        enrolment: Enrolment,
        now: Timestamp,
    ) -> Result<Opened, OpenError> {
        let certified = match &enrolment.state {
            EnrolmentState::Challenged if !is_still_bound(user, &enrolment.device, enrolment.binding) => {
                return Err(self.fail(open, Some(&user.id), "binding-withdrawn", now).await);
            }
            EnrolmentState::Challenged => None,
            EnrolmentState::Refused { code, detail } => {
                let refusal = Refusal { code: code.clone(), detail: detail.clone() };
                return Err(self.refuse(open, code, OpenError::Refused(refusal), now).await);
            }
            EnrolmentState::Certified { .. } => {
                let record = self.certificates.certificate_of_intent(enrolment.id).await?;
                let record = record.ok_or_else(|| Failure::defect("an enrolment without its intent"))?;
                match record.state {
                    CertificateState::Intended => None,
                    CertificateState::Issued { .. } => Some(record),
                    CertificateState::Revoked { .. } | CertificateState::Abandoned => {
                        return Err(self.refuse(open, "enrolment-ended", OpenError::Ended, now).await);
                    }
                }
            }
        };
        self.throttles.succeeded(&user.id);
        let enrolment = self.with_live_bearer(open, enrolment, now).await?;
        self.answer(open, enrolment, certified, false)
    }

    /// The enrolment with a challenge that hasn't expired and a bearer that this process can name.
    async fn with_live_bearer(
        &self,
        open: &Open,
        enrolment: Enrolment,
        now: Timestamp,
    ) -> Result<Enrolment, OpenError> {
        let bearer = self.bearer_key.bearer(enrolment.id, &enrolment.challenge);
        if now < enrolment.expires_at && bearer.sha256 == enrolment.bearer_sha256 {
            return Ok(enrolment);
        }
        let fresh = self.fresh_challenge(enrolment.id, now)?;
        let row = row(open, "enrolment.challenged-again", now).with("enrolment", enrolment.id);
        Ok(self.certificates.renew_challenge(enrolment.id, &enrolment.challenge, &fresh, row).await?)
    }

    fn fresh_challenge(&self, id: EnrolmentId, now: Timestamp) -> Result<FreshChallenge, Failure> {
        let challenge = self.rng.bytes();
        let expires_at = now.checked_add(self.challenge_lifetime).map_err(Failure::defect)?;
        let bearer_sha256 = self.bearer_key.bearer(id, &challenge).sha256;
        Ok(FreshChallenge { challenge, bearer_sha256, expires_at })
    }

    fn answer(
        &self,
        open: &Open,
        enrolment: Enrolment,
        certified: Option<CertificateRecord>,
        is_new: bool,
    ) -> Result<Opened, OpenError> {
        let bearer = self.bearer_key.bearer(enrolment.id, &enrolment.challenge);
        if bearer.sha256 != enrolment.bearer_sha256 {
            // Another node renewed it a moment ago; the agent's next attempt renews it here.
            return Err(Failure::Store(StoreError::Unavailable("another node is answering".into())).into());
        }
        let keys = self.policy.devices.keys_for(open.firmware);
        Ok(Opened { enrolment, bearer: bearer.text, keys, certified, is_new })
    }

    async fn refuse(&self, open: &Open, why: &str, error: OpenError, now: Timestamp) -> OpenError {
        refused(&*self.audit, refusal_row(open, why, now), error).await
    }
}

fn row(open: &Open, action: &'static str, now: Timestamp) -> AuditEvent {
    let user = foreign(&open.user_id);
    event(now, Actor::User(user.clone()), action, user)
        .with("device", &open.device.serial)
        .with("source", foreign(&open.source))
}

fn refusal_row(open: &Open, why: &str, now: Timestamp) -> AuditEvent {
    row(open, "enrolment.refused", now).with("why", why)
}
