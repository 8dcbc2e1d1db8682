//! Step 2 of the wire: request and evidence in, certificate out (steps 1 to 3 of an issuance; [`Issue`] does the rest).
//!
//! A refusal for what was sent is final and kept with the evidence; a refusal for the hour or the account's state is
//! not. A repeat returns the first result, whichever it was.

mod judge;

use std::sync::Arc;

use secrecy::SecretString;
use tracing::{Instrument, debug_span};

use judge::{Approval, Judgement, Judging};

use super::{
    applicant::Caller,
    bearer::is_bearer_of,
    refusal::{ALREADY_CERTIFIED, DEVICE_IN_USE, Refusal},
};
use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure, full_text},
        issue::{Approved, Issue, IssueError},
        policies::Policies,
        trail::{Details, event, refused},
        trust::Trusted,
    },
    domain::{
        attestation::Evidence,
        audit::AuditEvent,
        enrolment::{Enrolment, EnrolmentState},
        ids::{EnrolmentId, IdempotencyKey},
        issuance::{Delivered, DraftError},
        policy::Reason,
        validity::ValidityError,
    },
    ports::{
        clock::Clock,
        inventory::InventoryStore,
        store::{Application, AuditStore, CertificateStore, Conflict, StoreError, StoredEvidence},
    },
};

/// The use case.
pub struct CertifyEnrolment {
    /// Enrolments, their users, and certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The makers' certificates that are believed.
    pub trust: Arc<Trusted>,
    /// The rules of issuance, by contract.
    pub policies: Arc<Policies>,
    /// Tokens that the bank knows.
    pub inventory: Arc<dyn InventoryStore>,
    /// Steps 4 to 9.
    pub issue: Arc<Issue>,
    /// What requests without a bearer may write into the trail.
    pub budget: Arc<AuditBudget>,
}

/// The command.
pub struct Certify {
    /// Who asks.
    pub caller: Caller,
    /// Which enrolment.
    pub enrolment: EnrolmentId,
    /// As handed out when it was opened.
    pub bearer: SecretString,
    /// The client's key for this enrolment.
    pub idempotency_key: IdempotencyKey,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
    /// Where the key was born.
    pub evidence: Evidence,
    /// The key's signature over the challenge.
    pub challenge_signature: Vec<u8>,
    /// Of a renewal: the old key's signature over [`renewal_message`](crate::domain::renewal::renewal_message).
    pub predecessor_signature: Option<Vec<u8>>,
}

/// The certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// It may be handed out.
    pub certificate: Delivered,
    /// False for a repeat.
    pub is_new: bool,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// No such enrolment, or not its bearer.
    #[error("the bearer is not this enrolment's")]
    Bearer,
    /// The machine has the bearer of a user that it may not register.
    #[error("the user is not among those that this machine may register")]
    OutOfReach,
    /// Bearer and challenge have expired.
    #[error("the challenge has expired; open the enrolment again")]
    ChallengeExpired,
    /// Another idempotency key than the enrolment's.
    #[error("the idempotency key is not this enrolment's")]
    IdempotencyKey,
    /// Its certificate was revoked, or was never signed; begin a new enrolment.
    #[error("the enrolment has ended; begin a new one")]
    Ended,
    /// Refused for good.
    #[error(transparent)]
    Refused(Refusal),
    /// The rules don't allow it now.
    #[error(transparent)]
    Policy(Reason),
    /// A member of staff would have to approve.
    #[error("the certificate needs approval")]
    Held,
    /// Rule 2: refused, never shortened.
    #[error(transparent)]
    Validity(ValidityError),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(CertifyError);

impl CertifyError {
    fn code(&self) -> &str {
        match self {
            Self::Bearer => "bearer-invalid",
            Self::OutOfReach => "machine-other-contract",
            Self::ChallengeExpired => "challenge-expired",
            Self::IdempotencyKey => "idempotency-key-reused",
            Self::Ended => "enrolment-ended",
            Self::Refused(refusal) => &refusal.code,
            Self::Policy(reason) => reason.code(),
            Self::Held => "held",
            Self::Validity(_) => "draft-issuer-expires",
            Self::Failure(_) => "failure",
        }
    }
}

