//! The rules of enrolments and intents in memory.

use jiff::Timestamp;

use crate::{
    domain::{
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        enrolment::{Binding, Enrolment, EnrolmentState},
        ids::{EnrolmentId, IssuerId, SerialNumber},
        mail::MailKind,
        renewal::has_lapsed,
        revocation::{Revocation, RevocationReason, whole_second},
        user::UserState,
    },
    ports::store::{Conflict, FreshChallenge, IntentReceipt, StoreResult, StoredEvidence},
};

use super::{CertificateRow, State, conflict, is_living};

impl State {
    pub(super) fn open_enrolment(
        &mut self,
        enrolment: &Enrolment,
        code: Option<[u8; 32]>,
        audit: &AuditEvent,
    ) -> StoreResult<Enrolment> {
        let key = &enrolment.idempotency_key;
        if let Some(first) = self.enrolments.values().find(|e| e.idempotency_key == *key) {
            return if first.user == enrolment.user {
                Ok(first.clone())
            } else {
                Err(conflict(Conflict::Taken))
            };
        }
        let row = self.users.get_mut(&enrolment.user).ok_or(conflict(Conflict::Missing))?;
        if row.user.state != UserState::Active || enrolment.state != EnrolmentState::Challenged {
            return Err(conflict(Conflict::Missing));
        }
        if code.is_none() && enrolment.binding == Binding::AcquisitionCode {
            return Err(conflict(Conflict::Code));
        }
        if let Some(sha256) = code {
            let live = row.code.as_ref().is_some_and(|code| {
                code.sha256 == sha256 && code.attempts_left > 0 && enrolment.opened_at < code.expires_at
            });
            if !live {
                return Err(conflict(Conflict::Code));
            }
            row.code = None;
        }
        self.enrolments.insert(enrolment.id, enrolment.clone());
        self.append(audit);
        Ok(enrolment.clone())
    }

    pub(super) fn renew_challenge(
        &mut self,
        id: EnrolmentId,
        seen: &[u8; 32],
        fresh: &FreshChallenge,
        audit: &AuditEvent,
    ) -> StoreResult<Enrolment> {
        let enrolment = self.enrolments.get_mut(&id).ok_or(conflict(Conflict::Missing))?;
        if enrolment.challenge != *seen {
            return Ok(enrolment.clone());
        }
        enrolment.challenge = fresh.challenge;
        enrolment.bearer_sha256 = fresh.bearer_sha256;
        enrolment.expires_at = fresh.expires_at;
        let renewed = enrolment.clone();
        self.append(audit);
        Ok(renewed)
    }

    pub(super) fn refuse_enrolment(
        &mut self,
        id: EnrolmentId,
        (code, detail): (&str, &str),
        evidence: Option<&StoredEvidence>,
        audit: &AuditEvent,
    ) -> StoreResult<()> {
        let challenged = self.enrolments.get_mut(&id).filter(|e| e.state == EnrolmentState::Challenged);
        let enrolment = challenged.ok_or(conflict(Conflict::Missing))?;
        enrolment.state = EnrolmentState::Refused { code: code.to_owned(), detail: detail.to_owned() };
        if let Some(evidence) = evidence {
            self.evidence.insert(id, evidence.clone());
        }
        self.append(audit);
        Ok(())
    }

    pub(super) fn record_intent(
        &mut self,
        certificate: &CertificateRecord,
        evidence: &StoredEvidence,
        audit: &AuditEvent,
    ) -> StoreResult<IntentReceipt> {
        match self.enrolments.get(&certificate.intent).map(|enrolment| &enrolment.state) {
            Some(EnrolmentState::Certified { .. }) => return Err(conflict(Conflict::Taken)),
            Some(EnrolmentState::Refused { .. }) | None => return Err(conflict(Conflict::Missing)),
            Some(EnrolmentState::Challenged) => {}
        }
        let user = self.users.get(&certificate.user).map(|row| &row.user);
        if !user.is_some_and(|u| u.state == UserState::Active && u.contract == certificate.contract) {
            return Err(conflict(Conflict::Missing));
        }
        if certificate.renews.is_some() && !self.is_renewable(certificate) {
            return Err(conflict(Conflict::Missing));
        }
        let mut of_user =
            self.certificates.iter().map(|row| &row.record).filter(|r| r.user == certificate.user);
        let is_renewal = certificate.renews.is_some();
        if of_user.any(|r| is_living(&r.state) && r.is_unconfirmed_renewal() == is_renewal) {
            return Err(conflict(Conflict::OnePerUser));
        }
        let key_known = self.certificates.iter().any(|row| {
            row.record.public_key_sha256 == certificate.public_key_sha256
                && row.record.state != CertificateState::Abandoned
        });
        if key_known || self.device_serves_another(&certificate.device, &certificate.user) {
            return Err(conflict(Conflict::DeviceInUse));
        }
        if let Some(enrolment) = self.enrolments.get_mut(&certificate.intent) {
            enrolment.state = EnrolmentState::Certified { serial: certificate.serial.clone() };
        }
        self.evidence.insert(certificate.intent, evidence.clone());
        let record = CertificateRecord { state: CertificateState::Intended, ..certificate.clone() };
        self.certificates.push(CertificateRow { record, position: None });
        Ok(IntentReceipt { audit_head: self.append(audit) })
    }

