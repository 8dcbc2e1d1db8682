//! PINロック解除: the user asks with ID and password, somebody else approves, and the agent fetches the PUK, once and in
//! time. The PUK is shown to nobody: it goes to the agent over TLS, which replaces it at once.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::seal::CustodyKeys;
use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure},
        throttles::Throttles,
        token,
        trail::{Details, event, foreign, refused},
    },
    domain::{
        audit::{Actor, AuditEvent},
        certificate::CertificateState,
        custody::{Stage, Unblocking, is_masters_business, may_ask},
        device::Device,
        ids::{IdempotencyKey, UserId},
        user::{PasswordKind, User},
    },
    ports::{
        clock::Clock,
        custody::{AskLimit, CustodyStore},
        password::Passwords,
        rng::Rng,
        store::{AuditStore, CertificateStore, Conflict, CustomerStore, LoginStore, StoreError},
    },
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long things stay possible, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnblockTerms {
    /// A request waits for a decision so long.
    pub waiting: SignedDuration,
    /// After the approval the PUK can be fetched so long.
    pub fetching: SignedDuration,
    /// After that the agent has so long to replace it.
    pub replacing: SignedDuration,
    /// Requests of a user in 24 hours.
    pub a_day: u32,
}

impl Default for UnblockTerms {
    fn default() -> Self {
        Self {
            waiting: DAY,
            fetching: SignedDuration::from_mins(15),
            replacing: SignedDuration::from_mins(15),
            a_day: 5,
        }
    }
}

/// The agent's side of it.
pub struct Unblock {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Passwords.
    pub logins: Arc<dyn LoginStore>,
    /// Whose certificate is on a token.
    pub certificates: Arc<dyn CertificateStore>,
    /// PUKs and requests.
    pub custody: Arc<dyn CustodyStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names and bearers.
    pub rng: Arc<dyn Rng>,
    /// Failures so far, here and at enrolments (rule 13).
    pub throttles: Arc<Throttles>,
    /// What strangers may write into the trail.
    pub budget: Arc<AuditBudget>,
    /// What PUKs are decrypted with.
    pub keys: Option<Arc<CustodyKeys>>,
    /// How long and how often.
    pub terms: UnblockTerms,
}

/// A request.
pub struct Ask {
    /// ログインID, as typed.
    pub user_id: String,
    /// ログインパスワード.
    pub password: SecretString,
    /// The token.
    pub device: Device,
    /// Where it comes from: an opaque name to throttle by.
    pub source: String,
    /// The client's key for it.
    pub idempotency_key: IdempotencyKey,
}

/// A request as it stands.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub unblocking: Unblocking,
    /// Authorises what follows.
    pub bearer: SecretString,
    /// Whether the contract's master may approve it.
    pub masters_business: bool,
    /// False for a repeat.
    pub is_new: bool,
}

/// A PUK out of custody.
#[derive(Debug)]
pub struct ReleasedPuk {
    /// Its deposit.
    pub deposit: Uuid,
    /// The PUK.
    pub puk: SecretString,
}

