//! Gathers everything that proves one certificate: what it was issued on, whom the authority believed, what the audit trail
//! and the signer's journal say. It changes nothing.

use std::sync::Arc;

use super::failure::{Failure, carries_failure};
use crate::{
    domain::{
        audit::{AuditPosition, AuditRow},
        certificate::CertificateRecord,
        enrolment::Enrolment,
        ids::{IssuerId, SerialNumber},
        policy::PolicyRecord,
    },
    ports::{
        books::LedgerBooks,
        policies::PolicyStore,
        signer::{JournalPosition, Journaled, Signer},
        store::{AuditStore, CertificateStore, StoredEvidence},
        trust::{TrustRecord, TrustStore},
    },
};

/// Audit rows that are read at a time.
const PAGE: u32 = 2000;

/// The use case.
pub struct ExportEvidence {
    /// Certificates, enrolments, evidence.
    pub certificates: Arc<dyn CertificateStore>,
    /// The audit trail.
    pub audit: Arc<dyn AuditStore>,
    /// Where certificates stand in journals.
    pub books: Arc<dyn LedgerBooks>,
    /// Policies.
    pub policies: Arc<dyn PolicyStore>,
    /// Trust bundles.
    pub trust: Arc<dyn TrustStore>,
    /// The journal.
    pub signer: Arc<dyn Signer>,
}

/// Everything about one certificate.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The certificate.
    pub record: CertificateRecord,
    /// How it was asked for.
    pub enrolment: Enrolment,
    /// What it was issued on.
    pub evidence: StoredEvidence,
    /// Whom the authority believed; `None` for files.
    pub trust: Option<TrustRecord>,
    /// The policy of that version; `None` for the bank's own, which stands in the configuration.
    pub policy: Option<PolicyRecord>,
    /// The rows of the audit trail that concern it, each with the hash of the row before.
    pub audit: Vec<([u8; 32], AuditRow)>,
    /// Its entry in the journal, where the signer could be asked.
    pub journaled: Option<Entry>,
}

/// An entry of the journal, and what the ledger says of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the journal holds.
    pub journaled: Journaled,
    /// The audit trail's row that the intent carried into the journal.
    pub audit: AuditPosition,
    /// Where the ledger has it.
    pub in_ledger: JournalPosition,
}

/// Why nothing was gathered.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// No such certificate.
    #[error("there is no certificate {0}")]
    Unknown(SerialNumber),
    /// It was never issued, or has no evidence.
    #[error(
        "the certificate {0} was never issued, isn't a user's, or ended longer ago than retention.evidence: there is no \
         evidence for it"
    )]
    NoEvidence(SerialNumber),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ExportError);

impl ExportEvidence {
    /// Gathers; `tell` hears how many rows of the audit trail were looked through, and how many there are.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn run(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        tell: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Gathered, ExportError> {
        let record = self.certificates.certificate(issuer, serial).await?;
        let record = record.ok_or_else(|| ExportError::Unknown(serial.clone()))?;
        let missing = || ExportError::NoEvidence(serial.clone());
        let evidence = self.certificates.evidence(record.intent).await?.ok_or_else(missing)?;
        let enrolment = self.certificates.enrolment(record.intent).await?.ok_or_else(missing)?;
        if record.der().is_none() {
            return Err(missing());
        }
        let journaled = self.journaled(&record).await?;
        let anchor = journaled.as_ref().map(|entry| entry.audit.sequence);
        let audit = self.rows(&record, anchor, tell).await?;
        let trust = match evidence.trust_version {
            0 => None,
            version => self.trust.trust(version).await?,
        };
        let versions = self.policies.policy_versions(&evidence.policy.name).await?;
        let policy = versions.into_iter().find(|known| known.id == evidence.policy);
        Ok(Gathered { record, enrolment, evidence, trust, policy, audit, journaled })
    }

    /// The signer may be another node's, or away: then the file says nothing of the journal.
    async fn journaled(&self, record: &CertificateRecord) -> Result<Option<Entry>, ExportError> {
        match self.entry(record).await {
            Err(Failure::Signer(error)) => {
                tracing::warn!(%error, "the signer can't be asked for the journal's entry: it will be missing");
                Ok(None)
            }
            entry => Ok(entry?),
        }
    }

    async fn entry(&self, record: &CertificateRecord) -> Result<Option<Entry>, Failure> {
        let issuer = &record.issuer;
        if self.signer.name(issuer)? != record.signer {
            return Ok(None);
        }
        let Some(journaled) = self.signer.recorded(issuer, record.intent).await? else { return Ok(None) };
        let sequence = journaled.signature.position.sequence;
        let entries = self.signer.journaled_after(issuer, sequence.saturating_sub(1), 1).await?;
        let entry = entries.into_iter().find(|entry| entry.position.sequence == sequence);
        let in_ledger = self.books.entered(issuer, &record.signer, sequence, sequence).await?;
        let in_ledger = in_ledger.into_iter().find(|entered| entered.intent == record.intent);
        let both = entry.zip(in_ledger);
        Ok(both.map(|(entry, entered)| Entry { journaled, audit: entry.audit, in_ledger: entered.position }))
    }

    /// Rows about the certificate or its enrolment, and the one that the journal's entry carries.
    async fn rows(
        &self,
        record: &CertificateRecord,
        anchor: Option<u64>,
        tell: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Vec<([u8; 32], AuditRow)>, ExportError> {
        let head = self.audit.head().await?.sequence;
        let (serial, intent) = (record.serial.to_string(), record.intent.to_string());
        let mut found = Vec::new();
        let mut previous = AuditPosition::GENESIS;
        while previous.sequence < head {
            let page = self.audit.rows_after(previous.sequence, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                let position = row.position();
                let concerns = [&serial, &intent].into_iter().any(|name| is_about(&row, name));
                if concerns || anchor == Some(row.sequence) {
                    found.push((previous.hash, row));
                }
                previous = position;
            }
            tell(previous.sequence, head);
        }
        Ok(found)
    }
}

fn is_about(row: &AuditRow, name: &str) -> bool {
    let mut values = row.details.lines().filter_map(|line| line.split_once('=').map(|(_, value)| value));
    row.subject == name || values.any(|value| value == name)
}
