//! Erases personal data whose period is over.

use std::{sync::Arc, time::Duration};

use ca_core::{app::erase::ErasePersonalData, domain::audit::Actor};
use tokio::time::{Instant, sleep};

use super::lease::Leader;
use crate::{logging::chain, metrics::Metrics};

/// Between two runs. Periods are days: it matters little when in the day.
const PERIOD: Duration = Duration::from_hours(6);
/// After a run that failed.
const AGAIN: Duration = Duration::from_mins(5);
/// Between two looks at the lease.
const LOOK: Duration = Duration::from_secs(5);

/// The job, led by one node.
pub(super) struct Job {
    pub(super) erase: ErasePersonalData,
    pub(super) leader: Arc<Leader>,
    pub(super) metrics: Arc<Metrics>,
}

impl Job {
    pub(super) async fn run(self) {
        self.metrics.retention.keeps(&self.erase.periods);
        let mut next: Option<Instant> = None;
        loop {
            if self.leader.leads().await {
                if next.is_none_or(|next| next <= Instant::now()) {
                    next = Some(Instant::now() + self.leader.prolonging(self.erase()).await);
                }
            } else {
                next = None;
            }
            sleep(LOOK).await;
        }
    }

    /// One run; how long to wait for the next.
    async fn erase(&self) -> Duration {
        let erased = self.erase.run(&Actor::System).await;
        for (kind, records) in erased.records.into_iter().filter(|(_, records)| *records > 0) {
            self.metrics.retention.erased(kind, records);
            tracing::info!(kind = kind.as_str(), records, "personal data was erased");
        }
        match erased.failure {
            None => {
                self.metrics.retention.done(self.erase.clock.now());
                self.metrics.outcome("retention", "done");
                PERIOD
            }
            Some(error) => {
                let error = chain(&error);
                tracing::warn!(
                    error,
                    "not all personal data whose period is over could be erased; trying again"
                );
                self.metrics.outcome("retention", "failed");
                AGAIN
            }
        }
    }
}