/// Why it isn't possible.
#[derive(Debug, thiserror::Error)]
pub enum UnblockError {
    /// Rule 13: too many failures; not looked at before then.
    #[error("too many failed attempts; the next is looked at after {retry_at}")]
    Throttled {
        /// When.
        retry_at: Timestamp,
    },
    /// ID, password, or the token isn't the user's: one answer for all.
    #[error("ID, password or token is wrong")]
    Authentication,
    /// The user is suspended or locked.
    #[error("the account is suspended or locked; the branch or the master user can change that")]
    NotPermitted,
    /// The user asked too often.
    #[error("too many requests in a day; ask again after {retry_at}")]
    TooOften {
        /// When.
        retry_at: Timestamp,
    },
    /// Nobody knows the token's PUK.
    #[error("the bank doesn't keep this token's PUK: reset the token, or replace it")]
    NotKept,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    IdempotencyKey,
    /// No such request, or not its bearer.
    #[error("the bearer is not this request's")]
    Bearer,
    /// Nobody approved it, or not any more, or the PUK was fetched before.
    #[error("the request is {stage} and nothing can be fetched")]
    NotApproved {
        /// How far it got.
        stage: &'static str,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(UnblockError: store::StoreError, password::PasswordsBusy);

impl UnblockError {
    fn code(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Authentication => "authentication",
            Self::NotPermitted => "not-permitted",
            Self::TooOften { .. } => "too-often",
            Self::NotKept => "puk-not-kept",
            Self::IdempotencyKey => "idempotency-key-reused",
            Self::Bearer => "bearer-invalid",
            Self::NotApproved { .. } => "not-approved",
            Self::Failure(_) => "failure",
        }
    }
}

impl Unblock {
    /// Asks for a PIN to be unblocked, or finds the request again and gives it a fresh bearer.
    ///
    /// # Errors
    /// [`UnblockError`]; each leaves an audit row.
    pub async fn ask(&self, ask: Ask) -> Result<Asked, UnblockError> {
        let now = self.clock.now();
        let user = self.authenticate(&ask, now).await?;
        if !may_ask(&user) {
            return Err(self.refuse(&ask, UnblockError::NotPermitted, now).await);
        }
        let octets = self.rng.bytes::<32>();
        let (bearer, bearer_sha256) = (token::encode(&octets), <[u8; 32]>::from(Sha256::digest(octets)));
        let masters_business = is_masters_business(&user);
        match self.custody.unblocking_by_key(&ask.idempotency_key).await? {
            Some(first) if first.user == user.id && first.device == ask.device => {
                self.throttles.succeeded(&user.id, &ask.source, now);
                self.custody.rebear_unblocking(first.id, &bearer_sha256).await?;
                let unblocking = Unblocking { bearer_sha256, ..first };
                Ok(Asked { unblocking, bearer, masters_business, is_new: false })
            }
            Some(_) => Err(self.refuse(&ask, UnblockError::IdempotencyKey, now).await),
            None => {
                let unblocking = self.begin(&ask, &user, bearer_sha256, now).await?;
                Ok(Asked { unblocking, bearer, masters_business, is_new: true })
            }
        }
    }

