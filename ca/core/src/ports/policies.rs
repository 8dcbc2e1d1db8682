//! Policies in the ledger: versions that are added and never edited, and which contract has which.

use async_trait::async_trait;

use super::store::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    ids::{ContractNumber, PolicyName},
    policy::{Assignment, PolicyRecord, WrittenPolicy},
};

/// Policies and their assignments.
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// Adds a version of a policy: the one after the newest, or 1 of a new name. `Taken` when that version is there
    /// already (somebody else was faster), `Missing` when the one before it isn't.
    async fn set_policy(&self, policy: &PolicyRecord, audit: AuditEvent) -> StoreResult<()>;
    /// All versions of a policy, oldest first.
    async fn policy_versions(&self, name: &PolicyName) -> StoreResult<Vec<PolicyRecord>>;
    /// Gives a contract a policy, or the bank's default again; `Missing` when there is no such contract or policy.
    async fn assign_policy(&self, assignment: &Assignment, audit: AuditEvent) -> StoreResult<()>;
    /// What a contract was given, oldest first.
    async fn policy_assignments(&self, contract: &ContractNumber) -> StoreResult<Vec<Assignment>>;
    /// A number that rises with each change of a policy or an assignment; 0 before the first. Cheap to ask for again and
    /// again.
    async fn policy_head(&self) -> StoreResult<u64>;
    /// The newest version of each policy by name, and the contracts that have one, of one moment.
    async fn policies_in_force(&self) -> StoreResult<PoliciesInForce>;
}

/// What holds at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoliciesInForce {
    /// [`PolicyStore::policy_head`] of that moment.
    pub head: u64,
    /// The newest version of each policy, by name.
    pub policies: Vec<PolicyRecord>,
    /// The contracts that have a policy of their own, by number.
    pub assigned: Vec<(ContractNumber, PolicyName)>,
}

/// Reads policies as operators write them. What form that is isn't the domain's business.
pub trait PolicyForm: Send + Sync {
    /// Reads and validates a policy.
    ///
    /// # Errors
    /// [`UnreadablePolicy`] names the key and the remedy.
    fn read(&self, text: &str) -> Result<WrittenPolicy, UnreadablePolicy>;
}

/// A policy that doesn't have the known form, or says something that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadablePolicy(pub String);
