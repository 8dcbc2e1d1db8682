//! Rules without a world: no async, no I/O, no clock, no randomness, no serde. Time, serial numbers and policy are
//! arguments.

pub mod audit;
pub mod certificate;
pub mod contract;
pub mod device;
pub mod enrolment;
pub mod ids;
pub mod receipt;
pub mod revocation;
pub mod user;
