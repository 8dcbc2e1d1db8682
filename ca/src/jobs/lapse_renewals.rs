//! Revokes renewals that nobody confirmed within 72 hours (rule 1).

use std::{sync::Arc, time::Duration};

use ca_core::app::lapse_renewals::LapseRenewals;
use tokio::{sync::Notify, time::sleep};

use super::lease::Leader;
use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_secs(5);

/// The job, led by one node.
pub(super) struct Job {
    pub(super) lapse: LapseRenewals,
    pub(super) leader: Arc<Leader>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) revoked: Arc<Notify>,
}

impl Job {
    pub(super) async fn run(self) {
        loop {
            if self.leader.leads().await {
                let outcome = match self.leader.prolonging(self.lapse.run()).await {
                    Ok(0) => "done",
                    Ok(lapsed) => {
                        tracing::info!(lapsed, "renewals that nobody confirmed within 72 hours are revoked");
                        self.revoked.notify_one();
                        "done"
                    }
                    Err(error) => {
                        let error = crate::logging::chain(&error);
                        tracing::warn!(error, "renewals that lapsed couldn't be revoked; trying again");
                        "failed"
                    }
                };
                self.metrics.outcome("lapse_renewals", outcome);
            }
            sleep(PERIOD).await;
        }
    }
}
