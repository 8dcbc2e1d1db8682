//! Certificates: what they say, and whether an issued one is ours.

mod check;
mod details;
mod render;

pub(crate) use check::{Rejection, check_issued};
pub(crate) use details::{CertificateDetails, Unreadable, ValidityState};
pub(crate) use render::{local_time, printable, save_new, to_pem};
