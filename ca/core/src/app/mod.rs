//! The use cases, one file each: what is asked comes in as a command, the ports are held behind `Arc`, a refusal is a
//! variant of the use case's own error and leaves an audit row.

pub mod accord;
pub mod account;
pub mod acquisition_code;
pub mod answer_ocsp;
pub mod audit_budget;
pub mod audit_verify;
pub mod certificate_status;
pub mod certificates;
pub mod customers;
pub mod enrol;
pub mod failure;
pub mod issue;
mod journal;
pub mod judge_fleet;
pub mod login;
pub mod logout;
pub mod machines;
pub mod manage_policies;
pub mod manage_users;
pub mod move_ledger;
mod own_password;
pub mod password_policy;
pub mod policies;
pub mod publish_crl;
pub mod reconcile;
pub mod refuse_form;
pub mod renew_responder;
pub mod retire_signer;
pub mod revoke;
pub mod session;
mod token;
mod trail;
pub mod trust;
mod wrong_password;
