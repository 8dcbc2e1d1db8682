//! Certificates: what they say, whether an issued one is ours, and how people see them.

mod check;
mod details;
mod render;

pub(crate) use check::{Rejection, check_issued};
pub(crate) use details::{CertificateDetails, Unreadable, ValidityState};
pub(crate) use render::{local_time, printable, table, to_pem};
