//! How a fact fails: by itself, or together with the batch that it is committed in.

use std::{fmt, sync::Arc};

use ca_core::ports::store::{Conflict, StoreError};

/// Why a fact wasn't written, or a query not answered.
#[derive(Debug)]
pub enum Failure {
    /// The fact breaks a rule.
    Conflict(Conflict),
    /// A row that Inro can't have written.
    Corrupt(String),
    /// The database said no.
    Sql(sqlx::Error),
}

impl Failure {
    /// What the fact's caller is told, if only this fact fails.
    ///
    /// # Errors
    /// The error that fails the batch. Anything but a refusal by a constraint or trigger, which `is_refusal` knows, puts
    /// the whole transaction in doubt.
    pub fn isolate(self, is_refusal: impl FnOnce(&sqlx::Error) -> bool) -> Result<StoreError, sqlx::Error> {
        match self {
            Self::Sql(error) if !is_decoding(&error) && !is_refusal(&error) => Err(error),
            failure => Ok(failure.into()),
        }
    }

    /// For a query that fails as a whole.
    pub fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) => error,
            other => sqlx::Error::Decode(format!("{other:?}").into()),
        }
    }
}

fn is_decoding(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_))
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict(conflict) => Self::Conflict(conflict),
            Failure::Corrupt(what) => Self::Corrupt { what },
            Failure::Sql(error) if is_decoding(&error) => Self::Corrupt { what: error.to_string() },
            Failure::Sql(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

/// The commit of a batch failed, and so did every fact in it.
#[derive(Clone, Debug)]
pub struct BatchFailed {
    facts: usize,
    cause: Arc<sqlx::Error>,
}

impl BatchFailed {
    /// Of so many facts, for this reason.
    pub fn new(facts: usize, cause: sqlx::Error) -> Self {
        Self { facts, cause: Arc::new(cause) }
    }
}

impl fmt::Display for BatchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a transaction of {} facts failed as a whole", self.facts)
    }
}

impl std::error::Error for BatchFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl From<BatchFailed> for StoreError {
    fn from(failed: BatchFailed) -> Self {
        Self::Unavailable(Box::new(failed))
    }
}

/// The writer is gone: the store was closed.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;

impl From<Closed> for StoreError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(Box::new(closed))
    }
}
