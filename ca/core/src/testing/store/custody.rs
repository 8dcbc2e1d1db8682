//! Kept PUKs and requests to unblock, in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{MemoryStore, State, conflict, is_living};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateRecord,
        custody::{KeptPuk, Sealed, Stage, Unblocking},
        device::Device,
        ids::{IdempotencyKey, UserId},
    },
    ports::{
        custody::{AskLimit, CustodyStore},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl CustodyStore for MemoryStore {
    async fn deposit_puk(&self, puk: &KeptPuk, proven: Option<Uuid>, audit: AuditEvent) -> StoreResult<()> {
        self.commit("deposit_puk", |state| {
            if state.puks.iter().any(|kept| kept.deposit == puk.deposit) {
                return Err(conflict(Conflict::Taken));
            }
            let is_proven = |kept: &KeptPuk| Some(kept.deposit) == proven && kept.device == puk.device;
            if proven.is_some() && !state.puks.iter().any(is_proven) {
                return Err(conflict(Conflict::Missing));
            }
            state.puks.retain(|kept| kept.device != puk.device || is_proven(kept));
            state.puks.push(puk.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn confirm_puk(
        &self,
        deposit: Uuid,
        unblocking: Option<Uuid>,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("confirm_puk", |state| {
            let kept = state.puks.iter_mut().find(|kept| kept.deposit == deposit);
            let kept = kept.ok_or(conflict(Conflict::Missing))?;
            if kept.confirmed_at.is_some() {
                return Ok(());
            }
            kept.confirmed_at = Some(at);
            let device = kept.device.clone();
            state.puks.retain(|kept| kept.device != device || kept.deposit == deposit);
            let requests = state.unblockings.iter_mut();
            for request in requests.filter(|r| Some(r.id) == unblocking && r.stage == Stage::Released) {
                request.stage = Stage::Done;
            }
            state.append(&audit);
            Ok(())
        })
    }

    async fn puk(&self, deposit: Uuid) -> StoreResult<Option<KeptPuk>> {
        self.query("puk", |state| state.puks.iter().find(|kept| kept.deposit == deposit).cloned())
    }

    async fn puks_of(&self, device: &Device) -> StoreResult<Vec<KeptPuk>> {
        self.query("puks_of", |state| {
            state.puks.iter().rev().filter(|kept| kept.device == *device).cloned().collect()
        })
    }

    async fn puks_not_under(
        &self,
        key_version: u32,
        after: Option<Uuid>,
        limit: u32,
    ) -> StoreResult<Vec<KeptPuk>> {
        self.query("puks_not_under", |state| {
            let others = state.puks.iter().filter(|kept| kept.sealed.key_version != key_version);
            let mut others: Vec<KeptPuk> =
                others.filter(|kept| after.is_none_or(|after| kept.deposit > after)).cloned().collect();
            others.sort_by_key(|kept| kept.deposit);
            others.truncate(limit as usize);
            others
        })
    }

    async fn reseal_puk(&self, deposit: Uuid, sealed: &Sealed, audit: AuditEvent) -> StoreResult<()> {
        self.commit("reseal_puk", |state| {
            let kept = state.puks.iter_mut().find(|kept| kept.deposit == deposit);
            kept.ok_or(conflict(Conflict::Missing))?.sealed = sealed.clone();
            state.append(&audit);
            Ok(())
        })
    }

    async fn puk_census(&self) -> StoreResult<Vec<(u32, u64)>> {
        self.query("puk_census", |state| {
            let mut counts = std::collections::BTreeMap::new();
            for kept in &state.puks {
                *counts.entry(kept.sealed.key_version).or_insert(0) += 1;
            }
            counts.into_iter().collect()
        })
    }

    async fn ask_unblocking(
        &self,
        asked: &Unblocking,
        limit: AskLimit,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("ask_unblocking", |state| {
            if state.unblockings.iter().any(|known| known.idempotency_key == asked.idempotency_key) {
                return Err(conflict(Conflict::Taken));
            }
            let counts = |known: &&Unblocking| known.user == asked.user && known.asked_at > limit.since;
            if state.unblockings.iter().filter(counts).count() >= limit.at_most as usize {
                return Err(conflict(Conflict::Quota));
            }
            let earlier = state.unblockings.iter_mut().filter(|known| known.user == asked.user);
            for open in earlier.filter(|known| known.stage.is_open()) {
                open.stage = Stage::Withdrawn;
            }
            state.unblockings.push(asked.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn rebear_unblocking(&self, id: Uuid, bearer_sha256: &[u8; 32]) -> StoreResult<()> {
        self.commit("rebear_unblocking", |state| {
            state.unblocking_mut(id)?.bearer_sha256 = *bearer_sha256;
            Ok(())
        })
    }

    async fn unblocking(&self, id: Uuid) -> StoreResult<Option<Unblocking>> {
        self.query("unblocking", |state| state.unblockings.iter().find(|known| known.id == id).cloned())
    }

    async fn unblocking_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Unblocking>> {
        self.query("unblocking_by_key", |state| {
            state.unblockings.iter().find(|known| known.idempotency_key == *key).cloned()
        })
    }

    async fn unblockings_of(&self, user: &UserId, limit: u32) -> StoreResult<Vec<Unblocking>> {
        self.query("unblockings_of", |state| {
            let own = state.unblockings.iter().rev().filter(|known| known.user == *user);
            own.take(limit as usize).cloned().collect()
        })
    }

    async fn waiting_unblockings(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Unblocking>> {
        self.query("waiting_unblockings", |state| {
            let waiting = state.unblockings.iter().filter(|known| known.is(Stage::Waiting, now));
            waiting.take(limit as usize).cloned().collect()
        })
    }

    async fn decide_unblocking(
        &self,
        id: Uuid,
        approved: bool,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("decide_unblocking", |state| {
            let request = state.unblocking_mut(id)?;
            if !request.is(Stage::Waiting, at) {
                return Err(conflict(Conflict::Missing));
            }
            request.stage = if approved { Stage::Approved } else { Stage::Declined };
            request.expires_at = expires_at;
            request.decision = Some((audit.actor.to_string(), at));
            state.append(&audit);
            Ok(())
        })
    }

    async fn release_unblocking(
        &self,
        id: Uuid,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("release_unblocking", |state| {
            let request = state.unblocking_mut(id)?;
            if !request.is(Stage::Approved, at) {
                return Err(conflict(Conflict::Missing));
            }
            request.stage = Stage::Released;
            request.expires_at = expires_at;
            state.append(&audit);
            Ok(())
        })
    }

    async fn living_on(&self, device: &Device) -> StoreResult<Vec<CertificateRecord>> {
        self.query("living_on", |state| {
            let records = state.certificates.iter().map(|row| &row.record);
            records.filter(|r| r.device == *device && is_living(&r.state)).cloned().collect()
        })
    }
}

impl State {
    fn unblocking_mut(&mut self, id: Uuid) -> StoreResult<&mut Unblocking> {
        self.unblockings.iter_mut().find(|known| known.id == id).ok_or(conflict(Conflict::Missing))
    }
}
