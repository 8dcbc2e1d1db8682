//! How a command ends: an error and the exit code that goes with it.

use std::process::ExitCode;

use ca_core::app::{audit_verify::AuditVerifyError, customers::CustomerError, failure::Failure};

use crate::config::ConfigError;

/// Exit codes; `inro-ca --help` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Failed = 1,
    Configuration = 3,
    NotFound = 4,
    Refused = 5,
    Unavailable = 6,
    CheckFailed = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command didn't do it.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl CliError {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// What was named doesn't exist.
    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Exit::NotFound, anyhow::anyhow!("{what}"))
    }

    /// A configuration, or a file that it names, can't be used.
    pub(super) fn configuration(error: anyhow::Error) -> Self {
        Self { exit: Exit::Configuration, error }
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error)
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = if failure.is_transient() { Exit::Unavailable } else { Exit::Failed };
        Self::new(exit, failure)
    }
}

impl From<CustomerError> for CliError {
    fn from(error: CustomerError) -> Self {
        let exit = match error {
            CustomerError::UnknownContract | CustomerError::UnknownUser => Exit::NotFound,
            CustomerError::Name(_)
            | CustomerError::Email(_)
            | CustomerError::Taken
            | CustomerError::PlanExhausted
            | CustomerError::DeviceInUse
            | CustomerError::Token(_)
            | CustomerError::Password(_)
            | CustomerError::NotAMaster => Exit::Refused,
            CustomerError::Failure(failure) => return failure.into(),
        };
        Self::new(exit, error)
    }
}

impl From<AuditVerifyError> for CliError {
    fn from(error: AuditVerifyError) -> Self {
        match error {
            AuditVerifyError::Broken(broken) => Self::new(Exit::CheckFailed, broken),
            AuditVerifyError::Failure(failure) => failure.into(),
        }
    }
}
