//! The audit trail in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::audit::{AuditEvent, AuditPosition, AuditRow},
    ports::store::{AuditStore, StoreResult},
};

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append(&self, event: AuditEvent) -> StoreResult<()> {
        self.commit("append", |state| {
            state.append(&event);
            Ok(())
        })
    }

    async fn head(&self) -> StoreResult<AuditPosition> {
        self.query("head", super::State::head)
    }

    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        self.query("rows_after", |state| {
            state.audit.iter().filter(|row| row.sequence > sequence).take(limit as usize).cloned().collect()
        })
    }
}
