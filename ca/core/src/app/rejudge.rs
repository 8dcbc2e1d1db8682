//! What follows from judging the fleet's evidence again: a plan to revoke those who fall out, and its execution at the date.
//!
//! Until the date a plan changes nothing, so that people can be told and obtain new certificates; whoever did is not
//! touched, because the plan names certificates, not people.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    accord::Accords,
    failure::{Failure, carries_failure},
    journal::{push_revocations, whole_second},
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        ids::{IssuerId, SerialNumber, UserId},
        revocation::RevocationReason,
    },
    ports::{
        clock::Clock,
        rejudgements::{Fallen, NewRejudgement, PlanEnd, Rejudgement, RejudgementStore},
        signer::Signer,
        store::{Conflict, RevocationStore, RevokeOutcome, SignerStore, StoreError, StoreResult},
    },
};

/// Revocations between two tellings of the signer.
const TELL_EVERY: usize = 1000;

/// The reasons that a plan may give. Nobody's key is compromised because a rule was tightened; whoever knows better says
/// so.
pub const PLAN_REASONS: [RevocationReason; 3] =
    [RevocationReason::PrivilegeWithdrawn, RevocationReason::Superseded, RevocationReason::KeyCompromise];

/// The use cases.
pub struct Rejudge {
    /// Plans.
    pub plans: Arc<dyn RejudgementStore>,
    /// Revocations, for the journal.
    pub revocations: Arc<dyn RevocationStore>,
    /// The journal.
    pub signer: Arc<dyn Signer>,
    /// Which journal it should be.
    pub signers: Arc<dyn SignerStore>,
    /// Whether it is.
    pub accords: Accords,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What is planned.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the evidence was held against, for people.
    pub basis: String,
    /// How many certificates were judged.
    pub judged: u64,
    /// When those that fell out are revoked.
    pub revoke_at: Timestamp,
    /// The reason that the revocations give.
    pub reason: RevocationReason,
    /// Those that fell out.
    pub fallen: Vec<Fallen>,
}

/// Why nothing is planned, or called off.
#[derive(Debug, thiserror::Error)]
pub enum RejudgeError {
    /// Nobody fell out.
    #[error("every certificate's evidence stands: there is nothing to plan")]
    NothingFell,
    /// A date that has passed.
    #[error("the date {0} has passed: revoking at once is `inro-ca certificate revoke`")]
    Past(Timestamp),
    /// A reason that plans don't give.
    #[error("a plan's reason is privilegeWithdrawn, superseded or keyCompromise")]
    Reason,
    /// No such plan, or it has ended.
    #[error("there is no plan {0} that still stands")]
    NoPlan(u64),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(RejudgeError);

/// What was done for the plans that were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Plans that ended.
    pub plans: u64,
    /// Certificates that were revoked.
    pub revoked: u64,
}

impl Rejudge {
    /// Enters a plan; returns its number.
    ///
    /// # Errors
    /// [`RejudgeError`].
    pub async fn plan(&self, by: Actor, plan: Plan) -> Result<u64, RejudgeError> {
        let now = self.clock.now();
        if plan.fallen.is_empty() {
            return Err(RejudgeError::NothingFell);
        }
        if plan.revoke_at < now {
            return Err(RejudgeError::Past(plan.revoke_at));
        }
        if !PLAN_REASONS.contains(&plan.reason) {
            return Err(RejudgeError::Reason);
        }
        let row = event(now, by.clone(), "rejudgement.planned", "fleet")
            .with("basis", &plan.basis)
            .with("judged", plan.judged)
            .with("fallen", plan.fallen.len())
            .with("revoke_at", plan.revoke_at)
            .with("reason", plan.reason.as_str());
        let entered = NewRejudgement {
            by: by.to_string(),
            at: now,
            basis: plan.basis,
            judged: plan.judged,
            revoke_at: plan.revoke_at,
            reason: plan.reason,
            fallen: plan.fallen,
        };
        Ok(self.plans.plan_rejudgement(&entered, row).await?)
    }

    /// Calls a plan off, also while it is executed: nothing is revoked by it from then on, what was stays revoked.
    ///
    /// # Errors
    /// `NoPlan`.
    pub async fn cancel(&self, by: Actor, plan: u64) -> Result<(), RejudgeError> {
        self.end(by, plan, PlanEnd::Cancelled).await
    }

