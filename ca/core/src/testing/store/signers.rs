//! The signers in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SignerName},
    },
    ports::{
        signer::JournalPosition,
        store::{Conflict, SignerRecord, SignerStore, StoreResult},
    },
};

#[async_trait]
impl SignerStore for MemoryStore {
    async fn introduce_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        journal: Uuid,
        audit: AuditEvent,
    ) -> StoreResult<SignerRecord> {
        self.commit("introduce_signer", |state| {
            if let Some(known) = state.signers.get(&(issuer.clone(), name.clone())) {
                return if known.journal == journal {
                    Ok(known.clone())
                } else {
                    Err(conflict(Conflict::OtherJournal))
                };
            }
            let record = SignerRecord {
                issuer: issuer.clone(),
                name: name.clone(),
                journal,
                reconciled: None,
                revocations_to: 0,
                anchors_accepted_to: 0,
                retired_at: None,
            };
            state.signers.insert((issuer.clone(), name.clone()), record.clone());
            state.append(&audit);
            Ok(record)
        })
    }

    async fn signers(&self, issuer: &IssuerId) -> StoreResult<Vec<SignerRecord>> {
        self.query("signers", |state| {
            state.signers.values().filter(|record| record.issuer == *issuer).cloned().collect()
        })
    }

    async fn set_reconciled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        position: JournalPosition,
    ) -> StoreResult<()> {
        self.commit("set_reconciled", |state| {
            let record = state.signer_mut(issuer, name)?;
            if record.reconciled.is_none_or(|known| known.sequence < position.sequence) {
                record.reconciled = Some(position);
            }
            Ok(())
        })
    }

    async fn last_journaled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
    ) -> StoreResult<Option<JournalPosition>> {
        self.query("last_journaled", |state| {
            let certificates = state.certificates.iter();
            let of_signer =
                certificates.filter(|row| row.record.issuer == *issuer && row.record.signer == *name);
            let responders = state.responders.iter();
            let of_responders =
                responders.filter(|row| row.record.issuer == *issuer && row.record.signer == *name);
            let positions = of_signer.map(|row| row.position).chain(of_responders.map(|row| row.position));
            let of_revocations = state.journaled.get(&(issuer.clone(), name.clone()));
            positions.flatten().chain(of_revocations.copied()).max_by_key(|position| position.sequence)
        })
    }

    async fn accept_lost_anchors(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        up_to: u64,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("accept_lost_anchors", |state| {
            let record = state.signer_mut(issuer, name)?;
            if record.anchors_accepted_to < up_to {
                record.anchors_accepted_to = up_to;
                state.append(&audit);
            }
            Ok(())
        })
    }

    async fn retire_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("retire_signer", |state| {
            let record = state.signer_mut(issuer, name)?;
            if record.retired_at.is_some() {
                return Err(conflict(Conflict::Missing));
            }
            record.retired_at = Some(at);
            state.append(&audit);
            Ok(())
        })
    }
}

impl State {
    fn signer_mut(&mut self, issuer: &IssuerId, name: &SignerName) -> StoreResult<&mut SignerRecord> {
        self.signers.get_mut(&(issuer.clone(), name.clone())).ok_or(conflict(Conflict::Missing))
    }
}
