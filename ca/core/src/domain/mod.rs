//! Rules without a world: no async, no I/O, no clock, no randomness, no serde. Time, serial numbers and policy are
//! arguments.

pub mod anchor;
pub mod approval;
pub mod attestation;
pub mod audit;
pub mod business_hours;
pub mod certificate;
pub mod contract;
pub mod crl;
pub mod csr;
pub mod custody;
mod der_bounds;
pub mod device;
pub mod enrolment;
#[cfg(test)]
mod fixtures;
pub mod idempotency;
pub mod ids;
pub mod issuance;
pub mod key_kind;
pub mod key_quality;
pub mod lint;
pub mod login;
pub mod machine;
pub mod mail;
pub mod management;
pub mod notice;
pub mod ocsp;
pub mod policy;
pub mod profile;
pub mod receipt;
pub mod renewal;
pub mod responder;
pub mod retention;
pub mod revocation;
pub mod serial;
pub mod staff;
pub mod standing;
pub mod subject;
pub mod throttle;
pub mod trust;
pub mod user;
pub mod validity;