    /// Revokes what plans have come due for. Stopped anywhere, the next run goes on: what is revoked stays so, once.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn execute(&self) -> Result<Executed, RejudgeError> {
        let now = self.clock.now();
        let plans = self.plans.rejudgements().await?;
        let mut executed = Executed::default();
        for plan in plans.iter().filter(|plan| plan.ended.is_none() && plan.revoke_at <= now) {
            match self.carry_out(plan, &mut executed.revoked).await {
                Ok(()) => executed.plans += 1,
                Err(RejudgeError::NoPlan(plan)) => {
                    tracing::info!(
                        plan,
                        "the plan ended while it was executed: called off, or done by another node"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(executed)
    }

    /// All plans, oldest first.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn all(&self) -> Result<Vec<Rejudgement>, RejudgeError> {
        Ok(self.plans.rejudgements().await?)
    }

    /// The certificates of a plan.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn fallen(&self, plan: u64) -> Result<Vec<Fallen>, RejudgeError> {
        Ok(self.plans.fallen(plan).await?)
    }

    async fn end(&self, by: Actor, plan: u64, end: PlanEnd) -> Result<(), RejudgeError> {
        let now = self.clock.now();
        let row = event(now, by, "rejudgement.ended", format_args!("plan-{plan}")).with("end", end.as_str());
        while_it_stands(plan, self.plans.end_rejudgement(plan, end, now, row).await)
    }

    /// Revokes one after the other, counting them, and ends the plan; `NoPlan` as soon as somebody else has ended it.
    async fn carry_out(&self, plan: &Rejudgement, revoked: &mut u64) -> Result<(), RejudgeError> {
        let fallen = self.plans.fallen(plan.id).await?;
        for some in fallen.chunks(TELL_EVERY) {
            let outcome = self.revoke_all(plan, some, revoked).await;
            if let Some(Fallen { issuer, .. }) = some.last() {
                self.tell_signer(issuer).await;
            }
            outcome?;
        }
        self.end(Actor::System, plan.id, PlanEnd::Done).await
    }

    async fn revoke_all(
        &self,
        plan: &Rejudgement,
        fallen: &[Fallen],
        revoked: &mut u64,
    ) -> Result<(), RejudgeError> {
        for Fallen { issuer, serial, user, .. } in fallen {
            *revoked += u64::from(self.revoke(plan, issuer, serial, user).await?);
        }
        Ok(())
    }

    async fn revoke(
        &self,
        plan: &Rejudgement,
        issuer: &IssuerId,
        serial: &SerialNumber,
        user: &UserId,
    ) -> Result<bool, RejudgeError> {
        let now = self.clock.now();
        let row = event(now, Actor::System, "certificate.revoked", serial)
            .with("issuer", issuer)
            .with("user", user)
            .with("reason", plan.reason.as_str())
            .with("rejudgement", plan.id);
        let outcome = self.plans.revoke_fallen(plan.id, issuer, serial, whole_second(now), row).await;
        match while_it_stands(plan.id, outcome)? {
            RevokeOutcome::Revoked(_) => Ok(true),
            RevokeOutcome::Already(_) => Ok(false),
            RevokeOutcome::Unknown => {
                tracing::error!(%issuer, %serial, plan = plan.id, "a plan names a certificate that isn't in the ledger");
                Ok(false)
            }
        }
    }

    /// The ledger has it, and that is what counts; the CRL job pushes what the signer doesn't take now.
    async fn tell_signer(&self, issuer: &IssuerId) {
        let (revocations, signers, accord) = (&*self.revocations, &*self.signers, self.accords.of(issuer));
        let pushed = push_revocations(revocations, signers, &*self.signer, issuer, accord.as_deref()).await;
        if let Err(error) = pushed {
            tracing::warn!(%issuer, %error, "the signer hasn't journaled all revocations yet; the CRL job will try again");
        }
    }
}

/// What the store misses is the plan.
fn while_it_stands<T>(plan: u64, outcome: StoreResult<T>) -> Result<T, RejudgeError> {
    match outcome {
        Err(StoreError::Conflict(Conflict::Missing)) => Err(RejudgeError::NoPlan(plan)),
        outcome => Ok(outcome?),
    }
}
