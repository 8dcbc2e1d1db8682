//! Jobs that one node does for all: whoever holds the job's lease.
//!
//! The lease saves work, it protects nothing: a leader that hangs may find another in its place, and what both do at once
//! must be harmless by itself, as CRLs are, whose lists grow with their numbers, which the ledger gives out once.

use std::{pin::pin, sync::Arc};

use ca_core::ports::store::LeaseStore;
use jiff::SignedDuration;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant, sleep},
};

use crate::metrics::Metrics;

/// A dead leader is missed after so long, by the database's clock.
const LIFETIME: SignedDuration = SignedDuration::from_secs(20);
/// The leader prolongs and the others ask so often: another takes over within 25 seconds of a death, and within these
/// five when the lease is given back.
const PERIOD: Duration = Duration::from_secs(5);

/// A node's part in leading one job.
pub(crate) struct Leader {
    leases: Arc<dyn LeaseStore>,
    job: String,
    node: String,
    metrics: Arc<Metrics>,
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Leader {
    /// Leads nothing yet. The node's name must be its own.
    pub(crate) fn new(leases: Arc<dyn LeaseStore>, job: String, node: &str, metrics: Arc<Metrics>) -> Self {
        metrics.node.leading(&job, false);
        Self { leases, job, node: node.to_owned(), metrics, asked: Mutex::default() }
    }

    /// Whether this node leads the job now.
    pub(crate) async fn leads(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((at, leads)) = *asked
            && at.elapsed() < PERIOD
        {
            return leads;
        }
        let led = asked.is_some_and(|(_, leads)| leads);
        let taken = self.leases.take_lease(&self.job, &self.node, LIFETIME).await;
        let leads = taken.unwrap_or_else(|error| {
            // Whoever can't reach the ledger can't do the job either.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                job = self.job,
                "the lease can't be had"
            );
            false
        });
        if leads != led {
            let change = if leads { "leads" } else { "doesn't lead" };
            tracing::info!(job = self.job, "this node {change} the job from now on");
        }
        *asked = Some((Instant::now(), leads));
        self.metrics.node.leading(&self.job, leads);
        leads
    }

    /// Does what may take longer than the lease lasts, and prolongs it meanwhile. A lease that is lost all the same ends
    /// nothing.
    pub(crate) async fn prolonging<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(PERIOD) => { self.leads().await; }
            }
        }
    }

    /// Gives the lease back, so that another node needn't wait for it to lapse.
    pub(crate) async fn resign(&self) {
        let Some((_, true)) = self.asked.lock().await.take() else { return };
        self.metrics.node.leading(&self.job, false);
        if let Err(error) = self.leases.release_lease(&self.job, &self.node).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                job = self.job,
                "the lease will lapse by itself"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use ca_core::testing::MemoryStore;

    use super::*;

    fn nodes() -> (Leader, Leader) {
        let leases = Arc::new(MemoryStore::default());
        let node = |name| Leader::new(leases.clone(), "crl-customer".to_owned(), name, Arc::default());
        (node("ca-1"), node("ca-2"))
    }

    /// What is served about the job.
    fn shown(leader: &Leader) -> Option<bool> {
        let text = leader.metrics.text();
        let value =
            text.lines().find_map(|line| line.strip_prefix("inro_job_leading{job=\"crl-customer\"} "))?;
        Some(value == "1")
    }

    #[tokio::test]
    async fn one_node_leads_until_it_resigns() {
        let (one, other) = nodes();
        assert!(one.leads().await);
        assert!(!other.leads().await);
        one.resign().await;
        other.asked.lock().await.take();
        assert!(other.leads().await, "asked again");
        one.resign().await;
        assert!(other.leads().await, "only a leader can resign");
    }

    #[tokio::test]
    async fn who_leads_is_shown_from_the_start_to_the_end() {
        let (one, other) = nodes();
        assert_eq!((shown(&one), shown(&other)), (Some(false), Some(false)));
        one.leads().await;
        other.leads().await;
        assert_eq!((shown(&one), shown(&other)), (Some(true), Some(false)));
        one.resign().await;
        assert_eq!((shown(&one), shown(&other)), (Some(false), Some(false)));
    }
}
