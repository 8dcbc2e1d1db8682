//! Reads the audit trail from its first row and checks that each follows from the one before.

use std::sync::Arc;

use super::failure::{Failure, carries_failure};
use crate::{
    domain::audit::{AuditPosition, BrokenChain, verify},
    ports::store::AuditStore,
};

const PAGE: u32 = 1000;

/// The use case.
pub struct VerifyAudit {
    /// The trail.
    pub audit: Arc<dyn AuditStore>,
}

/// A chain that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeChain {
    /// How many rows.
    pub rows: u64,
    /// The last row's hash.
    pub head: [u8; 32],
}

/// Why the trail can't be relied on.
#[derive(Debug, thiserror::Error)]
pub enum AuditVerifyError {
    /// A row was changed, lost or reordered.
    #[error(transparent)]
    Broken(#[from] BrokenChain),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(AuditVerifyError);

impl VerifyAudit {
    /// Checks the whole chain.
    ///
    /// # Errors
    /// `Broken` names the first row that doesn't fit.
    pub async fn run(&self) -> Result<WholeChain, AuditVerifyError> {
        let mut reached = AuditPosition::GENESIS;
        loop {
            let further = self.further(reached).await?;
            if further == reached {
                return Ok(WholeChain { rows: reached.sequence, head: reached.hash });
            }
            reached = further;
        }
    }

    /// Checks some rows after one that was checked before; returns the last of them, or `reached` when there are none.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn further(&self, reached: AuditPosition) -> Result<AuditPosition, AuditVerifyError> {
        let rows = self.audit.rows_after(reached.sequence, PAGE).await?;
        Ok(rows.iter().try_fold(reached, verify)?)
    }
}
