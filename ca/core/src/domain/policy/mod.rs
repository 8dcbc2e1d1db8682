//! Policy: what the bank asks of users, tokens and keys before it issues. It is the bank's own, or one that a contract
//! was given by name; each has versions, and every verdict says under which one it was given.
//!
//! `issuance` decides whether a user may have a certificate now, `binding` what ties the user to a token, `devices` which
//! devices and keys are good enough, `inventory` which tokens the bank knows, `document` how policies are named and kept.

mod binding;
mod devices;
mod document;
mod inventory;
mod issuance;

pub use binding::{BindingRefusal, BindingRules, CodeCheck, bind, check_code, is_first, is_still_bound};
pub use devices::DevicePolicy;
pub use document::{Assignment, PolicyRecord, PolicyRules, PolicyVersion, WrittenPolicy};
pub use inventory::{InventoryRule, ListedToken, TokenRecord, TokenState, UnfitToken, admit, vouches_for};
pub use issuance::{Applicant, Decision, IssuancePolicy, Purpose, Reason, decide, may_open, plan_admits};

#[cfg(test)]
mod tests;
