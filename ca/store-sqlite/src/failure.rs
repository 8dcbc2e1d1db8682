//! How a fact fails: by itself, or together with the batch that it is committed in.

use std::{fmt, sync::Arc};

use ca_core::ports::store::{Conflict, StoreError};

/// Why a fact wasn't written, or a query not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The fact breaks a rule.
    Conflict(Conflict),
    /// A row that Inro can't have written.
    Corrupt(String),
    /// SQLite said no.
    Sql(sqlx::Error),
}

/// Primary result code of a constraint or trigger that said no.
const SQLITE_CONSTRAINT: i32 = 19;

impl Failure {
    /// What the fact's caller is told, if only this fact fails; else the error that fails the batch. Anything but a
    /// refusal puts the whole transaction in doubt: SQLite rolls back by itself on a full disk, an I/O error or when
    /// out of memory.
    pub(crate) fn isolate(self) -> Result<StoreError, sqlx::Error> {
        match self {
            Self::Sql(error) if !is_decoding(&error) && !is_refusal(&error) => Err(error),
            failure => Ok(failure.into()),
        }
    }
}

impl Failure {
    /// For a query that fails as a whole.
    pub(crate) fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) => error,
            other => sqlx::Error::Decode(format!("{other:?}").into()),
        }
    }
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == SQLITE_CONSTRAINT)
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
pub(crate) struct BatchFailed {
    facts: usize,
    cause: Arc<sqlx::Error>,
}

impl BatchFailed {
    pub(crate) fn new(facts: usize, cause: sqlx::Error) -> Self {
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
pub(crate) struct Closed;

impl From<Closed> for StoreError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(Box::new(closed))
    }
}
