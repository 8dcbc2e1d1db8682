//! What becomes of a fact: whether it changed anything, and what its caller is told after the commit.

use std::{future::Future, pin::Pin, time::Instant};

use ca_core::{domain::audit::AuditPosition, ports::store::StoreResult};

use crate::failure::{BatchFailed, Closed};

/// What a store's statements are behind its writer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a fact did. Its audit row is written exactly when it changed something.
#[derive(Debug)]
pub enum Written<T> {
    /// It was written now.
    Changed(T),
    /// It had been written before, or there was nothing to write.
    Unchanged(T),
}

/// A transaction that is durable.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// The head of the audit chain after it.
    pub audit_head: AuditPosition,
    /// When the writer took it up.
    pub began: Instant,
}

/// A result that is durable.
#[derive(Debug)]
pub struct Committed<T> {
    /// What its caller is told.
    pub value: T,
    /// The head of the audit chain after the commit.
    pub audit_head: AuditPosition,
    /// When the writer took it up.
    pub began: Instant,
}

/// The answer to a fact with this outcome in a batch that ended like this.
///
/// # Errors
/// The fact's own, the batch's, or that the store is closed.
pub fn settle<T>(
    outcome: Option<StoreResult<T>>,
    committed: &Result<Commit, BatchFailed>,
) -> StoreResult<Committed<T>> {
    match (outcome, committed) {
        (_, Err(failed)) => Err(failed.clone().into()),
        (None, Ok(_)) => Err(Closed.into()),
        (Some(outcome), Ok(Commit { audit_head, began })) => {
            outcome.map(|value| Committed { value, audit_head: *audit_head, began: *began })
        }
    }
}
