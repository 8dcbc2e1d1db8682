//! Responders' certificates in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, ResponderRow, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateState,
        ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
        responder::ResponderRecord,
        revocation::Revocation,
    },
    ports::{
        responders::ResponderStore,
        signer::JournalPosition,
        store::{Conflict, IntentReceipt, StoreResult},
    },
};

#[async_trait]
impl ResponderStore for MemoryStore {
    async fn record_responder_intent(
        &self,
        record: &ResponderRecord,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt> {
        self.commit("record_responder_intent", |state| {
            let is_taken = state.responders.iter().map(|row| &row.record).any(|other| {
                other.intent == record.intent
                    || (other.issuer == record.issuer && other.serial == record.serial)
            });
            if is_taken {
                return Err(conflict(Conflict::Taken));
            }
            state.responders.push(ResponderRow { record: record.clone(), position: None });
            Ok(IntentReceipt { audit_head: state.append(&audit) })
        })
    }

    async fn record_responder(
        &self,
        intent: EnrolmentId,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("record_responder", |state| {
            let row = state.responders.iter_mut().find(|row| row.record.intent == intent);
            let row = row.ok_or(conflict(Conflict::Missing))?;
            if row.record.state != CertificateState::Abandoned && row.record.state.der() == Some(der) {
                return Ok(());
            }
            match &mut row.record.state {
                state @ CertificateState::Intended => {
                    *state = CertificateState::Issued { der: der.to_vec(), at, confirmed_at: None };
                }
                CertificateState::Revoked { der: missing @ None, .. } => *missing = Some(der.to_vec()),
                CertificateState::Issued { .. }
                | CertificateState::Revoked { .. }
                | CertificateState::Abandoned => return Err(conflict(Conflict::Missing)),
            }
            row.position = Some(position);
            state.append(&audit);
            Ok(())
        })
    }

    async fn abandon_responder_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("abandon_responder_intent", |state| {
            let mut records = state.responders.iter_mut().map(|row| &mut row.record);
            let record = records.find(|r| r.intent == intent && r.state == CertificateState::Intended);
            record.ok_or(conflict(Conflict::Missing))?.state = CertificateState::Abandoned;
            state.append(&audit);
            Ok(())
        })
    }

    async fn responder_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<ResponderRecord>> {
        self.query("responder_of_intent", |state| {
            state.responders.iter().map(|row| &row.record).find(|record| record.intent == intent).cloned()
        })
    }

    async fn open_responder_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
    ) -> StoreResult<Vec<ResponderRecord>> {
        self.query("open_responder_intents", |state| {
            let newest_first = state.responders.iter().rev().map(|row| &row.record);
            let open = newest_first.filter(|r| r.state == CertificateState::Intended);
            open.filter(|r| r.issuer == *issuer && r.signer == *signer).cloned().collect()
        })
    }

    async fn responders(
        &self,
        issuer: &IssuerId,
        public_key_sha256: &[u8; 32],
        now: Timestamp,
    ) -> StoreResult<Vec<ResponderRecord>> {
        self.query("responders", |state| {
            let newest_first = state.responders.iter().rev().map(|row| &row.record);
            let of_key = newest_first
                .filter(|r| r.issuer == *issuer && r.public_key_sha256 == *public_key_sha256)
                .filter(|r| matches!(r.state, CertificateState::Issued { .. }) && r.not_after > now);
            let mut found: Vec<ResponderRecord> = of_key.cloned().collect();
            found.sort_by_key(|record| std::cmp::Reverse(record.not_before));
            found
        })
    }
}

impl State {
    pub(super) fn responder_revocable_until(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> Option<Timestamp> {
        let mut records = self.responders.iter().map(|row| &row.record);
        let record = records.find(|record| record.issuer == *issuer && record.serial == *serial)?;
        (record.state != CertificateState::Abandoned).then_some(record.not_after)
    }

    pub(super) fn revoke_responder(&mut self, revocation: &Revocation) {
        let mut records = self.responders.iter_mut().map(|row| &mut row.record);
        let record = records.find(|r| r.issuer == revocation.issuer && r.serial == revocation.serial);
        if let Some(record) = record.filter(|record| record.state != CertificateState::Abandoned) {
            let der = record.state.der().map(<[u8]>::to_vec);
            record.state = CertificateState::Revoked { der, at: revocation.at, reason: revocation.reason };
        }
    }
}