    /// Whether what is to be renewed is the user's certificate on this token.
    fn is_renewable(&self, renewal: &CertificateRecord) -> bool {
        self.certificates.iter().map(|row| &row.record).any(|r| {
            Some(r.intent) == renewal.renews
                && (&r.user, &r.device) == (&renewal.user, &renewal.device)
                && matches!(r.state, CertificateState::Issued { .. })
                && !r.is_unconfirmed_renewal()
        })
    }

    /// Confirms a certificate; true when that is news. A renewal takes its predecessor's place.
    pub(super) fn confirm(
        &mut self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
    ) -> StoreResult<bool> {
        let row = self.certificate(issuer, serial).ok_or(conflict(Conflict::Missing))?;
        let (renews, user) = (row.record.renews, row.record.user.clone());
        match row.record.state {
            _ if has_lapsed(&row.record, at) => return Err(conflict(Conflict::Missing)),
            CertificateState::Issued { confirmed_at: None, .. } => {}
            CertificateState::Issued { .. } => return Ok(false),
            _ => return Err(conflict(Conflict::Missing)),
        }
        if let Some(intent) = renews {
            let records = self.certificates.iter().map(|row| &row.record);
            let mut standing = records.filter(|r| matches!(r.state, CertificateState::Issued { .. }));
            let predecessor = standing.find(|r| r.intent == intent).ok_or(conflict(Conflict::Missing))?;
            let revocation = Revocation {
                issuer: predecessor.issuer.clone(),
                serial: predecessor.serial.clone(),
                at: whole_second(at),
                reason: RevocationReason::Superseded,
                not_after: predecessor.not_after,
            };
            self.enter_revocation(&revocation);
            self.enqueue(MailKind::Renewed, &user, Some((issuer, serial)), at);
        }
        if let Some(row) = self.certificate_mut(issuer, serial)
            && let CertificateState::Issued { confirmed_at, .. } = &mut row.record.state
        {
            *confirmed_at = Some(at);
        }
        Ok(true)
    }

    /// Revokes a renewal that is still unconfirmed; true when it was.
    pub(super) fn lapse(&mut self, issuer: &IssuerId, serial: &SerialNumber, at: Timestamp) -> bool {
        let record = self.certificate(issuer, serial).map(|row| &row.record);
        let Some(renewal) = record.filter(|record| record.is_unconfirmed_renewal()) else { return false };
        let revocation = Revocation {
            issuer: issuer.clone(),
            serial: serial.clone(),
            at: whole_second(at),
            reason: RevocationReason::CessationOfOperation,
            not_after: renewal.not_after,
        };
        self.enter_revocation(&revocation);
        true
    }

    /// An unconfirmed renewal is revoked with its predecessor.
    pub(super) fn fall_with(&mut self, predecessor: &Revocation) {
        let revoked = self.certificate(&predecessor.issuer, &predecessor.serial).map(|row| row.record.intent);
        let records = self.certificates.iter().map(|row| &row.record);
        let fallen = records.filter(|r| r.is_unconfirmed_renewal() && r.renews == revoked);
        let fallen: Vec<Revocation> = fallen
            .map(|r| Revocation {
                issuer: r.issuer.clone(),
                serial: r.serial.clone(),
                not_after: r.not_after,
                ..predecessor.clone()
            })
            .collect();
        for revocation in &fallen {
            self.enter_revocation(revocation);
        }
    }
}
