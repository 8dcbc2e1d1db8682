//! Trust bundles in memory.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::audit::AuditEvent,
    ports::{
        store::{Conflict, StoreResult},
        trust::{OfficerSignature, StagedTrust, TrustRecord, TrustStore},
    },
};

#[async_trait]
impl TrustStore for MemoryStore {
    async fn stage_trust(&self, staged: &StagedTrust, audit: AuditEvent) -> StoreResult<()> {
        self.commit("stage_trust", |state| {
            if staged.version != state.trust_head().unwrap_or(0) + 1 {
                return Err(conflict(Conflict::Missing));
            }
            state.staged_trust = Some(staged.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn withdraw_trust(&self, audit: AuditEvent) -> StoreResult<()> {
        self.commit("withdraw_trust", |state| {
            state.staged_trust.take().ok_or(conflict(Conflict::Missing))?;
            state.append(&audit);
            Ok(())
        })
    }

    async fn staged_trust(&self) -> StoreResult<Option<StagedTrust>> {
        self.query("staged_trust", |state| state.staged_trust.clone())
    }

    async fn approve_trust(
        &self,
        staged: &StagedTrust,
        second: &OfficerSignature,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("approve_trust", |state| {
            if state.staged_trust.as_ref() != Some(staged) {
                return Err(conflict(Conflict::Missing));
            }
            let StagedTrust { version, bundle, first } = staged.clone();
            state.trust.push(TrustRecord { version, bundle, first, second: second.clone() });
            state.staged_trust = None;
            state.append(&audit);
            Ok(())
        })
    }

    async fn trust_head(&self) -> StoreResult<Option<u32>> {
        self.query("trust_head", State::trust_head)
    }

    async fn trust(&self, version: u32) -> StoreResult<Option<TrustRecord>> {
        self.query("trust", |state| state.trust.iter().find(|record| record.version == version).cloned())
    }
}

impl State {
    fn trust_head(&self) -> Option<u32> {
        self.trust.last().map(|record| record.version)
    }
}
