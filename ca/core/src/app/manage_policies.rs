//! Policies as operators keep them: a change is a new version, an assignment says which contract has which, and both
//! stand in the audit trail with who, when and why.

use std::sync::Arc;

use super::{
    failure::{Failure, carries_failure},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        ids::{ContractNumber, PolicyName},
        policy::{Assignment, PolicyRecord, PolicyVersion, WrittenPolicy},
        subject::{self, InvalidText},
    },
    ports::{
        clock::Clock,
        policies::{PoliciesInForce, PolicyForm, PolicyStore, UnreadablePolicy},
        store::{AuditStore, Conflict, CustomerStore, StoreError},
    },
};

/// The largest policy, in octets.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// The use cases.
pub struct ManagePolicies {
    /// Policies.
    pub policies: Arc<dyn PolicyStore>,
    /// Contracts.
    pub customers: Arc<dyn CustomerStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Reads what operators write.
    pub form: Arc<dyn PolicyForm>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The text isn't a policy.
    #[error(transparent)]
    Unreadable(#[from] UnreadablePolicy),
    /// The text is too long.
    #[error("a policy has at most {MAX_POLICY_BYTES} octets; this one has {found}")]
    TooLong {
        /// How long it is.
        found: usize,
    },
    /// The name is the bank's own.
    #[error("the bank's own policy stands in the configuration, section [policy]; choose another name")]
    BanksOwn,
    /// The version isn't the next one.
    #[error("{id} can't be set: {standing}; to change the policy, begin with `inro-ca policy show {}` and set `version` to {next}", id.name)]
    NotTheNext {
        /// What was to be set.
        id: PolicyVersion,
        /// What is there.
        standing: String,
        /// The version that would be accepted.
        next: u32,
    },
    /// No reason was given, or one that can't be kept.
    #[error(transparent)]
    Reason(InvalidText),
    /// No such contract.
    #[error("there is no such contract")]
    UnknownContract,
    /// No such policy.
    #[error("there is no policy {0}")]
    UnknownPolicy(PolicyName),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(PolicyError);

impl PolicyError {
    fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::TooLong { .. } => "too-long",
            Self::BanksOwn => "banks-own",
            Self::NotTheNext { .. } => "not-the-next-version",
            Self::Reason(_) => "reason",
            Self::UnknownContract => "unknown-contract",
            Self::UnknownPolicy(_) => "unknown-policy",
            Self::Failure(_) => "failure",
        }
    }
}

/// What `set` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// It holds from now on.
    New(PolicyRecord),
    /// Exactly this was there already: a repeat.
    Standing(PolicyRecord),
}

type PolicyResult<T> = Result<T, PolicyError>;

