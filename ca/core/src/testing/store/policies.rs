//! Policies and their assignments in memory.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::{ContractNumber, PolicyName},
        policy::{Assignment, PolicyRecord},
    },
    ports::{
        policies::{PoliciesInForce, PolicyStore},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl PolicyStore for MemoryStore {
    async fn set_policy(&self, policy: &PolicyRecord, audit: AuditEvent) -> StoreResult<()> {
        self.commit("set_policy", |state| {
            let latest = state.latest_policy(&policy.id.name).map_or(0, |latest| latest.id.version);
            if policy.id.version <= latest {
                return Err(conflict(Conflict::Taken));
            }
            if policy.id.version != latest + 1 {
                return Err(conflict(Conflict::Missing));
            }
            state.policies.push(policy.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn policy_versions(&self, name: &PolicyName) -> StoreResult<Vec<PolicyRecord>> {
        self.query("policy_versions", |state| {
            state.policies.iter().filter(|policy| policy.id.name == *name).cloned().collect()
        })
    }

    async fn assign_policy(&self, assignment: &Assignment, audit: AuditEvent) -> StoreResult<()> {
        self.commit("assign_policy", |state| {
            state.assign_policy(assignment)?;
            state.append(&audit);
            Ok(())
        })
    }

    async fn policy_assignments(&self, contract: &ContractNumber) -> StoreResult<Vec<Assignment>> {
        self.query("policy_assignments", |state| {
            let of_contract = state.policy_assignments.iter().filter(|a| a.contract == *contract);
            of_contract.cloned().collect()
        })
    }

    async fn policy_head(&self) -> StoreResult<u64> {
        self.query("policy_head", State::policy_head)
    }

    async fn policies_in_force(&self) -> StoreResult<PoliciesInForce> {
        self.query("policies_in_force", |state| {
            let latest = |policy: &&PolicyRecord| state.latest_policy(&policy.id.name) == Some(*policy);
            let mut policies: Vec<_> = state.policies.iter().filter(latest).cloned().collect();
            policies.sort_by_key(|policy| policy.id.clone());
            let assigned = state.contracts.keys().filter_map(|contract| {
                let last = state.policy_assignments.iter().rfind(|a| a.contract == *contract)?;
                Some((contract.clone(), last.policy.clone()?))
            });
            PoliciesInForce { head: state.policy_head(), policies, assigned: assigned.collect() }
        })
    }
}

impl State {
    /// Gives a contract a policy, inside any fact that does.
    pub(super) fn assign_policy(&mut self, assignment: &Assignment) -> StoreResult<()> {
        let is_known = |name| self.latest_policy(name).is_some();
        if !self.contracts.contains_key(&assignment.contract)
            || !assignment.policy.as_ref().is_none_or(is_known)
        {
            return Err(conflict(Conflict::Missing));
        }
        self.policy_assignments.push(assignment.clone());
        Ok(())
    }

    fn latest_policy(&self, name: &PolicyName) -> Option<&PolicyRecord> {
        self.policies.iter().rfind(|policy| policy.id.name == *name)
    }

    fn policy_head(&self) -> u64 {
        (self.policies.len() + self.policy_assignments.len()) as u64
    }
}
