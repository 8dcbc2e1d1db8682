//! What is done about each entry of the journal, and about intents that stayed open. All of it is idempotent.

use ca_x509::signed::{self, Signed};
use der::Decode;
use jiff::Timestamp;
use x509_cert::certificate::TbsCertificate;

use super::{Reconcile, Reconciled};
use crate::{
    app::{
        failure::Failure,
        trail::{Details, event},
    },
    domain::{
        audit::{Actor, AuditEvent},
        certificate::{CertificateRecord, CertificateState},
        ids::{SerialNumber, SignerName},
        issuance,
        revocation::Revocation,
    },
    ports::{
        signer::{JournalBody, JournalEntry, JournalPosition, Journaled},
        store::{Conflict, LedgerStatus, Orphan, StoreError},
    },
};

/// Whether a journal entry is seen on the walk, once, or for an intent that is still open, at every run: only the
/// first writes an alarm into the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    First,
    Again,
}

impl Reconcile {
    /// Takes over what an entry says and the ledger may not have.
    pub(super) async fn settle_entry(
        &self,
        entry: &JournalEntry,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        match &entry.body {
            JournalBody::Certificate(journaled) => self.settle(journaled.clone(), Sight::First, report).await,
            JournalBody::Revocation(revocation) => self.restore(revocation, entry.position, report).await,
            // Their numbers are taken over page by page.
            JournalBody::Crl(_) | JournalBody::Foreign => Ok(()),
        }
    }

    /// Nothing that was ever acknowledged as revoked is anything else, whatever the ledger has forgotten.
    async fn restore(
        &self,
        revocation: &Revocation,
        position: JournalPosition,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let status = self.revocations.status(&revocation.issuer, &revocation.serial).await?;
        if let LedgerStatus::Revoked(standing) = status {
            return self.predate(revocation, &standing, position, report).await;
        }
        let row = self
            .row("revocation.restored", &revocation.serial)
            .with("revoked_at", revocation.at)
            .with("reason", revocation.reason.as_str())
            .with("journal_sequence", position.sequence);
        if self.revocations.restore_revocation(revocation, row).await? {
            report.restored.push(revocation.serial.clone());
            return Ok(());
        }
        // Revoked meanwhile.
        match self.revocations.status(&revocation.issuer, &revocation.serial).await? {
            LedgerStatus::Revoked(standing) => self.predate(revocation, &standing, position, report).await,
            LedgerStatus::Good | LedgerStatus::Unknown => Ok(()),
        }
    }

    /// Somebody revoked again what the ledger had forgotten. The signer signs no CRL and no answer with the later time, and
    /// what was said before stands.
    async fn predate(
        &self,
        journaled: &Revocation,
        standing: &Revocation,
        position: JournalPosition,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        if standing.at <= journaled.at {
            return Ok(());
        }
        let (issuer, serial) = (&journaled.issuer, &journaled.serial);
        let row = self
            .row("revocation.predated", serial)
            .with("revoked_at", journaled.at)
            .with("instead_of", standing.at)
            .with("journal_sequence", position.sequence);
        if self.revocations.predate_revocation(issuer, serial, journaled.at, row).await? {
            report.predated.push(serial.clone());
        }
        Ok(())
    }

    pub(super) async fn settle_open_intents(&self, report: &mut Reconciled) -> Result<(), Failure> {
        let now = self.clock.now();
        let issuer = self.issuer.id();
        let name = self.signer.name(issuer)?;
        let before = now.checked_sub(self.terms.ask_after).map_err(Failure::defect)?;
        for record in self.certificates.open_intents(issuer, &name, before).await? {
            if let Some(journaled) = self.signer.recorded(issuer, record.intent).await? {
                self.settle(journaled, Sight::Again, report).await?;
            } else if now.duration_since(record.not_before) >= self.terms.abandon_after {
                self.abandon(&record, now, report).await?;
            }
        }
        Ok(())
    }

    async fn settle(
        &self,
        journaled: Journaled,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let record = self.certificates.certificate_of_intent(journaled.intent).await?;
        match record.filter(|record| record.tbs == journaled.tbs) {
            Some(record) => match record.state {
                CertificateState::Issued { .. } | CertificateState::Revoked { der: Some(_), .. } => Ok(()),
                CertificateState::Intended | CertificateState::Revoked { der: None, .. } => {
                    self.adopt(&record, journaled, sight, report).await
                }
                CertificateState::Abandoned => self.keep_orphan(journaled, sight, report).await,
            },
            None => self.settle_renewal(journaled, sight, report).await,
        }
    }

