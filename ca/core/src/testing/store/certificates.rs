//! Certificates in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, State, conflict, is_living, locked};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        enrolment::Enrolment,
        ids::{EnrolmentId, IdempotencyKey, IssuerId, SerialNumber, SignerName, UserId},
        mail::MailKind,
        policy::Applicant,
        user::User,
    },
    ports::{
        signer::JournalPosition,
        store::{
            Application, CertificateStore, Conflict, FreshChallenge, IntentReceipt, IssuedReceipt, Orphan,
            StoreResult, StoredEvidence,
        },
    },
};

#[async_trait]
impl CertificateStore for MemoryStore {
    async fn open_enrolment(
        &self,
        enrolment: &Enrolment,
        code: Option<[u8; 32]>,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment> {
        self.commit("open_enrolment", |state| state.open_enrolment(enrolment, code, &audit))
    }

    async fn enrolment(&self, id: EnrolmentId) -> StoreResult<Option<Enrolment>> {
        self.query("enrolment", |state| state.enrolments.get(&id).cloned())
    }

    async fn enrolment_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Enrolment>> {
        self.query("enrolment_by_key", |state| {
            state.enrolments.values().find(|e| e.idempotency_key == *key).cloned()
        })
    }

    async fn renew_challenge(
        &self,
        id: EnrolmentId,
        seen: &[u8; 32],
        fresh: &FreshChallenge,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment> {
        self.commit("renew_challenge", |state| state.renew_challenge(id, seen, fresh, &audit))
    }

    async fn refuse_enrolment(
        &self,
        id: EnrolmentId,
        code: &str,
        detail: &str,
        evidence: Option<&StoredEvidence>,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("refuse_enrolment", |state| state.refuse_enrolment(id, (code, detail), evidence, &audit))
    }

    async fn record_intent(
        &self,
        certificate: &CertificateRecord,
        evidence: &StoredEvidence,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt> {
        self.commit("record_intent", |state| state.record_intent(certificate, evidence, &audit))
    }

    async fn record_issued(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<IssuedReceipt> {
        self.commit("record_issued", |state| {
            let row = state.certificate_mut(issuer, serial).ok_or(conflict(Conflict::Missing))?;
            let is_revoked = matches!(row.record.state, CertificateState::Revoked { .. });
            match &mut row.record.state {
                CertificateState::Intended => {
                    row.record.state = CertificateState::Issued { der: der.to_vec(), at, confirmed_at: None };
                }
                CertificateState::Revoked { der: missing @ None, .. } => *missing = Some(der.to_vec()),
                CertificateState::Issued { der: known, .. }
                | CertificateState::Revoked { der: Some(known), .. }
                    if known == der =>
                {
                    return Ok(IssuedReceipt { audit_head: state.head(), is_revoked });
                }
                CertificateState::Issued { .. }
                | CertificateState::Revoked { .. }
                | CertificateState::Abandoned => return Err(conflict(Conflict::Missing)),
            }
            row.position = Some(position);
            if !is_revoked && row.record.renews.is_none() {
                let user = row.record.user.clone();
                state.enqueue(MailKind::Issued, &user, Some((issuer, serial)), at);
            }
            Ok(IssuedReceipt { audit_head: state.append(&audit), is_revoked })
        })
    }

    async fn abandon_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("abandon_intent", |state| {
            let row = state
                .certificates
                .iter_mut()
                .find(|row| row.record.intent == intent && row.record.state == CertificateState::Intended)
                .ok_or(conflict(Conflict::Missing))?;
            row.record.state = CertificateState::Abandoned;
            state.append(&audit);
            Ok(())
        })
    }

    async fn open_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        before: Timestamp,
    ) -> StoreResult<Vec<CertificateRecord>> {
        self.query("open_intents", |state| {
            let records = state.certificates.iter().map(|row| &row.record);
            let open = records.filter(|r| r.state == CertificateState::Intended && r.issuer == *issuer);
            open.filter(|r| r.signer == *signer && r.not_before < before).cloned().collect()
        })
    }

    async fn record_orphan(&self, orphan: &Orphan, audit: AuditEvent) -> StoreResult<bool> {
        self.commit("record_orphan", |state| {
            if state.orphans.iter().any(|o| o.issuer == orphan.issuer && o.serial == orphan.serial) {
                return Ok(false);
            }
            state.orphans.push(orphan.clone());
            state.append(&audit);
            Ok(true)
        })
    }

    async fn orphans(&self, issuer: &IssuerId) -> StoreResult<Vec<Orphan>> {
        self.query("orphans", |state| {
            let mut orphans: Vec<Orphan> =
                state.orphans.iter().filter(|o| o.issuer == *issuer).cloned().collect();
            orphans.sort_by_key(|orphan| orphan.position.sequence);
            orphans
        })
    }

    async fn confirm(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("confirm", |state| {
            if state.confirm(issuer, serial, at)? {
                state.append(&audit);
            }
            Ok(())
        })
    }

    async fn unconfirmed_renewals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>> {
        self.query("unconfirmed_renewals", |state| {
            let records = state.certificates.iter().map(|row| &row.record);
            let renewals = records.filter(|r| r.is_unconfirmed_renewal() && r.not_before < before);
            let mut renewals: Vec<CertificateRecord> = renewals.cloned().collect();
            renewals.sort_by_key(|renewal| renewal.not_before);
            renewals.truncate(limit as usize);
            renewals
        })
    }

    async fn lapse_renewal(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        self.commit("lapse_renewal", |state| {
            let lapses = state.lapse(issuer, serial, at);
            if lapses {
                state.append(&audit);
            }
            Ok(lapses)
        })
    }

    async fn certificate(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<CertificateRecord>> {
        self.query("certificate", |state| state.certificate(issuer, serial).map(|row| row.record.clone()))
    }

    async fn certificate_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<CertificateRecord>> {
        self.query("certificate_of_intent", |state| {
            state.certificates.iter().map(|row| &row.record).find(|r| r.intent == intent).cloned()
        })
    }

    async fn certificates_of(&self, user: &UserId) -> StoreResult<Vec<CertificateRecord>> {
        self.query("certificates_of", |state| {
            let newest_first = state.certificates.iter().rev().map(|row| &row.record);
            newest_first.filter(|record| record.user == *user).cloned().collect()
        })
    }

    async fn applicant(&self, user: &UserId) -> StoreResult<Option<Applicant>> {
        self.query("applicant", |state| self.applicant_in(state, user))
    }

    async fn application(&self, id: EnrolmentId) -> StoreResult<Option<Application>> {
        self.query("application", |state| {
            let enrolment = state.enrolments.get(&id)?.clone();
            let applicant = self.applicant_in(state, &enrolment.user)?;
            Some(Application { enrolment, applicant })
        })
    }

    async fn certificates(
        &self,
        issuer: &IssuerId,
        after: Option<&SerialNumber>,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>> {
        self.query("certificates", |state| {
            let of_issuer: Vec<&CertificateRecord> =
                state.certificates.iter().map(|row| &row.record).filter(|r| r.issuer == *issuer).collect();
            let start = after
                .map(|after| {
                    of_issuer.iter().position(|r| r.serial == *after).map_or(of_issuer.len(), |i| i + 1)
                })
                .unwrap_or_default();
            of_issuer[start..].iter().take(limit as usize).map(|&record| record.clone()).collect()
        })
    }

    async fn evidence(&self, id: EnrolmentId) -> StoreResult<Option<StoredEvidence>> {
        self.query("evidence", |state| state.evidence.get(&id).cloned())
    }
}

impl MemoryStore {
    fn applicant_in(&self, state: &State, user: &UserId) -> Option<Applicant> {
        if let Some(stale) = locked(&self.stale_applicant).take() {
            return Some(stale);
        }
        let own = &state.users.get(user)?.user;
        let newest_first = state.certificates.iter().rev().map(|row| &row.record);
        Some(Applicant {
            user: own.clone(),
            contract: state.contracts.get(&own.contract)?.clone(),
            certificates: newest_first.filter(|record| record.user == own.id).cloned().collect(),
            other_holders: state.other_holders(own),
        })
    }
}

impl State {
    fn other_holders(&self, own: &User) -> usize {
        let is_peer =
            |other: &User| other.id != own.id && other.contract == own.contract && other.role == own.role;
        let living = self.certificates.iter().map(|row| &row.record).filter(|r| is_living(&r.state));
        let holders: BTreeSet<&UserId> = living
            .filter(|r| self.users.get(&r.user).is_some_and(|row| is_peer(&row.user)))
            .map(|r| &r.user)
            .collect();
        holders.len()
    }
}
