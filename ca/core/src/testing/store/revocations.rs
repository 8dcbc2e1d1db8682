//! Revocations and CRLs in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, RevocationRow, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateState,
        ids::{IssuerId, SerialNumber, SignerName, UserId},
        mail::MailKind,
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        signer::JournalPosition,
        store::{
            Conflict, LedgerStatus, NextCrl, PublishedCrl, RevocationStore, RevokeOutcome, StoreResult,
            Unjournaled,
        },
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
        self.commit("revoke", |state| Ok(state.revoke(issuer, serial, reason, at, &audit)))
    }

    async fn restore_revocation(&self, revocation: &Revocation, audit: AuditEvent) -> StoreResult<bool> {
        self.commit("restore_revocation", |state| {
            let key = (revocation.issuer.clone(), revocation.serial.clone());
            if state.revocations.contains_key(&key) {
                return Ok(false);
            }
            state.enter_revocation(revocation);
            state.append(&audit);
            Ok(true)
        })
    }

    async fn predate_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        self.commit("predate_revocation", |state| {
            let row = state.revocations.get_mut(&(issuer.clone(), serial.clone()));
            let revocation = &mut row.ok_or(conflict(Conflict::Missing))?.revocation;
            if revocation.at <= at {
                return Ok(false);
            }
            revocation.at = at;
            let revocation = revocation.clone();
            state.reach(&revocation);
            if let Some(row) = state.crls.get_mut(issuer) {
                row.outdated_to = row.number;
            }
            state.append(&audit);
            Ok(true)
        })
    }

    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        limit: u32,
    ) -> StoreResult<Unjournaled> {
        self.query("unjournaled_revocations", |state| {
            let known = state.signers.get(&(issuer.clone(), signer.clone())).map_or(0, |s| s.revocations_to);
            let rows = state.revocations.values().filter(|row| row.revocation.issuer == *issuer);
            let mut revocations: Vec<(u64, Revocation)> = rows
                .filter(|row| row.number > known)
                .map(|row| (row.number, row.revocation.clone()))
                .collect();
            revocations.sort_by_key(|(number, _)| *number);
            revocations.truncate(limit as usize);
            Unjournaled { revocations, audit: state.head() }
        })
    }

    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        (up_to, entry): (u64, JournalPosition),
    ) -> StoreResult<()> {
        self.commit("mark_journaled", |state| {
            let name = (issuer.clone(), signer.clone());
            let record = state.signers.get_mut(&name).filter(|record| record.revocations_to < up_to);
            if let Some(record) = record {
                record.revocations_to = up_to;
                let known = state.journaled.entry(name).or_insert(entry);
                if known.sequence < entry.sequence {
                    *known = entry;
                }
            }
            Ok(())
        })
    }

    async fn revoked(&self, issuer: &IssuerId, from: Timestamp, head: u64) -> StoreResult<Vec<Revocation>> {
        self.query("revoked", |state| {
            let rows = state.listed(issuer, from).filter(|row| row.number <= head);
            rows.map(|row| row.revocation.clone()).collect()
        })
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

    async fn revocation_head(&self) -> StoreResult<u64> {
        self.query("revocation_head", State::revocation_head)
    }

    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<NextCrl> {
        self.commit("next_crl_number", |state| {
            let head = state.revocation_head();
            let row = state.crls.entry(issuer.clone()).or_default();
            row.number += 1;
            Ok(NextCrl { number: row.number, head })
        })
    }

    async fn raise_crl_number(&self, issuer: &IssuerId, number: u64) -> StoreResult<()> {
        self.commit("raise_crl_number", |state| {
            let row = state.crls.entry(issuer.clone()).or_default();
            if row.number < number {
                (row.number, row.outdated_to) = (number, number);
            }
            Ok(())
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
            let cutoff = current.map_or(Timestamp::MIN, |crl| crl.listed_from);
            let known = current.map_or(0, |crl| crl.entries);
            let outdated = state.crls.get(issuer).map_or(0, |row| row.outdated_to);
            let is_outdated = current.is_some_and(|crl| crl.number <= outdated);
            (state.listed(issuer, cutoff).count() as u64).saturating_sub(known) + u64::from(is_outdated)
        })
    }
}

impl State {
    /// Revokes, and a renewal that nobody confirmed with it.
    pub(super) fn revoke(
        &mut self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: &AuditEvent,
    ) -> RevokeOutcome {
        if let Some(standing) = self.revocations.get(&(issuer.clone(), serial.clone())) {
            return RevokeOutcome::Already(standing.revocation.clone());
        }
        let Some(not_after) = self.revocable_until(issuer, serial) else {
            return RevokeOutcome::Unknown;
        };
        let revocation = Revocation { issuer: issuer.clone(), serial: serial.clone(), at, reason, not_after };
        self.enter_revocation(&revocation);
        self.fall_with(&revocation);
        self.append(audit);
        RevokeOutcome::Revoked(revocation)
    }

    /// notAfter of whatever can be revoked under this number: a certificate, an intent, an orphan, a responder's certificate.
    fn revocable_until(&self, issuer: &IssuerId, serial: &SerialNumber) -> Option<Timestamp> {
        let certificate = self.certificate(issuer, serial).map(|row| &row.record);
        let orphan = self.orphans.iter().find(|o| o.issuer == *issuer && o.serial == *serial);
        certificate
            .filter(|record| record.state != CertificateState::Abandoned)
            .map(|record| record.not_after)
            .or(orphan.map(|orphan| orphan.not_after))
            .or(self.responder_revocable_until(issuer, serial))
    }

    /// The certificate says of itself since when it is revoked.
    fn reach(&mut self, revocation: &Revocation) {
        if let Some(row) = self.certificate_mut(&revocation.issuer, &revocation.serial)
            && row.record.state != CertificateState::Abandoned
        {
            let der = row.record.der().map(<[u8]>::to_vec);
            row.record.state =
                CertificateState::Revoked { der, at: revocation.at, reason: revocation.reason };
        }
        self.revoke_responder(revocation);
    }

    pub(super) fn enter_revocation(&mut self, revocation: &Revocation) {
        let (issuer, serial) = (revocation.issuer.clone(), revocation.serial.clone());
        let told = self
            .certificate(&issuer, &serial)
            .map(|row| &row.record)
            .filter(|record| record.state != CertificateState::Abandoned && record.der().is_some())
            .filter(|record| !record.is_unconfirmed_renewal())
            .map(|record| record.user.clone());
        self.reach(revocation);
        let replaced = |user: &UserId| {
            let mut others = self.certificates.iter().map(|row| &row.record);
            revocation.reason == RevocationReason::Superseded
                && others.any(|r| r.user == *user && matches!(r.state, CertificateState::Issued { .. }))
        };
        if let Some(user) = told.filter(|user| !replaced(user)) {
            self.enqueue(MailKind::Revoked, &user, Some((&issuer, &serial)), revocation.at);
        }
        let number = self.revocation_head() + 1;
        self.revocations.insert((issuer, serial), RevocationRow { number, revocation: revocation.clone() });
    }

    fn revocation_head(&self) -> u64 {
        self.revocations.values().map(|row| row.number).max().unwrap_or_default()
    }

    fn listed(&self, issuer: &IssuerId, from: Timestamp) -> impl Iterator<Item = &RevocationRow> {
        let rows = self.revocations.values();
        rows.filter(move |row| row.revocation.issuer == *issuer && row.revocation.not_after >= from)
    }
}
