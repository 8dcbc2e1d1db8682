//! Revocations and CRLs in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, RevocationRow, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateState,
        ids::{IssuerId, SerialNumber},
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        signer::JournalPosition,
        store::{Conflict, LedgerStatus, PublishedCrl, RevocationStore, RevokeOutcome, StoreResult},
    },
};

#[async_trait]
impl RevocationStore for MemoryStore {
    async fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        self.commit("revoke", |state| {
            let key = (issuer.clone(), serial.clone());
            if let Some(standing) = state.revocations.get(&key) {
                return Ok(RevokeOutcome::Already(standing.revocation.clone()));
            }
            let Some(not_after) = state.revocable_until(issuer, serial) else {
                return Ok(RevokeOutcome::Unknown);
            };
            if let Some(row) = state.certificate_mut(issuer, serial)
                && row.record.state != CertificateState::Abandoned
            {
                let der = row.record.der().map(<[u8]>::to_vec);
                row.record.state = CertificateState::Revoked { der, at, reason };
            }
            let revocation =
                Revocation { issuer: issuer.clone(), serial: serial.clone(), at, reason, not_after };
            state.revocations.insert(key, RevocationRow { revocation: revocation.clone(), position: None });
            state.append(&audit);
            Ok(RevokeOutcome::Revoked(revocation))
        })
    }

    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        limit: u32,
    ) -> StoreResult<(Vec<Revocation>, [u8; 32])> {
        self.query("unjournaled_revocations", |state| {
            let pending = state.revocations.values().filter(|row| row.position.is_none());
            let mut pending: Vec<Revocation> =
                pending.map(|row| row.revocation.clone()).filter(|r| r.issuer == *issuer).collect();
            pending.sort_by_key(|revocation| revocation.at);
            pending.truncate(limit as usize);
            (pending, state.head().1)
        })
    }

    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
        position: JournalPosition,
    ) -> StoreResult<()> {
        self.commit("mark_journaled", |state| {
            for serial in serials {
                if let Some(row) = state.revocations.get_mut(&(issuer.clone(), serial.clone())) {
                    row.position.get_or_insert(position);
                }
            }
            Ok(())
        })
    }

    async fn revoked(&self, issuer: &IssuerId, now: Timestamp) -> StoreResult<Vec<Revocation>> {
        self.query("revoked", |state| state.unexpired(issuer, now).cloned().collect())
    }

    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus> {
        self.query("status", |state| {
            if let Some(row) = state.revocations.get(&(issuer.clone(), serial.clone())) {
                return LedgerStatus::Revoked(row.revocation.clone());
            }
            match state.certificate(issuer, serial).map(|row| &row.record.state) {
                Some(CertificateState::Issued { .. }) => LedgerStatus::Good,
                _ => LedgerStatus::Unknown,
            }
        })
    }

    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<u64> {
        self.commit("next_crl_number", |state| {
            let row = state.crls.entry(issuer.clone()).or_default();
            row.number += 1;
            Ok(row.number)
        })
    }

    async fn publish_crl(&self, issuer: &IssuerId, crl: &PublishedCrl, audit: AuditEvent) -> StoreResult<()> {
        self.commit("publish_crl", |state| {
            let row = state.crls.entry(issuer.clone()).or_default();
            if row.current.as_ref().is_some_and(|current| current.number >= crl.number) {
                return Err(conflict(Conflict::CrlNumber));
            }
            row.number = row.number.max(crl.number);
            row.current = Some(crl.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn current_crl(&self, issuer: &IssuerId) -> StoreResult<Option<PublishedCrl>> {
        self.query("current_crl", |state| state.crls.get(issuer).and_then(|row| row.current.clone()))
    }

    async fn revoked_since_crl(&self, issuer: &IssuerId) -> StoreResult<u64> {
        self.query("revoked_since_crl", |state| {
            let current = state.crls.get(issuer).and_then(|row| row.current.as_ref());
            let cutoff = current.map_or(Timestamp::MIN, |crl| crl.this_update);
            let known = current.map_or(0, |crl| crl.entries);
            (state.unexpired(issuer, cutoff).count() as u64).saturating_sub(known)
        })
    }
}

impl State {
    /// notAfter of whatever can be revoked under this number: a certificate, an intent, an orphan.
    fn revocable_until(&self, issuer: &IssuerId, serial: &SerialNumber) -> Option<Timestamp> {
        let certificate = self.certificate(issuer, serial).map(|row| &row.record);
        let orphan = self.orphans.iter().find(|o| o.issuer == *issuer && o.serial == *serial);
        certificate
            .filter(|record| record.state != CertificateState::Abandoned)
            .map(|record| record.not_after)
            .or(orphan.map(|orphan| orphan.not_after))
    }

    fn unexpired(&self, issuer: &IssuerId, now: Timestamp) -> impl Iterator<Item = &Revocation> {
        let rows = self.revocations.values().map(|row| &row.revocation);
        rows.filter(move |revocation| revocation.issuer == *issuer && revocation.not_after >= now)
    }
}