impl ManagePolicies {
    /// Reads and validates a policy without setting it.
    ///
    /// # Errors
    /// `TooLong`, `Unreadable`, `BanksOwn`.
    pub fn check(&self, text: &str) -> PolicyResult<WrittenPolicy> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong { found: text.len() });
        }
        let written = self.form.read(text)?;
        if written.id.name == PolicyName::bank() { Err(PolicyError::BanksOwn) } else { Ok(written) }
    }

    /// Sets a policy, or its next version: it says itself which one it is, so that of two operators who changed the same
    /// version the later is told instead of overwriting the earlier's work.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub async fn set(&self, by: Actor, text: &str, reason: &str) -> PolicyResult<Set> {
        let written = match self.check(text) {
            Ok(written) => written,
            Err(error) => {
                let row = event(self.clock.now(), by, "policy.refused", "-");
                return Err(self.refuse(row, error).await);
            }
        };
        let record = PolicyRecord {
            id: written.id,
            text: text.to_owned(),
            reason: reason.to_owned(),
            by: by.to_string(),
            at: self.clock.now(),
        };
        let row = self.row(by, "policy.set", &record.id, reason);
        if let Err(error) = check_reason(reason) {
            return Err(self.refuse(AuditEvent { action: "policy.refused", ..row }, error).await);
        }
        match self.policies.set_policy(&record, row.clone()).await {
            Ok(()) => Ok(Set::New(record)),
            Err(StoreError::Conflict(Conflict::Taken | Conflict::Missing)) => {
                let versions = self.policies.policy_versions(&record.id.name).await?;
                match versions.into_iter().next_back() {
                    Some(newest) if newest.id == record.id && newest.text == record.text => {
                        Ok(Set::Standing(newest))
                    }
                    newest => {
                        let error = not_the_next(record.id, newest.as_ref());
                        Err(self.refuse(AuditEvent { action: "policy.refused", ..row }, error).await)
                    }
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a contract a policy, or (`None`) the bank's own again.
    ///
    /// # Errors
    /// `Reason`, `UnknownContract`, `UnknownPolicy`.
    pub async fn assign(
        &self,
        by: Actor,
        contract: &ContractNumber,
        policy: Option<&PolicyName>,
        reason: &str,
    ) -> PolicyResult<Assignment> {
        let policy = policy.filter(|name| **name != PolicyName::bank()).cloned();
        let shown = policy.clone().unwrap_or_else(PolicyName::bank);
        let row = self.row(by.clone(), "policy.assigned", contract, reason).with("policy", &shown);
        let assignment = Assignment {
            contract: contract.clone(),
            policy,
            reason: reason.to_owned(),
            by: by.to_string(),
            at: row.at,
        };
        let refusal = match check_reason(reason) {
            Err(error) => error,
            Ok(()) => match self.policies.assign_policy(&assignment, row.clone()).await {
                Ok(()) => return Ok(assignment),
                Err(StoreError::Conflict(Conflict::Missing)) => {
                    match self.customers.contract(contract).await? {
                        None => PolicyError::UnknownContract,
                        Some(_) => PolicyError::UnknownPolicy(shown),
                    }
                }
                Err(error) => return Err(error.into()),
            },
        };
        Err(self.refuse(AuditEvent { action: "policy.assignment-refused", ..row }, refusal).await)
    }

    /// What holds now.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn in_force(&self) -> PolicyResult<PoliciesInForce> {
        Ok(self.policies.policies_in_force().await?)
    }

    /// All versions of a policy, oldest first.
    ///
    /// # Errors
    /// `UnknownPolicy`.
    pub async fn versions(&self, name: &PolicyName) -> PolicyResult<Vec<PolicyRecord>> {
        let versions = self.policies.policy_versions(name).await?;
        if versions.is_empty() { Err(PolicyError::UnknownPolicy(name.clone())) } else { Ok(versions) }
    }

    /// What a contract was given, oldest first.
    ///
    /// # Errors
    /// `UnknownContract`.
    pub async fn assignments(&self, contract: &ContractNumber) -> PolicyResult<Vec<Assignment>> {
        self.customers.contract(contract).await?.ok_or(PolicyError::UnknownContract)?;
        Ok(self.policies.policy_assignments(contract).await?)
    }

    fn row(
        &self,
        by: Actor,
        action: &'static str,
        subject: impl std::fmt::Display,
        reason: &str,
    ) -> AuditEvent {
        event(self.clock.now(), by, action, subject).with("reason", super::trail::foreign(reason))
    }

    async fn refuse(&self, row: AuditEvent, error: PolicyError) -> PolicyError {
        refused(&*self.audit, row.with("why", error.name()), error).await
    }
}

fn not_the_next(id: PolicyVersion, newest: Option<&PolicyRecord>) -> PolicyError {
    let (standing, next) = match newest {
        None => ("there is no version before it".to_owned(), 1),
        Some(newest) => (
            format!("version {} was set at {} by {}", newest.id.version, newest.at, newest.by),
            newest.id.version.saturating_add(1),
        ),
    };
    PolicyError::NotTheNext { id, standing, next }
}

/// Why something was done, for people who look years later.
fn check_reason(reason: &str) -> Result<(), PolicyError> {
    subject::check_note("reason", reason).map_err(PolicyError::Reason)
}
