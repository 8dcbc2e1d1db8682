//! Revokes at their date the certificates of plans that a new judgement of the fleet has left.

use std::{sync::Arc, time::Duration};

use ca_core::app::rejudge::{Executed, Rejudge};
use tokio::{sync::Notify, time::sleep};

use super::lease::Leader;
use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_secs(5);

/// The job, led by one node.
pub(super) struct Job {
    pub(super) rejudge: Rejudge,
    pub(super) leader: Arc<Leader>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) revoked: Arc<Notify>,
}

impl Job {
    pub(super) async fn run(self) {
        loop {
            if self.leader.leads().await {
                let outcome = match self.leader.prolonging(self.rejudge.execute()).await {
                    Ok(Executed { plans: 0, revoked: 0 }) => "done",
                    Ok(Executed { plans, revoked }) => {
                        tracing::info!(plans, revoked, "certificates of plans that were due are revoked");
                        self.revoked.notify_one();
                        "done"
                    }
                    Err(error) => {
                        let error = crate::logging::chain(&error);
                        tracing::warn!(error, "plans that are due couldn't be executed; trying again");
                        "failed"
                    }
                };
                self.metrics.outcome("revoke_fallen", outcome);
            }
            sleep(PERIOD).await;
        }
    }
}
