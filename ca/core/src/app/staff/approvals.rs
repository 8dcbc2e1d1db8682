//! What takes two: asking, approving, refusing, withdrawing. Approving does what was asked, in the same commit.

use std::sync::Arc;

use uuid::Builder;

use super::{
    Acting, Denied, Guard,
    admission::{NewMember, StaffIssuer, fingerprint},
};
use crate::{
    app::{
        acquisition_code,
        customers::{CodeTerms, CustomerError, Customers, IssuedCode},
        failure::{Failure, carries_failure},
        trail::{Details, event, refused},
    },
    domain::{
        approval::{Approval, Barred, LIFETIME, Outcome, Proposal},
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        contract::Plan,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, PolicyName, UserId},
        policy::Assignment,
        staff::{Member, Task},
        subject::{self, InvalidText},
        user::{Role, User, UserState},
    },
    ports::{
        policies::PolicyStore,
        rng::Rng,
        staff::{ApprovalStore, Effect, StaffStore},
        store::{CertificateStore, Conflict, CustomerStore, StoreError},
    },
};

/// Requests on a page at the most.
const PAGE: u32 = 100;

/// The use cases.
pub struct Approvals {
    /// Who may.
    pub guard: Guard,
    /// Requests.
    pub approvals: Arc<dyn ApprovalStore>,
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Which policy a contract has.
    pub policies: Arc<dyn PolicyStore>,
    /// Whether a token may be assigned.
    pub desk: Customers,
    /// Whether a user's certificate still stands.
    pub certificates: Arc<dyn CertificateStore>,
    /// Who asked.
    pub staff: Arc<dyn StaffStore>,
    /// Which certificates members may have.
    pub issuer: StaffIssuer,
    /// Names and codes.
    pub rng: Arc<dyn Rng>,
    /// How acquisition codes are issued.
    pub terms: CodeTerms,
}

/// What an approval brought about.
#[derive(Debug)]
pub struct Executed {
    /// The request.
    pub approval: Approval,
    /// The code of the letter, shown this once.
    pub code: Option<IssuedCode>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The member's roles.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No reason is given, or not a readable one.
    #[error(transparent)]
    Reason(InvalidText),
    /// No such user, or removed.
    #[error("there is no such user")]
    UnknownUser,
    /// No such contract.
    #[error("there is no such contract")]
    UnknownContract,
    /// No such policy.
    #[error("there is no such policy")]
    UnknownPolicy,
    /// The contract has that plan already.
    #[error("the contract has this plan")]
    SamePlan,
    /// The contract has that policy already.
    #[error("the contract has this policy")]
    SamePolicy,
    /// The contract has more general users than the plan allows.
    #[error("the contract has more general users than that")]
    PlanTooSmall,
    /// Rule 4: "No second certificate while one is valid; an expired one is revoked first".
    #[error("the user's certificate isn't revoked")]
    NotRevoked,
    /// The user never had a certificate: nothing to obtain again.
    #[error("the user never had a certificate; one person is enough")]
    FirstTime,
    /// The same is asked for already.
    #[error("this is asked for already")]
    Asked,
    /// No such request.
    #[error("there is no such request")]
    Unknown,
    /// It may not be decided so by this member, or not any more.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// The token serves another user.
    #[error("the token serves another user")]
    DeviceInUse,
    /// The contract's policy or the token inventory doesn't allow the token.
    #[error("the token can't be assigned by the contract's policy and the token inventory")]
    TokenUnfit,
    /// The certificate's key is another member's.
    #[error("the key is another member's")]
    KeyTaken,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ApprovalError: store::StoreError);