    async fn adopt(
        &self,
        record: &CertificateRecord,
        journaled: Journaled,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let Some(der) = self.adopted(record, &journaled) else {
            return self.alarm(&journaled, "journal.signature-wrong", sight, report).await;
        };
        let position = journaled.signature.position;
        let row = self
            .row("certificate.adopted", &record.serial)
            .with("enrolment", record.intent)
            .with("user", &record.user)
            .with("journal_sequence", position.sequence);
        let (issuer, serial) = (&record.issuer, &record.serial);
        match self.certificates.record_issued(issuer, serial, &der, position, row.at, row).await {
            Ok(_) => {
                report.adopted.push(record.serial.clone());
                Ok(())
            }
            // Given up meanwhile: the walk doesn't come by here again, so it is an orphan now.
            Err(StoreError::Conflict(Conflict::Missing)) => self.keep_orphan(journaled, sight, report).await,
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn keep_orphan(
        &self,
        journaled: Journaled,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let name = self.signer.name(self.issuer.id())?;
        let Some(orphan) = self.orphan(&journaled, name) else {
            return self.alarm(&journaled, "journal.unreadable", sight, report).await;
        };
        let row = self
            .row("journal.orphan-found", &orphan.serial)
            .with("enrolment", orphan.intent)
            .with("journal_sequence", orphan.position.sequence);
        if self.certificates.record_orphan(&orphan, row).await? {
            tracing::error!(serial = %orphan.serial, intent = %orphan.intent,
                "the signer's journal holds a certificate that the ledger doesn't know");
            report.orphans.push(orphan.serial);
        }
        Ok(())
    }

    async fn abandon(
        &self,
        record: &CertificateRecord,
        now: Timestamp,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let row = event(now, Actor::System, "certificate.intent-abandoned", &record.serial)
            .with("issuer", &record.issuer)
            .with("enrolment", record.intent)
            .with("user", &record.user);
        match self.certificates.abandon_intent(record.intent, row).await {
            Ok(()) => {
                report.abandoned.push(record.serial.clone());
                Ok(())
            }
            Err(StoreError::Conflict(Conflict::Missing)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn alarm(
        &self,
        journaled: &Journaled,
        action: &'static str,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let sequence = journaled.signature.position.sequence;
        tracing::error!(intent = %journaled.intent, sequence, action, "the signer's journal needs looking into");
        report.unreadable += 1;
        if sight == Sight::Again {
            return Ok(());
        }
        let row = self.row(action, journaled.intent).with("journal_sequence", sequence);
        Ok(self.audit.append(row).await?)
    }

    /// The certificate for an intent, by the issuance's own steps.
    fn adopted(&self, record: &CertificateRecord, journaled: &Journaled) -> Option<Vec<u8>> {
        let (tbs, signature) = (&journaled.tbs, journaled.signature.clone());
        let signed = issuance::Signed::adopted(record.clone(), tbs, signature).ok()?;
        Some(signed.verify(&self.issuer).ok()?.der().to_vec())
    }

    /// The certificate, when its signature is the issuer's.
    fn assembled(&self, journaled: &Journaled) -> Option<Vec<u8>> {
        let signature = &journaled.signature.signature;
        let der = signed::assemble(&journaled.tbs, self.issuer.algorithm(), signature).ok()?;
        Signed::parse(&der).ok()?.verify(self.issuer.public_key()).ok()?;
        Some(der)
    }

    fn orphan(&self, journaled: &Journaled, signer: SignerName) -> Option<Orphan> {
        let tbs = TbsCertificate::from_der(&journaled.tbs).ok()?;
        Some(Orphan {
            issuer: self.issuer.id().clone(),
            signer,
            intent: journaled.intent,
            serial: SerialNumber::from_bytes(tbs.serial_number().as_bytes()).ok()?,
            not_after: ca_x509::time::from_x509(&tbs.validity().not_after).ok()?,
            der: self.assembled(journaled)?,
            position: journaled.signature.position,
        })
    }

    pub(super) fn row(&self, action: &'static str, subject: impl std::fmt::Display) -> AuditEvent {
        event(self.clock.now(), Actor::System, action, subject).with("issuer", self.issuer.id())
    }
}
