//! Policies as documents: named, versioned, never edited in place. A change is a new version, and every verdict says
//! which one it was given under.

use jiff::Timestamp;

use super::{DevicePolicy, binding::BindingRules, inventory::InventoryRule};
use crate::domain::{
    custody::PukRule,
    ids::{ContractNumber, PolicyName},
};

/// One version of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyVersion {
    /// Which policy.
    pub name: PolicyName,
    /// Counts from 1.
    pub version: u32,
}

impl std::fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// What a policy rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRules {
    /// Which devices and keys are accepted.
    pub devices: DevicePolicy,
    /// What may bind a user to a token (rule 12).
    pub binding: BindingRules,
    /// Whether tokens must be in the inventory.
    pub inventory: InventoryRule,
    /// What becomes of a token's PUK.
    pub puk: PukRule,
}

/// A policy as an operator wrote it: what it is called, and what it rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPolicy {
    /// Its name and version.
    pub id: PolicyVersion,
    /// Its rules.
    pub rules: PolicyRules,
}

/// A policy's version as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Its name and version.
    pub id: PolicyVersion,
    /// The text that was set, octet by octet.
    pub text: String,
    /// Why it was set.
    pub reason: String,
    /// Who set it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A contract was given a policy, or the bank's default again. The last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The contract.
    pub contract: ContractNumber,
    /// The policy, always in its latest version; `None` for the bank's default.
    pub policy: Option<PolicyName>,
    /// Why.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
