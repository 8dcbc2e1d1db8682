//! What went wrong outside a use case's own rules: every use case's error carries it as its last variant.

use crate::{
    domain::anchor::Halt,
    ports::{password::PasswordsBusy, signer::SignerError, store::StoreError},
};

/// Something below failed; nobody was refused anything.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The ledger.
    #[error("the ledger failed")]
    Store(#[source] StoreError),
    /// The signer.
    #[error("the signer failed")]
    Signer(#[source] SignerError),
    /// Password verification.
    #[error("password verification failed")]
    Passwords(#[source] PasswordsBusy),
    /// Ledger and journal don't agree, or nobody has looked yet (R18).
    #[error("nothing is issued now: {0}")]
    Halted(Halt),
    /// Inro itself: a structure that can't be built, a row that contradicts another.
    #[error("defect: {0}")]
    Defect(String),
}

impl Failure {
    /// A defect.
    pub(crate) fn defect(what: impl std::fmt::Display) -> Self {
        Self::Defect(what.to_string())
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(StoreError::Unavailable(_)) | Self::Passwords(PasswordsBusy) | Self::Halted(_) => {
                true
            }
            Self::Signer(error) => {
                matches!(error, SignerError::Unavailable(_) | SignerError::LockedOut(_))
            }
            Self::Store(StoreError::Conflict(_) | StoreError::Corrupt { .. }) | Self::Defect(_) => false,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        Self::Signer(error)
    }
}

impl From<PasswordsBusy> for Failure {
    fn from(error: PasswordsBusy) -> Self {
        Self::Passwords(error)
    }
}

/// An error with its causes, in one line.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Lets `?` carry the ports' errors into a use case's error by way of its `Failure` variant.
macro_rules! carries_failure {
    ($error:ty) => {
        carries_failure!($error: store::StoreError, signer::SignerError, password::PasswordsBusy);
    };
    ($error:ty: $($module:ident::$from:ident),+) => {
        $(impl From<$crate::ports::$module::$from> for $error {
            fn from(error: $crate::ports::$module::$from) -> Self {
                Self::Failure(error.into())
            }
        })+
    };
}
pub(crate) use carries_failure;