impl ApprovalError {
    fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Reason(_) => "reason",
            Self::UnknownUser => "unknown-user",
            Self::UnknownContract => "unknown-contract",
            Self::UnknownPolicy => "unknown-policy",
            Self::SamePlan => "same-plan",
            Self::SamePolicy => "same-policy",
            Self::PlanTooSmall => "plan-too-small",
            Self::NotRevoked => "not-revoked",
            Self::FirstTime => "first-time",
            Self::Asked => "asked",
            Self::Unknown => "unknown",
            Self::Barred(Barred::DeciderLeft) => "decider-left",
            Self::Barred(Barred::AskerLeft) => "asker-left",
            Self::Barred(Barred::OwnRequest) => "own-request",
            Self::Barred(Barred::NotYours) => "not-yours",
            Self::Barred(Barred::NotOpen) => "not-open",
            Self::DeviceInUse => "device-in-use",
            Self::TokenUnfit => "token-unfit",
            Self::KeyTaken => "key-taken",
            Self::Failure(_) => "failure",
        }
    }
}

impl Approvals {
    /// Asks for something that takes two.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub async fn ask(
        &self,
        acting: &Acting,
        proposal: Proposal,
        reason: &str,
    ) -> Result<Approval, ApprovalError> {
        self.guard.permit(acting, proposal.task(), proposal.subject()).await?;
        let row = self.row(acting, "approval.asked", &proposal);
        if let Err(error) = self.judge(&proposal, reason).await {
            return Err(self.refuse(row, error).await);
        }
        let expires_at = row.at.checked_add(LIFETIME).map_err(Failure::defect)?;
        let approval = Approval {
            id: Builder::from_random_bytes(self.rng.bytes()).into_uuid(),
            proposal,
            reason: reason.to_owned(),
            asked_by: acting.id().clone(),
            asked_at: row.at,
            expires_at,
            end: None,
        };
        let row = row.with("request", approval.id).with("reason", &approval.reason);
        match self.approvals.ask(&approval, row.clone()).await {
            Ok(()) => Ok(approval),
            Err(StoreError::Conflict(Conflict::Taken)) => Err(self.refuse(row, ApprovalError::Asked).await),
            Err(error) => Err(error.into()),
        }
    }

    async fn judge(&self, proposal: &Proposal, reason: &str) -> Result<(), ApprovalError> {
        subject::check_note("reason", reason).map_err(ApprovalError::Reason)?;
        match proposal {
            Proposal::ReobtainByCode { user } => self.may_reobtain(user).await,
            Proposal::ReobtainWithToken { user, device } => {
                self.may_reobtain(user).await?;
                self.desk.check_inventory(user, device).await.map_err(|error| match error {
                    CustomerError::Failure(failure) => ApprovalError::Failure(failure),
                    _ => ApprovalError::TokenUnfit,
                })
            }
            Proposal::AssignPolicy { contract, policy } => {
                self.may_assign_policy(contract, policy.as_ref()).await
            }
            Proposal::ChangePlan { contract, plan } => self.may_change_plan(contract, *plan).await,
            // Read and checked when it was proposed.
            Proposal::Admit { .. } => Ok(()),
        }
    }

    /// Two members' work, and a row that says something changed, for a change.
    async fn may_assign_policy(
        &self,
        number: &ContractNumber,
        policy: Option<&PolicyName>,
    ) -> Result<(), ApprovalError> {
        self.customers.contract(number).await?.ok_or(ApprovalError::UnknownContract)?;
        let assignments = self.policies.policy_assignments(number).await?;
        let present = assignments.last().and_then(|assignment| assignment.policy.as_ref());
        if present == policy { Err(ApprovalError::SamePolicy) } else { Ok(()) }
    }

    /// Rule 1 holds for the users that there are.
    async fn may_change_plan(&self, number: &ContractNumber, plan: Plan) -> Result<(), ApprovalError> {
        let contract = self.customers.contract(number).await?.ok_or(ApprovalError::UnknownContract)?;
        if contract.plan == plan {
            return Err(ApprovalError::SamePlan);
        }
        let users = self.customers.users_of(number).await?;
        let general = |user: &&User| user.role == Role::General && user.state != UserState::Removed;
        if users.iter().filter(general).count() > usize::from(plan.general_users) {
            return Err(ApprovalError::PlanTooSmall);
        }
        Ok(())
    }

    /// Rule 4.
    async fn may_reobtain(&self, user: &UserId) -> Result<(), ApprovalError> {
        let known = self.customers.user(user).await?;
        known.filter(|user| user.state != UserState::Removed).ok_or(ApprovalError::UnknownUser)?;
        let certificates = self.certificates.certificates_of(user).await?;
        let any = |wanted: fn(&CertificateState) -> bool| {
            certificates.iter().any(|certificate: &CertificateRecord| wanted(&certificate.state))
        };
        if any(|state| matches!(state, CertificateState::Issued { .. } | CertificateState::Intended)) {
            Err(ApprovalError::NotRevoked)
        } else if any(|state| matches!(state, CertificateState::Revoked { .. })) {
            Ok(())
        } else {
            Err(ApprovalError::FirstTime)
        }
    }

    /// Approves what somebody else asked for, and does it.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub async fn approve(&self, acting: &Acting, id: uuid::Uuid) -> Result<Executed, ApprovalError> {
        let approval = self.look_up(acting, id).await?;
        let row = self.row(acting, "approval.executed", &approval.proposal).with("request", id);
        let now = row.at;
        let row = row.with("asked_by", &approval.asked_by);
        if let Err(error) = self.check(acting, &approval, Outcome::Executed, now).await {
            return Err(self.refuse(row, error).await);
        }
        if let Err(error) = self.judge(&approval.proposal, &approval.reason).await {
            return Err(self.refuse(row, error).await);
        }
        let (effect, code) = self.effect(acting, &approval, now)?;
        let row = match &code {
            Some(code) => row.with("code_expires_at", code.expires_at),
            None => row,
        };
        let done = self.approvals.execute_approval(id, acting.id(), now, &effect, row.clone()).await;
        let error = match done {
            Ok(()) => return Ok(Executed { approval, code }),
            Err(StoreError::Conflict(conflict)) => unmet(conflict, &approval.proposal),
            Err(error) => return Err(error.into()),
        };
        Err(self.refuse(row, error).await)
    }

    /// Whether the member may end the request so; the commit asks again, of the staff as it is then.
    async fn check(
        &self,
        acting: &Acting,
        approval: &Approval,
        outcome: Outcome,
        now: jiff::Timestamp,
    ) -> Result<(), ApprovalError> {
        let asker = self.staff.member(&approval.asked_by).await?;
        let staff: Vec<Member> = asker.into_iter().chain([acting.member().clone()]).collect();
        Ok(approval.check(outcome, acting.id(), &staff, now)?)
    }

    fn effect(
        &self,
        acting: &Acting,
        approval: &Approval,
        now: jiff::Timestamp,
    ) -> Result<(Effect, Option<IssuedCode>), ApprovalError> {
        Ok(match &approval.proposal {
            Proposal::ReobtainByCode { user } => {
                let code = acquisition_code::from_random(&self.rng.bytes());
                let expires_at = now.checked_add(self.terms.lifetime).map_err(Failure::defect)?;
                let stored = AcquisitionCode {
                    sha256: acquisition_code::sha256(&code)
                        .ok_or_else(|| Failure::defect("an unreadable code"))?,
                    expires_at,
                    attempts_left: self.terms.attempts,
                };
                (Effect::Code(user.clone(), stored), Some(IssuedCode { code, expires_at }))
            }
            Proposal::ReobtainWithToken { user, device } => {
                (Effect::Device(user.clone(), device.clone()), None)
            }
            Proposal::AssignPolicy { contract, policy } => {
                let assignment = Assignment {
                    contract: contract.clone(),
                    policy: policy.clone(),
                    reason: approval.reason.clone(),
                    by: acting.actor().to_string(),
                    at: now,
                };
                (Effect::Policy(assignment), None)
            }
            Proposal::ChangePlan { contract, plan } => (Effect::Plan(contract.clone(), *plan), None),
            Proposal::Admit { id, name, roles, certificate } => {
                let new = NewMember {
                    id: id.clone(),
                    name: name.clone(),
                    roles: roles.clone(),
                    certificate: certificate.clone(),
                };
                (Effect::Member(self.issuer.member(&new, now).map_err(Failure::defect)?), None)
            }
        })
    }

    /// Refuses what somebody else asked for, or withdraws what the member asked for.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub async fn end(
        &self,
        acting: &Acting,
        id: uuid::Uuid,
        outcome: Outcome,
    ) -> Result<Approval, ApprovalError> {
        let approval = self.look_up(acting, id).await?;
        let action = if outcome == Outcome::Withdrawn { "approval.withdrawn" } else { "approval.declined" };
        let row = self.row(acting, action, &approval.proposal).with("request", id);
        if let Err(error) = self.check(acting, &approval, outcome, row.at).await {
            return Err(self.refuse(row, error).await);
        }
        match self.approvals.end_approval(id, outcome, acting.id(), row.at, row.clone()).await {
            Ok(()) => Ok(approval),
            Err(StoreError::Conflict(conflict)) => {
                Err(self.refuse(row, unmet(conflict, &approval.proposal)).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn look_up(&self, acting: &Acting, id: uuid::Uuid) -> Result<Approval, ApprovalError> {
        let approval = self.approvals.approval(id).await?;
        let Some(approval) = approval else {
            self.guard.permit(acting, Task::ReadApprovals, id).await?;
            return Err(ApprovalError::Unknown);
        };
        self.guard.permit(acting, approval.proposal.task(), id).await?;
        Ok(approval)
    }

    /// A request.
    ///
    /// # Errors
    /// `Denied`, `Unknown`.
    pub async fn show(&self, acting: &Acting, id: uuid::Uuid) -> Result<Approval, ApprovalError> {
        self.guard.permit(acting, Task::ReadApprovals, id).await?;
        self.approvals.approval(id).await?.ok_or(ApprovalError::Unknown)
    }

    /// What waits for somebody, and what was decided of late.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn list(&self, acting: &Acting) -> Result<(Vec<Approval>, Vec<Approval>), Denied> {
        self.guard.permit(acting, Task::ReadApprovals, "approvals").await?;
        let now = self.guard.clock.now();
        let open = self.approvals.open_approvals(now, PAGE).await?;
        Ok((open, self.approvals.recent_approvals(PAGE).await?))
    }

    fn row(&self, acting: &Acting, action: &'static str, proposal: &Proposal) -> AuditEvent {
        let row = event(self.guard.clock.now(), acting.actor(), action, proposal.subject());
        let row = row.with("kind", proposal.kind());
        match proposal {
            Proposal::ReobtainByCode { .. } => row.with("way", "acquisition-code"),
            Proposal::ReobtainWithToken { device, .. } => {
                row.with("way", "assigned-serial").with("serial", &device.serial)
            }
            Proposal::AssignPolicy { policy, .. } => {
                row.with("policy", policy.clone().unwrap_or_else(PolicyName::bank))
            }
            Proposal::ChangePlan { plan, .. } => row.with("general_users", plan.general_users),
            Proposal::Admit { name, roles, certificate, .. } => row
                .with("name", name)
                .with("roles", roles)
                .with("certificate_sha256", fingerprint(certificate)),
        }
    }

    async fn refuse(&self, row: AuditEvent, error: ApprovalError) -> ApprovalError {
        if matches!(error, ApprovalError::Failure(_)) {
            return error;
        }
        let row = AuditEvent { action: "approval.refused", ..row }.with("why", error.code());
        refused(&*self.guard.audit, row, error).await
    }
}

/// What the commit refused.
fn unmet(conflict: Conflict, proposal: &Proposal) -> ApprovalError {
    match (conflict, proposal) {
        (Conflict::Barred(barred), _) => barred.into(),
        (Conflict::DeviceInUse, _) => ApprovalError::DeviceInUse,
        (Conflict::Quota, _) => ApprovalError::PlanTooSmall,
        (Conflict::TokenUnfit, _) => ApprovalError::TokenUnfit,
        (Conflict::Taken, Proposal::Admit { .. }) => ApprovalError::KeyTaken,
        (Conflict::Missing, Proposal::AssignPolicy { .. }) => ApprovalError::UnknownPolicy,
        (Conflict::Missing, Proposal::ChangePlan { .. }) => ApprovalError::UnknownContract,
        (Conflict::Missing, _) => ApprovalError::UnknownUser,
        (conflict, _) => StoreError::Conflict(conflict).into(),
    }
}