impl CertifyEnrolment {
    /// Certifies.
    ///
    /// # Errors
    /// [`CertifyError`]; each refusal leaves an audit row.
    pub async fn run(&self, certify: Certify) -> Result<Certified, CertifyError> {
        let authorised = self.authorise(&certify).instrument(debug_span!("authenticate")).await;
        let Application { enrolment, applicant } = match authorised {
            Ok(application) => application,
            Err(error @ CertifyError::Failure(_)) => return Err(error),
            Err(error) => {
                let actor = certify.caller.stranger();
                let row = event(self.clock.now(), actor, "certification.refused", certify.enrolment)
                    .with("why", error.code());
                return Err(self.refuse_stranger(row, error).await);
            }
        };
        if enrolment.state != EnrolmentState::Challenged {
            return self.first_result(&certify.caller, &enrolment).await;
        }
        let (judgement, judging) = match self.judged(&certify, &enrolment, applicant).await {
            Ok(judged) => judged,
            Err(error @ CertifyError::Failure(_)) => return Err(error),
            Err(error) => return Err(self.note(&certify.caller, &enrolment, error).await),
        };
        match judgement {
            Judgement::Approved(approval) => self.issue(&certify, &enrolment, &approval, &judging).await,
            Judgement::Final(refusal) => self.refuse(&certify, &enrolment, refusal, &judging).await,
        }
    }

    /// Without the bearer anyone may have sent it; with it, the enrolment's owner did.
    async fn refuse_stranger(&self, row: AuditEvent, error: CertifyError) -> CertifyError {
        match error {
            CertifyError::Bearer => {
                refused_stranger((&*self.audit, &self.budget), "certify-bearer", row, error).await
            }
            error => refused(&*self.audit, row, error).await,
        }
    }

    async fn authorise(&self, certify: &Certify) -> Result<Application, CertifyError> {
        let application = self.certificates.application(certify.enrolment).await?;
        let is_bearers = |application: &Application| is_bearer_of(&certify.bearer, &application.enrolment);
        let application = application.filter(is_bearers).ok_or(CertifyError::Bearer)?;
        let enrolment = &application.enrolment;
        if enrolment.idempotency_key != certify.idempotency_key {
            return Err(CertifyError::IdempotencyKey);
        }
        if self.clock.now() >= enrolment.expires_at {
            return Err(CertifyError::ChallengeExpired);
        }
        if !certify.caller.may_register(&application.applicant.user.contract) {
            return Err(CertifyError::OutOfReach);
        }
        Ok(application)
    }

    async fn issue(
        &self,
        certify: &Certify,
        enrolment: &Enrolment,
        approval: &Approval,
        judging: &Judging,
    ) -> Result<Certified, CertifyError> {
        let decoded = approval.attested.decoded();
        let evidence = Self::evidence((certify, enrolment), "accepted", decoded, judging);
        let approved = Approved {
            actor: &certify.caller.actor(&enrolment.user),
            enrolment: enrolment.id,
            contract: &approval.contract,
            user: &approval.user,
            csr: &approval.csr,
            attested: &approval.attested,
            renews: enrolment.renews,
            evidence: &evidence,
        };
        let refusal = match self.issue.run(approved).await {
            Ok(certificate) => return Ok(Certified { certificate, is_new: true }),
            // Another renewal was faster: how long that one stands in the way is told the next time.
            Err(IssueError::AlreadyCertified) if enrolment.renews.is_some() => {
                return self.as_it_stands(&certify.caller, enrolment).await;
            }
            Err(error @ IssueError::AlreadyCertified) => Refusal::new(ALREADY_CERTIFIED, error),
            Err(error @ IssueError::DeviceInUse) => Refusal::new(DEVICE_IN_USE, error),
            Err(IssueError::Draft(error @ DraftError::IssuersKey)) => Refusal::new(error.code(), error),
            Err(IssueError::Closed) => return self.as_it_stands(&certify.caller, enrolment).await,
            Err(error) => {
                let error = without_certificate(error);
                return Err(match error {
                    CertifyError::Failure(_) => error,
                    error => self.note(&certify.caller, enrolment, error).await,
                });
            }
        };
        self.refuse(certify, enrolment, refusal, judging).await
    }

