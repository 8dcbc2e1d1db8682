//! Looks at ledger and signers now and then, so that a scrape need not: refreshes their gauges, and follows the audit
//! trail row by row with the verifier. Changes nothing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::{
    app::audit_verify::{AuditVerifyError, VerifyAudit},
    domain::{audit::AuditPosition, ids::IssuerId},
    ports::{
        census::LedgerCensus,
        clock::Clock,
        outbox::OutboxStore,
        signer::Signer,
        store::{RevocationStore, SignerStore},
    },
};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use crate::{http::validation::Validation, logging::chain, metrics::Metrics, readiness::Readiness};

/// Gauges are so old at the most.
const PERIOD: Duration = Duration::from_secs(15);
/// What reads much of a large ledger.
const RARE: Duration = Duration::from_hours(1);
/// Between two pages of the trail: verifying a long one must not be felt.
const BREATH: Duration = Duration::from_millis(100);
/// Notices of expiry go out so many days before.
const NEAR: [(&str, i64); 2] = [("10d", 10), ("40d", 40)];

/// The job.
pub(crate) struct Observe {
    pub(crate) census: Arc<dyn LedgerCensus>,
    pub(crate) revocations: Arc<dyn RevocationStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) signers: Arc<dyn SignerStore>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) audit: VerifyAudit,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) validation: Arc<Validation>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) issuers: Vec<IssuerId>,
    /// A file on the disk that the ledger fills, where it has one here.
    pub(crate) database: Option<PathBuf>,
}

impl Observe {
    /// Refreshes the gauges for ever.
    pub(super) async fn refresh(self: Arc<Self>) {
        let mut counted: Option<Instant> = None;
        loop {
            self.readiness.look().await;
            self.look().await;
            if counted.is_none_or(|at| at.elapsed() >= RARE) {
                self.count_expiring().await;
                counted = Some(Instant::now());
            }
            sleep(PERIOD).await;
        }
    }

    async fn look(&self) {
        for issuer in &self.issuers {
            self.note(issuer, "unfinished business", self.unfinished(issuer).await);
            self.note(issuer, "the current CRL", self.crl(issuer).await);
            self.note(issuer, "the reconciliation", self.reconciliation(issuer).await);
        }
        match self.outbox.mail_backlog().await {
            Ok(backlog) => self.metrics.mail.backlog(&backlog),
            Err(error) => self.blind("the mail backlog", &error),
        }
        self.metrics.node.root_crl(self.validation.crls.root_next_update());
        if let Some(Ok(disk)) = self.database.as_ref().map(rustix::fs::statvfs) {
            let octets = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            self.metrics.ledger.disk(octets(disk.f_bavail), octets(disk.f_blocks));
        }
        self.metrics.node.refreshed(self.clock.now());
    }

    /// A look that fails is counted; the gauge keeps its value, and readiness has the alarm.
    fn note(&self, issuer: &IssuerId, what: &str, looked: anyhow::Result<()>) {
        if let Err(error) = looked {
            self.metrics.node.refresh_failed();
            tracing::warn!(%issuer, what, error = format!("{error:#}"), "a gauge can't be refreshed");
        }
    }

    fn blind(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        self.metrics.node.refresh_failed();
        tracing::warn!(what, error = chain(error), "a gauge can't be refreshed");
    }

    async fn unfinished(&self, issuer: &IssuerId) -> anyhow::Result<()> {
        let unfinished = self.census.unfinished(issuer).await?;
        self.metrics.ledger.unfinished(issuer.as_str(), &unfinished, self.clock.now());
        Ok(())
    }

    async fn crl(&self, issuer: &IssuerId) -> anyhow::Result<()> {
        let Some(crl) = self.census.crl(issuer).await? else { return Ok(()) };
        let missing = self.revocations.revoked_since_crl(issuer).await?;
        self.metrics.ledger.crl(issuer.as_str(), &crl, missing);
        self.metrics.crl(issuer.as_str(), &crl);
        Ok(())
    }

    async fn reconciliation(&self, issuer: &IssuerId) -> anyhow::Result<()> {
        let journal = self.signer.journal(issuer).await?;
        let name = self.signer.name(issuer)?;
        let signers = self.signers.signers(issuer).await?;
        let known = signers.into_iter().find(|signer| signer.name == name);
        let reached = known.and_then(|signer| signer.reconciled).map_or(0, |position| position.sequence);
        let end = journal.last.map_or(0, |position| position.sequence);
        self.metrics.signer.reconciled(issuer.as_str(), reached, end);
        Ok(())
    }

    async fn count_expiring(&self) {
        let now = self.clock.now();
        for issuer in &self.issuers {
            for (within, days) in NEAR {
                let until = now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
                match self.census.expiring(issuer, now, until).await {
                    Ok(count) => self.metrics.ledger.expiring(issuer.as_str(), within, count),
                    Err(error) => self.note(issuer, "expiring certificates", Err(error.into())),
                }
            }
        }
    }

    /// Verifies the audit trail from its begin and then follows it for ever.
    pub(super) async fn verify_audit(self: Arc<Self>) {
        let (mut reached, mut broken) = (AuditPosition::GENESIS, false);
        loop {
            let further = match self.audit.further(reached).await {
                Ok(further) => further,
                Err(AuditVerifyError::Broken(found)) => {
                    if !broken {
                        tracing::error!(error = %found, "ALARM: the audit trail is broken");
                    }
                    broken = true;
                    reached
                }
                Err(error @ AuditVerifyError::Failure(_)) => {
                    tracing::warn!(error = chain(&error), "the audit trail can't be read");
                    reached
                }
            };
            let at_end = further == reached;
            reached = further;
            if let Ok(head) = self.audit.audit.head().await {
                self.metrics.ledger.audit(head.sequence, reached.sequence, broken);
            }
            sleep(if at_end { PERIOD } else { BREATH }).await;
        }
    }
}
