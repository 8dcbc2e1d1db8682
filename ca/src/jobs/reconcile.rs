//! Brings the ledger and the signers' journals together: at the start, before anybody is answered, and then every minute.

use std::time::Duration;

use ca_core::app::{
    accord::{Accords, Verdict},
    reconcile::{Reconcile, Reconciled},
};
use tokio::{sync::watch, time::sleep};

use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_mins(1);
/// While they don't agree, it looks more often: somebody may be putting it right.
const IMPATIENT: Duration = Duration::from_secs(1);

/// The job.
pub(super) struct Job {
    /// One for each issuer.
    pub(super) reconcile: Vec<Reconcile>,
    pub(super) accords: Accords,
    pub(super) metrics: std::sync::Arc<Metrics>,
    /// Told when all journals have been read for the first time.
    pub(super) caught_up: watch::Sender<bool>,
}

impl Job {
    pub(super) async fn run(self) {
        loop {
            for one in &self.reconcile {
                run_one(one, &self.metrics).await;
            }
            if self.accords.are_caught_up() && !self.caught_up.send_replace(true) {
                tracing::info!("ledger and journals have caught up with each other");
            }
            sleep(if self.accords.agree() { PERIOD } else { IMPATIENT }).await;
        }
    }
}

async fn run_one(reconcile: &Reconcile, metrics: &Metrics) {
    let issuer = reconcile.issuer.id();
    let outcome = match reconcile.run().await {
        Ok(report) => {
            tell(issuer.as_str(), &report);
            if report.divergence.is_some() { "diverged" } else { "done" }
        }
        Err(error) => {
            let error = crate::logging::chain(&error);
            tracing::warn!(%issuer, %error, "reconciliation failed; trying again");
            "failed"
        }
    };
    metrics.outcome("reconcile", outcome);
    let diverged = matches!(reconcile.accord.verdict(), Verdict::Diverged(_));
    metrics.node.diverged(issuer.as_str(), diverged);
}

fn tell(issuer: &str, report: &Reconciled) {
    for serial in &report.adopted {
        tracing::warn!(issuer, %serial, "a certificate of the journal was taken into the ledger");
    }
    for serial in &report.restored {
        tracing::warn!(issuer, %serial, "a revocation of the journal was entered into the ledger again");
    }
    for serial in &report.predated {
        tracing::warn!(issuer, %serial, "a revocation was moved back to the journal's earlier time");
    }
    for serial in &report.abandoned {
        tracing::info!(issuer, %serial, "an intent that was never signed was given up");
    }
    for serial in &report.orphans {
        tracing::error!(issuer, %serial, "ALARM: the journal has a certificate that the ledger never intended");
    }
    if report.unreadable > 0 {
        tracing::error!(
            issuer,
            entries = report.unreadable,
            "ALARM: journal entries can't be read or are signed wrong"
        );
    }
}