    /// The result of the request that settled the enrolment.
    async fn first_result(&self, caller: &Caller, enrolment: &Enrolment) -> Result<Certified, CertifyError> {
        let actor = caller.actor(&enrolment.user);
        let error = match &enrolment.state {
            EnrolmentState::Certified { .. } => match self.issue.resume(enrolment.id, &actor).await {
                Ok(certificate) => return Ok(Certified { certificate, is_new: false }),
                Err(error) => without_certificate(error),
            },
            EnrolmentState::Refused { code, detail } => {
                CertifyError::Refused(Refusal { code: code.clone(), detail: detail.clone() })
            }
            EnrolmentState::Challenged => Failure::defect("an enrolment that settled isn't settled").into(),
        };
        match error {
            CertifyError::Failure(_) => Err(error),
            error => Err(self.note(caller, enrolment, error).await),
        }
    }

    /// Another request settled the enrolment meanwhile, or the user's account changed: then the next attempt is judged
    /// by what it is now.
    async fn as_it_stands(&self, caller: &Caller, enrolment: &Enrolment) -> Result<Certified, CertifyError> {
        let standing = self.certificates.enrolment(enrolment.id).await?;
        let standing = standing.ok_or_else(|| Failure::defect("an enrolment that vanished"))?;
        if standing.state == EnrolmentState::Challenged {
            return Err(StoreError::Unavailable("the user's account changed meanwhile".into()).into());
        }
        self.first_result(caller, &standing).await
    }

    /// Refuses for good, and keeps what it was refused on.
    async fn refuse(
        &self,
        certify: &Certify,
        enrolment: &Enrolment,
        refusal: Refusal,
        judging: &Judging,
    ) -> Result<Certified, CertifyError> {
        let evidence = Self::evidence((certify, enrolment), &refusal.code, String::new(), judging);
        let row = self.row(&certify.caller, enrolment, &refusal.code);
        let kept = self
            .certificates
            .refuse_enrolment(enrolment.id, &refusal.code, &refusal.detail, Some(&evidence), row)
            .await;
        match kept {
            Ok(()) => Err(CertifyError::Refused(refusal)),
            Err(StoreError::Conflict(Conflict::Missing)) => {
                self.as_it_stands(&certify.caller, enrolment).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn note(&self, caller: &Caller, enrolment: &Enrolment, error: CertifyError) -> CertifyError {
        refused(&*self.audit, self.row(caller, enrolment, error.code()), error).await
    }

    fn row(&self, caller: &Caller, enrolment: &Enrolment, why: &str) -> AuditEvent {
        let actor = caller.actor(&enrolment.user);
        event(self.clock.now(), actor, "certification.refused", &enrolment.user)
            .with("enrolment", enrolment.id)
            .with("device", &enrolment.device.serial)
            .with("why", why)
    }

    fn evidence(
        (certify, enrolment): (&Certify, &Enrolment),
        verdict: &str,
        decoded: String,
        judging: &Judging,
    ) -> StoredEvidence {
        StoredEvidence {
            format: certify.evidence.format().to_owned(),
            parts: certify.evidence.parts(),
            csr: certify.csr.clone(),
            challenge: enrolment.challenge,
            challenge_signature: certify.challenge_signature.clone(),
            predecessor_signature: certify.predecessor_signature.clone(),
            policy: judging.policy.id.clone(),
            trust_version: judging.trust.version,
            verdict: verdict.to_owned(),
            decoded,
            judged_at: judging.now,
        }
    }
}

/// An issuance that failed for no fault of the request.
fn without_certificate(error: IssueError) -> CertifyError {
    match error {
        IssueError::Draft(DraftError::Validity(error)) => CertifyError::Validity(error),
        IssueError::Ended => CertifyError::Ended,
        IssueError::Failure(failure) => failure.into(),
        error @ (IssueError::Draft(_)
        | IssueError::Lint(_)
        | IssueError::AlreadyCertified
        | IssueError::DeviceInUse
        | IssueError::Closed
        | IssueError::Signature(_)) => Failure::defect(full_text(&error)).into(),
    }
}
