//! Renews the certificate of an issuer's OCSP responder well before its end. One node does it for all that answer with
//! the same key; every node takes the new one up from the ledger ([`super::watch_files`]).
//!
//! A failure leaves the certificate in use as it is: it is counted, told in the log, and tried again, each time after a
//! longer pause.

use std::{sync::Arc, time::Duration};

use ca_core::{
    app::renew_responder::{RenewResponder, When},
    domain::{audit::Actor, ocsp::Responder},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::Leader;
use crate::{metrics::Metrics, responders::Responders};

/// The lease wants to be prolonged so often.
const TICK: Duration = Duration::from_secs(5);
/// Whether a renewal is due is looked at so often.
const PERIOD: Duration = Duration::from_mins(1);
/// After the first failure, doubled with each further one.
const BACK_OFF: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(1);

pub(super) struct Job {
    pub(super) renew: Arc<RenewResponder>,
    pub(super) leader: Arc<Leader>,
    pub(super) responders: Arc<Responders>,
    /// Which of them.
    pub(super) position: usize,
    pub(super) metrics: Arc<Metrics>,
    /// Wakes whoever takes the certificate up in this process.
    pub(super) renewed: Arc<Notify>,
}

impl Job {
    pub(super) async fn run(self) {
        // When to look next; a new leader looks at once.
        let (mut next, mut failures) = (None::<Instant>, 0_u32);
        loop {
            if !self.leader.leads().await {
                (next, failures) = (None, 0);
            } else if next.is_none_or(|at| Instant::now() >= at) {
                failures = if self.look().await { 0 } else { failures.saturating_add(1) };
                next = Some(Instant::now() + pause_after(failures));
            }
            sleep(TICK).await;
        }
    }

    /// Renews if it is due; false when that failed.
    async fn look(&self) -> bool {
        let issuer = self.renew.issuer.id();
        let Some(configured) = self.responders.configured().into_iter().nth(self.position) else {
            return true;
        };
        match self.renew.run(Actor::System, configured, When::Due).await {
            Ok(None) => true,
            Ok(Some(renewed)) => {
                tell(issuer.as_str(), &renewed);
                self.metrics.outcome("renew_responder", "renewed");
                self.renewed.notify_one();
                true
            }
            Err(error) => {
                let error = crate::logging::chain(&error);
                tracing::error!(
                    %issuer,
                    error,
                    "the OCSP responder's certificate couldn't be renewed; the one in use stays, trying again"
                );
                self.metrics.outcome("renew_responder", "failed");
                false
            }
        }
    }
}

fn tell(issuer: &str, renewed: &Responder) {
    let serial = renewed.serial().map(|serial| serial.to_string()).unwrap_or_default();
    let not_after = renewed.not_after();
    tracing::info!(issuer, serial, %not_after, "the OCSP responder's certificate was renewed");
}

fn pause_after(failures: u32) -> Duration {
    match failures {
        0 => PERIOD,
        n => BACK_OFF.saturating_mul(2_u32.saturating_pow(n - 1)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_tried_less_often() {
        let pauses: Vec<u64> = (0..5).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [60, 30, 60, 120, 240]);
        assert_eq!(pause_after(u32::MAX), LONGEST);
    }
}
