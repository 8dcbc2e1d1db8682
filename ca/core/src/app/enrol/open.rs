//! Step 1 of the wire: ID, credentials and the binding of user to token (rule 12) buy a challenge. A repeat with the
//! same idempotency key finds the enrolment again, whatever became of it. For a renewal (更新) the binding is the valid
//! certificate on the same token, whose key signs in step 2.

mod authenticate;
mod renewal;

use std::sync::Arc;

use ca_x509::KeyKind;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tracing::{Instrument, debug_span, field::Empty};

use authenticate::{Authenticated, Bound, still_binds};

use super::{
    applicant::Credentials,
    bearer::BearerKey,
    refusal::Refusal,
    token_check,
    tpm::{self, TpmKeys},
};
use crate::{
    app::{
        accord::Accord,
        audit_budget::AuditBudget,
        failure::{Failure, carries_failure},
        policies::Policies,
        throttles::Throttles,
        trail::{Details, event, foreign, refused},
        trust::Trusted,
    },
    domain::{
        attestation::{
            tpm::{Credential, Identity},
            yubikey::{Firmware, Slot},
        },
        audit::{Actor, AuditEvent},
        certificate::{CertificateRecord, CertificateState},
        device::Device,
        enrolment::{Binding, Enrolment, EnrolmentState},
        idempotency::{Repeat, judge},
        ids::{EnrolmentId, IdempotencyKey, SerialNumber},
        policy::{
            BindingRefusal, Decision, IssuancePolicy, Purpose, Reason, is_first, may_open, vouches_for,
        },
        renewal::has_lapsed,
        user::User,
    },
    ports::{
        clock::Clock,
        inventory::InventoryStore,
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
    /// The rules of issuance, by contract.
    pub policies: Arc<Policies>,
    /// Tokens that the bank knows.
    pub inventory: Arc<dyn InventoryStore>,
    /// The makers' certificates that are believed.
    pub trust: Arc<Trusted>,
    /// Makes bearers.
    pub bearer_key: BearerKey,
    /// How long a challenge can be answered.
    pub challenge_lifetime: SignedDuration,
    /// Whether anything is issued at all: while it isn't, no acquisition code is spent for nothing.
    pub accord: Arc<Accord>,
}

/// The command.
pub struct Open {
    /// ログインID, as typed.
    pub user_id: String,
    /// What shows that the user may have it.
    pub credentials: Credentials,
    /// The token that the key will live on.
    pub device: Device,
    /// The keys of a TPM, and of nothing else.
    pub tpm: Option<TpmKeys>,
    /// The certificate that is to be renewed; none for a new one.
    pub renews: Option<SerialNumber>,
    /// A YubiKey's firmware, as claimed: only for what the agent is told to generate.
    pub firmware: Option<Firmware>,
    /// The client's key for this enrolment.
    pub idempotency_key: IdempotencyKey,
}

/// The enrolment is open.
#[derive(Debug)]
pub struct Opened {
    /// The enrolment, with challenge and expiry.
    pub enrolment: Enrolment,
    /// The challenge for a TPM, which never gets it in clear; none once there is a certificate.
    pub tpm_credential: Option<Credential>,
    /// Authorises the later steps until the challenge expires.
    pub bearer: SecretString,
    /// The policy of the user's contract.
    pub policy: Arc<IssuancePolicy>,
    /// Kinds of key to generate, best first.
    pub keys: Vec<KeyKind>,
    /// PIV slots to generate it in, best first.
    pub slots: Vec<Slot>,
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
    /// A machine vouched for somebody who isn't there, or isn't within its reach.
    #[error("there is no such user among those that this machine may register")]
    NoSuchUser,
    /// A machine named a token that isn't assigned to the user (rule 12).
    #[error("the token is not assigned to the user")]
    NotAssigned,
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

impl OpenEnrolment {
    /// Opens an enrolment, or finds it again.
    ///
    /// # Errors
    /// [`OpenError`]; each leaves an audit row.
    pub async fn run(&self, open: Open) -> Result<Opened, OpenError> {
        let now = self.clock.now();
        let known = self.authenticate(&open, now).instrument(debug_span!("authenticate")).await?;
        let policy = self.policies.of(&known.user.contract).await?;
        // Read after the acquisition code: a repeat that finds its code consumed finds the enrolment too.
        let existing = self.certificates.enrolment_by_key(&open.idempotency_key).await?;
        match judge(existing.as_ref(), &known.user.id, &open.device) {
            Repeat::KeyReused => {
                // Who isn't bound to the token isn't told by this answer that the password is right.
                self.bind(&open, &known, &policy).await?;
                Err(self.refuse(&open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await)
            }
            Repeat::Of(enrolment) => self.resume(&open, &known.user, &policy, enrolment.clone(), now).await,
            Repeat::First => self.begin(&open, &known, &policy).await,
        }
    }

    async fn begin(
        &self,
        open: &Open,
        known: &Authenticated,
        policy: &Arc<IssuancePolicy>,
    ) -> Result<Opened, OpenError> {
        let now = known.now;
        let bound = self.bind(open, known, policy).await?;
        self.got_in(open, &known.user, now);
        self.accord.may_issue()?;
        self.check_policy(open, &known.user, (policy, &bound), now).instrument(debug_span!("policy")).await?;
        let slots = self.slots(open, policy, bound.renews).await?;
        let identity = self.identity(open, (&known.user, policy), now).await?;

        let id = EnrolmentId::new(now, &self.rng.bytes());
        let fresh = self.fresh_challenge(id, now)?;
        let enrolment = Enrolment {
            id,
            idempotency_key: open.idempotency_key.clone(),
            user: known.user.id.clone(),
            device: open.device.clone(),
            binding: bound.binding,
            renews: bound.renews,
            challenge: fresh.challenge,
            bearer_sha256: fresh.bearer_sha256,
            expires_at: fresh.expires_at,
            opened_at: now,
            ak_name: identity.as_ref().map(|identity| identity.ak.name().to_vec()),
            state: EnrolmentState::Challenged,
        };
        let row =
            row(open, "enrolment.opened", now).with("enrolment", id).with("binding", bound.binding.as_str());
        let row = match &open.renews {
            Some(serial) => row.with("renews", serial),
            None => row,
        };
        let opening = self.certificates.open_enrolment(&enrolment, bound.code, row);
        match opening.instrument(debug_span!("ledger.enrolment", queued_us = Empty, commit_us = Empty)).await
        {
            Ok(opened) if opened.id == id => {
                let answer = self.answer((open, slots), policy, opened, None, true)?;
                self.with_credential(answer, identity.as_ref())
            }
            // Another request with the key was faster; it may have been for another token.
            Ok(earlier) if matches!(judge(Some(&earlier), &known.user.id, &open.device), Repeat::Of(_)) => {
                self.resume(open, &known.user, policy, earlier, now).await
            }
            Ok(_) | Err(StoreError::Conflict(Conflict::Taken)) => {
                Err(self.refuse(open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await)
            }
            Err(StoreError::Conflict(Conflict::Code)) => {
                Err(self.unbound(open, &known.user.id, "binding-code-used", now).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn check_policy(
        &self,
        open: &Open,
        user: &User,
        (policy, bound): (&IssuancePolicy, &Bound),
        now: Timestamp,
    ) -> Result<(), OpenError> {
        let (binding, purpose) = (bound.binding, Purpose { device: &open.device, renews: bound.renews });
        let applicant = self.certificates.applicant(&user.id).await?;
        let applicant = applicant.ok_or_else(|| Failure::defect("a user who vanished"))?;
        let reason = match may_open(policy, &applicant, purpose, now) {
            Decision::Approve if binding == Binding::FirstCome && !is_first(&applicant.certificates) => {
                return Err(self.unbound(open, &user.id, BindingRefusal::NotFirst.code(), now).await);
            }
            Decision::Approve => {
                let asked =
                    token_check::check(&*self.inventory, policy, &user.contract, &open.device, binding);
                match asked.await?.fitness {
                    Ok(()) => return Ok(()),
                    Err(unfit) => Reason::Token(unfit),
                }
            }
            Decision::Hold => return Err(self.refuse(open, "held", OpenError::Held, now).await),
            Decision::Refuse(reason) => reason,
        };
        let code = reason.code();
        Err(self.refuse(open, code, OpenError::Policy(reason), now).await)
    }

    async fn resume(
        &self,
        open: &Open,
        user: &User,
        policy: &Arc<IssuancePolicy>,
        enrolment: Enrolment,
        now: Timestamp,
    ) -> Result<Opened, OpenError> {
        if !self.renews_the_same(open, &enrolment).await? {
            return Err(self.refuse(open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await);
        }
        let certified = match &enrolment.state {
            EnrolmentState::Challenged if !still_binds(open, user, policy, &enrolment) => {
                return Err(self.unbound(open, &user.id, "binding-withdrawn", now).await);
            }
            EnrolmentState::Challenged => None,
            EnrolmentState::Refused { code, detail } => {
                let refusal = Refusal { code: code.clone(), detail: detail.clone() };
                return Err(self.refuse(open, code, OpenError::Refused(refusal), now).await);
            }
            EnrolmentState::Certified { .. } => {
                let record = self.certificates.certificate_of_intent(enrolment.id).await?;
                let record = record.ok_or_else(|| Failure::defect("an enrolment without its intent"))?;
                let fell =
                    matches!(record.state, CertificateState::Revoked { .. } | CertificateState::Abandoned);
                if fell || has_lapsed(&record, now) {
                    return Err(self.refuse(open, "enrolment-ended", OpenError::Ended, now).await);
                }
                matches!(record.state, CertificateState::Issued { .. }).then_some(record)
            }
        };
        let identity = match certified {
            Some(_) => None,
            None => self.identity(open, (user, policy), now).await?,
        };
        let ak_name = identity.as_ref().map(|identity| identity.ak.name());
        if certified.is_none() && ak_name != enrolment.ak_name.as_deref() {
            return Err(self.refuse(open, "idempotency-key-reused", OpenError::IdempotencyKey, now).await);
        }
        self.got_in(open, user, now);
        let slots = self.slots(open, policy, enrolment.renews).await?;
        let enrolment = self.with_live_bearer(open, enrolment, now).await?;
        let answer = self.answer((open, slots), policy, enrolment, certified, false)?;
        self.with_credential(answer, identity.as_ref())
    }

    /// The TPM that the request is about, if it is about one, and one that the policy takes. Who asks is known by now, and
    /// bound to the token.
    async fn identity(
        &self,
        open: &Open,
        (user, policy): (&User, &IssuancePolicy),
        now: Timestamp,
    ) -> Result<Option<Identity>, OpenError> {
        let identity = match (tpm::identity(&open.device, open.tpm.as_ref()), &open.tpm) {
            (Ok(Some(identity)), Some(keys)) => {
                let state = self.inventory.token(&open.device).await?.map(|token| token.state);
                let is_inventoried = vouches_for(&open.device, state.as_ref(), &user.contract);
                let trust = self.trust.current();
                let by = (&trust.anchors, &policy.rules.devices.tpm);
                tpm::admit(&identity, keys, is_inventoried, by, now).map(|()| Some(identity))
            }
            (identity, _) => identity,
        };
        match identity {
            Ok(identity) => Ok(identity),
            Err(refusal) => {
                let code = refusal.code.clone();
                Err(self.refuse(open, &code, OpenError::Refused(refusal), now).await)
            }
        }
    }

    /// The answer with the challenge as a TPM gets it.
    fn with_credential(&self, answer: Opened, identity: Option<&Identity>) -> Result<Opened, OpenError> {
        let wrap = |identity| tpm::wrapped_challenge(identity, &answer.enrolment, &*self.rng);
        let tpm_credential = identity.map(wrap).transpose()?;
        Ok(Opened { tpm_credential, ..answer })
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
        (open, slots): (&Open, Vec<Slot>),
        policy: &Arc<IssuancePolicy>,
        enrolment: Enrolment,
        certified: Option<CertificateRecord>,
        is_new: bool,
    ) -> Result<Opened, OpenError> {
        let bearer = self.bearer_key.bearer(enrolment.id, &enrolment.challenge);
        if bearer.sha256 != enrolment.bearer_sha256 {
            // Another node renewed it a moment ago; the agent's next attempt renews it here.
            return Err(Failure::Store(StoreError::Unavailable("another node is answering".into())).into());
        }
        let keys = policy.rules.devices.keys_for(open.device.kind, open.firmware);
        Ok(Opened {
            enrolment,
            tpm_credential: None,
            bearer: bearer.text,
            policy: policy.clone(),
            keys,
            slots,
            certified,
            is_new,
        })
    }

    async fn refuse(&self, open: &Open, why: &str, error: OpenError, now: Timestamp) -> OpenError {
        refused(&*self.audit, refusal_row(open, why, now), error).await
    }
}

fn row(open: &Open, action: &'static str, now: Timestamp) -> AuditEvent {
    let user = foreign(&open.user_id);
    match &open.credentials {
        Credentials::Password(login) => event(now, Actor::User(user.clone()), action, user)
            .with("device", &open.device.serial)
            .with("source", foreign(&login.source)),
        Credentials::Machine(machine) => event(now, Actor::Machine(machine.id.to_string()), action, user)
            .with("device", &open.device.serial),
    }
}

fn refusal_row(open: &Open, why: &str, now: Timestamp) -> AuditEvent {
    row(open, "enrolment.refused", now).with("why", why)
}