    async fn begin(
        &self,
        ask: &Ask,
        user: &User,
        bearer_sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<Unblocking, UnblockError> {
        if !self.is_holder(user, &ask.device).await? {
            return Err(self.fail(ask, Some(&user.id), "not-the-holder", now).await);
        }
        self.throttles.succeeded(&user.id, &ask.source, now);
        if !self.custody.puks_of(&ask.device).await?.iter().any(|kept| kept.user == user.id) {
            return Err(self.refuse(ask, UnblockError::NotKept, now).await);
        }
        let asked = Unblocking {
            id: Builder::from_random_bytes(self.rng.bytes()).into_uuid(),
            idempotency_key: ask.idempotency_key.clone(),
            user: user.id.clone(),
            device: ask.device.clone(),
            bearer_sha256,
            asked_at: now,
            expires_at: now.checked_add(self.terms.waiting).map_err(Failure::defect)?,
            stage: Stage::Waiting,
            decision: None,
        };
        let since = now.checked_sub(DAY).map_err(Failure::defect)?;
        let limit = AskLimit { since, at_most: self.terms.a_day };
        let row = row(ask, "unblocking.asked", now).with("request", asked.id).with("number", asked.number());
        match self.custody.ask_unblocking(&asked, limit, row).await {
            Ok(()) => Ok(asked),
            Err(StoreError::Conflict(Conflict::Quota)) => {
                let retry_at = self.next_chance(&user.id, now).await?;
                Err(self.refuse(ask, UnblockError::TooOften { retry_at }, now).await)
            }
            Err(StoreError::Conflict(Conflict::Taken)) => {
                Err(self.refuse(ask, UnblockError::IdempotencyKey, now).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// When the oldest request that counts doesn't any more.
    async fn next_chance(&self, user: &UserId, now: Timestamp) -> Result<Timestamp, UnblockError> {
        let requests = self.custody.unblockings_of(user, self.terms.a_day).await?;
        let oldest = requests.last().map_or(now, |request| request.asked_at);
        Ok(oldest.checked_add(DAY).map_err(Failure::defect)?)
    }

    /// How far a request got.
    ///
    /// # Errors
    /// `Bearer`.
    pub async fn look_up(&self, id: Uuid, bearer: &SecretString) -> Result<(Unblocking, bool), UnblockError> {
        let request = self.custody.unblocking(id).await?;
        let Some(request) = request.filter(|r| token::matches(bearer.expose_secret(), &r.bearer_sha256))
        else {
            let row = event(self.clock.now(), Actor::System, "unblocking.refused", id)
                .with("why", UnblockError::Bearer.code());
            let ports = (&*self.audit, &*self.budget);
            return Err(refused_stranger(ports, "unblocking-bearer", row, UnblockError::Bearer).await);
        };
        let user = self.customers.user(&request.user).await?;
        let user = user.ok_or_else(|| Failure::defect("a request without user"))?;
        Ok((request, is_masters_business(&user)))
    }

    /// Hands the PUK out, once. Two come where the last unblocking was interrupted: the last deposited first.
    ///
    /// # Errors
    /// [`UnblockError`].
    pub async fn release(&self, id: Uuid, bearer: &SecretString) -> Result<Vec<ReleasedPuk>, UnblockError> {
        let (request, _) = self.look_up(id, bearer).await?;
        let now = self.clock.now();
        let row = event(now, Actor::User(request.user.to_string()), "puk.released", &request.user)
            .with("device", &request.device.serial)
            .with("request", id);
        let user = self.customers.user(&request.user).await?;
        if !user.is_some_and(|user| may_ask(&user)) {
            return Err(self.unreleased(row, UnblockError::NotPermitted).await);
        }
        if !request.is(Stage::Approved, now) {
            let stage = if request.has_expired(now) { "expired" } else { request.stage.as_str() };
            return Err(self.unreleased(row, UnblockError::NotApproved { stage }).await);
        }
        let puks = self.decrypted(&request).await?;
        if puks.is_empty() {
            return Err(self.unreleased(row, UnblockError::NotKept).await);
        }
        let expires_at = now.checked_add(self.terms.replacing).map_err(Failure::defect)?;
        match self.custody.release_unblocking(id, now, expires_at, row.clone()).await {
            Ok(()) => Ok(puks),
            Err(StoreError::Conflict(Conflict::Missing)) => {
                let stage = Stage::Released.as_str();
                Err(self.unreleased(row, UnblockError::NotApproved { stage }).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn decrypted(&self, request: &Unblocking) -> Result<Vec<ReleasedPuk>, UnblockError> {
        let keys = self.keys.as_deref();
        let keys = keys.ok_or_else(|| Failure::defect("PUKs are kept, but there is no [token_custody]"))?;
        let kept = self.custody.puks_of(&request.device).await?;
        let own = kept.iter().filter(|kept| kept.user == request.user);
        let opened = own.map(|kept| {
            let puk = keys.open(kept).map_err(Failure::defect)?;
            Ok(ReleasedPuk { deposit: kept.deposit, puk })
        });
        opened.collect()
    }

    async fn unreleased(&self, row: AuditEvent, error: UnblockError) -> UnblockError {
        let row = AuditEvent { action: "puk.release-refused", ..row }.with("why", error.code());
        refused(&*self.audit, row, error).await
    }

    /// A token is held by whom it is assigned to, and by whom a certificate on it is.
    async fn is_holder(&self, user: &User, device: &Device) -> Result<bool, UnblockError> {
        if user.assigned_device.as_ref() == Some(device) {
            return Ok(true);
        }
        let certificates = self.certificates.certificates_of(&user.id).await?;
        let on_it = |state: &CertificateState| matches!(state, CertificateState::Issued { .. });
        Ok(certificates.iter().any(|record| record.device == *device && on_it(&record.state)))
    }

    /// One password is verified whether the user exists or not, and one row is written when it is wrong.
    async fn authenticate(&self, ask: &Ask, now: Timestamp) -> Result<User, UnblockError> {
        let id = UserId::parse(&ask.user_id).ok();
        self.check_throttle(ask, id.as_ref(), now).await?;
        let (user, hash) = match &id {
            Some(id) => {
                (self.customers.user(id).await?, self.logins.password(id, PasswordKind::Login).await?)
            }
            None => (None, None),
        };
        let is_right = self.passwords.verify(ask.password.clone(), hash).await?;
        self.check_throttle(ask, id.as_ref(), now).await?;
        match user.filter(|_| is_right) {
            Some(user) => Ok(user),
            None => Err(self.fail(ask, id.as_ref(), "wrong-password", now).await),
        }
    }

    async fn check_throttle(
        &self,
        ask: &Ask,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<(), UnblockError> {
        let Some(retry_at) = self.throttles.blocked_until(id, &ask.source, now) else { return Ok(()) };
        let error = UnblockError::Throttled { retry_at };
        let row = row(ask, "unblocking.refused", now).with("why", error.code());
        Err(refused_stranger((&*self.audit, &*self.budget), "unblocking-throttled", row, error).await)
    }

    /// A failure that throttles and never touches the login (rule 13).
    async fn fail(&self, ask: &Ask, id: Option<&UserId>, why: &'static str, now: Timestamp) -> UnblockError {
        self.throttles.failed(id, &ask.source, now);
        let row = row(ask, "unblocking.refused", now).with("why", why);
        refused(&*self.audit, row, UnblockError::Authentication).await
    }

    async fn refuse(&self, ask: &Ask, error: UnblockError, now: Timestamp) -> UnblockError {
        let row = row(ask, "unblocking.refused", now).with("why", error.code());
        refused(&*self.audit, row, error).await
    }
}

fn row(ask: &Ask, action: &'static str, now: Timestamp) -> AuditEvent {
    let user = foreign(&ask.user_id);
    event(now, Actor::User(user.clone()), action, user)
        .with("device", &ask.device.serial)
        .with("source", foreign(&ask.source))
}

/// The approver's side of it: whoever may, decides alone, for the user who asked is the other person.
#[derive(Clone)]
pub struct DecideUnblocking {
    /// Requests.
    pub custody: Arc<dyn CustodyStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long the PUK can be fetched.
    pub terms: UnblockTerms,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// No such request, of this user.
    #[error("there is no such request")]
    Unknown,
    /// It was decided, withdrawn, or its time ran out.
    #[error("the request doesn't wait for a decision any more")]
    NotWaiting,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(DecideError: store::StoreError);

impl DecideUnblocking {
    /// Approves or declines a request; with `of`, only one of that user. `how` identity was checked is written down.
    ///
    /// # Errors
    /// [`DecideError`].
    pub async fn decide(
        &self,
        by: Actor,
        (id, of): (Uuid, Option<&UserId>),
        approved: bool,
        how: Option<&str>,
    ) -> Result<Unblocking, DecideError> {
        let now = self.clock.now();
        let request = self.custody.unblocking(id).await?;
        let request = request.filter(|request| of.is_none_or(|user| *user == request.user));
        let action = if approved { "unblocking.approved" } else { "unblocking.declined" };
        let Some(request) = request else {
            let row = event(now, by, "unblocking.decision-refused", id).with("why", "unknown");
            return Err(refused(&*self.audit, row, DecideError::Unknown).await);
        };
        let row = event(now, by, action, &request.user)
            .with("device", &request.device.serial)
            .with("request", id)
            .with("number", request.number());
        let row = match how {
            Some(how) => row.with("identity", how),
            None => row,
        };
        let expires_at = now.checked_add(self.terms.fetching).map_err(Failure::defect)?;
        match self.custody.decide_unblocking(id, approved, now, expires_at, row.clone()).await {
            Ok(()) => Ok(request),
            Err(StoreError::Conflict(Conflict::Missing)) => {
                let row = AuditEvent { action: "unblocking.decision-refused", ..row };
                Err(refused(&*self.audit, row.with("why", "not-waiting"), DecideError::NotWaiting).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The request of a user that waits, if one does.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn waiting_of(&self, user: &UserId) -> Result<Option<Unblocking>, Failure> {
        let now = self.clock.now();
        let requests = self.custody.unblockings_of(user, 1).await?;
        Ok(requests.into_iter().find(|request| request.is(Stage::Waiting, now)))
    }
}
