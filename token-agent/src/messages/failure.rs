//! Failures in people's words: what happened, and what to do next.

mod enrolment;
mod local;
mod problem;
mod server;
mod token;
mod tpm;
mod unblock;

use super::Lang;
use crate::{enrol::EnrolError, server::ServerError};

pub(crate) use local::pin_length;
pub(crate) use server::explain_server;
pub(crate) use token::explain_token;
pub(crate) use tpm::{explain_lost, explain_tpm};
pub(crate) use unblock::{approver, reset_or_replace};

/// A failure in people's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) what: String,
    pub(crate) next: String,
}

/// Explains a failed command.
pub(crate) fn explain(error: &EnrolError, lang: Lang) -> Explanation {
    match error {
        EnrolError::Token(error) => explain_token(error, lang),
        EnrolError::Server(ServerError::Refused(refusal)) => problem::explain(refusal, lang),
        EnrolError::Server(error) => server::explain_server(error, lang),
        EnrolError::Secret(error) => local::explain_secret(error, lang),
        EnrolError::Record(error) => local::explain_record(error, lang),
        EnrolError::Tpm(error) => tpm::explain_tpm(error, lang),
        EnrolError::Shelf(_)
        | EnrolError::NotKept
        | EnrolError::WhichTpmKey { .. }
        | EnrolError::TpmKeyLost(_)
        | EnrolError::NoTpmKey
        | EnrolError::KeptToken
        | EnrolError::KeptTpmKey => tpm::explain_key(error, lang),
        EnrolError::Unblock(error) => unblock::explain_unblocking(error, lang),
        EnrolError::WeakPin(weak) => local::explain_weak_pin(*weak, lang),
        _ => enrolment::explain_enrolment(error, lang),
    }
}
