//! Brings ledger and signer's journal together after crashes and faults.
//!
//! The journal is walked from where the last walk ended: a certificate that matches an intent is adopted into the
//! ledger, any other is an orphan, which is kept, alarmed and decided by people. Intents that stayed open are asked for
//! one by one, and given up once the signer can't sign them any more.

use std::sync::Arc;

use ca_x509::signed::{self, Signed};
use der::Decode;
use jiff::{SignedDuration, Timestamp};
use x509_cert::certificate::TbsCertificate;

use super::{
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditPosition},
        certificate::{CertificateRecord, CertificateState},
        ids::{SerialNumber, SignerName},
        issuance::Recorded,
        profile::Issuer,
    },
    ports::{
        clock::Clock,
        signer::{JournalBody, Journaled, Signer},
        store::{AuditStore, CertificateStore, Conflict, Orphan, SignerRecord, SignerStore, StoreError},
    },
};

const PAGE: u32 = 500;

/// When open intents are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileTerms {
    /// An intent this old is asked for; a younger one is probably being signed.
    pub ask_after: SignedDuration,
    /// An intent this old that was never signed is given up. Longer than the signer tolerates an old notBefore, which
    /// is 10 minutes: nothing can be signed for it afterwards.
    pub abandon_after: SignedDuration,
}

impl Default for ReconcileTerms {
    fn default() -> Self {
        Self { ask_after: SignedDuration::from_mins(1), abandon_after: SignedDuration::from_mins(15) }
    }
}

/// The use case.
pub struct Reconcile {
    /// The ledger.
    pub certificates: Arc<dyn CertificateStore>,
    /// How far journals and ledger agree.
    pub signers: Arc<dyn SignerStore>,
    /// Alarms.
    pub audit: Arc<dyn AuditStore>,
    /// The journal.
    pub signer: Arc<dyn Signer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose certificates.
    pub issuer: Arc<Issuer>,
    /// When open intents are looked after.
    pub terms: ReconcileTerms,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Certificates that were in the journal only, and are in the ledger now.
    pub adopted: Vec<SerialNumber>,
    /// Intents that were given up.
    pub abandoned: Vec<SerialNumber>,
    /// Certificates without a matching intent, found for the first time. Each is an alarm.
    pub orphans: Vec<SerialNumber>,
    /// Journal entries that can't be read or whose signature is wrong. Each is an alarm.
    pub unreadable: u64,
}

/// Whether a journal entry is seen on the walk, once, or for an intent that is still open, at every run: only the
/// first writes an alarm into the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    First,
    Again,
}

impl Reconcile {
    /// Walks the journal, then looks after open intents. Idempotent; a walk that fails is resumed by the next.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(&self) -> Result<Reconciled, Failure> {
        let mut report = Reconciled::default();
        self.walk_journal(&mut report).await?;
        self.settle_open_intents(&mut report).await?;
        Ok(report)
    }

    async fn walk_journal(&self, report: &mut Reconciled) -> Result<(), Failure> {
        let issuer = self.issuer.id();
        let name = self.signer.name(issuer)?;
        let mut reached = self.introduced(&name).await?.reconciled.map_or(0, |position| position.sequence);
        loop {
            let page = self.signer.journaled_after(issuer, reached, PAGE).await?;
            let Some(last) = page.last().map(|entry| entry.position) else { return Ok(()) };
            for entry in page {
                if let JournalBody::Certificate(journaled) = entry.body {
                    self.settle(journaled, Sight::First, report).await?;
                }
            }
            self.signers.set_reconciled(issuer, &name, last).await?;
            reached = last.sequence;
        }
    }

    async fn introduced(&self, name: &SignerName) -> Result<SignerRecord, Failure> {
        let head = self.signer.journal(self.issuer.id()).await?;
        let row = self.row("signer.introduced", name).with("journal", head.journal);
        Ok(self.signers.introduce_signer(self.issuer.id(), name, head.journal, row).await?)
    }

    async fn settle_open_intents(&self, report: &mut Reconciled) -> Result<(), Failure> {
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
            None => self.keep_orphan(journaled, sight, report).await,
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

    async fn keep_orphan(
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

    async fn alarm(
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

    /// The certificate for an intent: by the issuance's own steps, or for one that was revoked meanwhile, beside them.
    fn adopted(&self, record: &CertificateRecord, journaled: &Journaled) -> Option<Vec<u8>> {
        // The head went into the journal when it was signed; nothing is signed here.
        match Recorded::resumed(record.clone(), AuditPosition::GENESIS) {
            Some(recorded) => {
                let signed = recorded.adopted(&journaled.tbs, journaled.signature.clone()).ok()?;
                Some(signed.verify(&self.issuer).ok()?.der().to_vec())
            }
            None => self.assembled(journaled),
        }
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

    fn row(&self, action: &'static str, subject: impl std::fmt::Display) -> AuditEvent {
        event(self.clock.now(), Actor::System, action, subject).with("issuer", self.issuer.id())
    }
}
