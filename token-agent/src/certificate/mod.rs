//! Certificates: what they say, whether an issued one is ours, and how people see them.

mod check;
mod details;
mod render;

pub(crate) use check::{Rejection, check_issued};
pub(crate) use details::{CertificateDetails, Unreadable, ValidityState};
pub(crate) use render::{as_text, local_time, printable, rows, save_new, table, to_pem};
