//! Brings the ledger and the signers' journals together: at the start, before the node is ready, and then every minute.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ca_core::app::reconcile::{Reconcile, Reconciled};
use tokio::time::sleep;

use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_mins(1);
/// While the node isn't ready, it tries more often.
const IMPATIENT: Duration = Duration::from_secs(1);

pub(super) async fn run(reconcile: Vec<Reconcile>, reconciled: Arc<AtomicBool>, metrics: Arc<Metrics>) {
    loop {
        let mut all = true;
        for one in &reconcile {
            all &= run_one(one, &metrics).await;
        }
        if all && !reconciled.swap(true, Ordering::AcqRel) {
            tracing::info!("ledger and journals are reconciled");
        }
        sleep(if reconciled.load(Ordering::Acquire) { PERIOD } else { IMPATIENT }).await;
    }
}

async fn run_one(reconcile: &Reconcile, metrics: &Metrics) -> bool {
    let issuer = reconcile.issuer.id();
    match reconcile.run().await {
        Ok(report) => {
            metrics.outcome("reconcile", "done");
            tell(issuer.as_str(), &report);
            true
        }
        Err(error) => {
            let error = crate::logging::chain(&error);
            tracing::warn!(%issuer, %error, "reconciliation failed; trying again");
            metrics.outcome("reconcile", "failed");
            false
        }
    }
}

fn tell(issuer: &str, report: &Reconciled) {
    for serial in &report.adopted {
        tracing::warn!(issuer, %serial, "a certificate of the journal was taken into the ledger");
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
