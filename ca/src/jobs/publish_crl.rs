//! Publishes an issuer's CRL on schedule and within a second or two of a revocation, wherever that was made: the
//! operator's command line and other nodes write to the same ledger. One node publishes; the others only tell their own
//! signers what was revoked.

use std::{sync::Arc, time::Duration};

use ca_core::{
    app::publish_crl::PublishCrl,
    ports::{
        clock::Clock,
        store::{PublishedCrl, RevocationStore},
    },
};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{Leader, pause};
use crate::metrics::{IssuerLabels, Metrics};

/// The ledger is asked for new revocations so often.
const POLL: Duration = Duration::from_secs(1);
/// Whether the schedule is due is looked at so often.
const SCHEDULE: Duration = Duration::from_secs(30);
/// After a failure.
const BACK_OFF: Duration = Duration::from_secs(3);
/// The alarm sounds so long before the current CRL lapses, unless it is a short one.
const ALARM: SignedDuration = SignedDuration::from_hours(24);

pub(super) struct Job {
    pub(super) publish: Arc<PublishCrl>,
    pub(super) leader: Arc<Leader>,
    pub(super) first: Option<Vec<u8>>,
    pub(super) revocations: Arc<dyn RevocationStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) revoked: Arc<Notify>,
}

impl Job {
    pub(super) async fn run(mut self) {
        let mut scheduled: Option<Instant> = None;
        loop {
            if !self.leader.leads().await {
                scheduled = None;
                self.follow().await;
                pause(POLL, &self.revoked).await;
                continue;
            }
            let overdue = scheduled.is_none_or(|at| at.elapsed() >= SCHEDULE);
            if overdue || self.has_news().await {
                if !self.publish().await {
                    sleep(BACK_OFF).await;
                    continue;
                }
                scheduled = Some(Instant::now());
            }
            pause(POLL, &self.revoked).await;
        }
    }

    /// This node's signer is to know every revocation, too: it may have to sign the next CRL, and never says "good".
    async fn follow(&self) {
        if let Err(error) = self.publish.push().await {
            let (issuer, error) = (self.publish.issuer.id(), crate::logging::chain(&error));
            tracing::warn!(%issuer, %error, "the signer can't be told of revocations; trying again");
            self.metrics.outcome("publish_crl", "failed");
            sleep(BACK_OFF).await;
        }
    }

    /// Whether the current CRL lacks a revocation.
    async fn has_news(&self) -> bool {
        match self.revocations.revoked_since_crl(self.publish.issuer.id()).await {
            Ok(count) => count > 0,
            // The run that follows meets the same fault and reports it.
            Err(_) => true,
        }
    }

    async fn publish(&mut self) -> bool {
        let issuer = self.publish.issuer.id().clone();
        if let Some(first) = self.first.take() {
            match self.publish.adopt_first(&first).await {
                Ok(Some(crl)) => {
                    tracing::info!(%issuer, number = crl.number, "the ceremony's CRL was taken over");
                }
                Ok(None) => {}
                Err(error) => {
                    let error = crate::logging::chain(&error);
                    tracing::error!(%issuer, %error, "the ceremony's CRL can't be taken over");
                    self.first = Some(first);
                    return false;
                }
            }
        }
        match self.publish.run().await {
            Ok(published) => {
                if let Some(crl) = &published {
                    tracing::info!(%issuer, number = crl.number, entries = crl.entries, "a CRL was published");
                    self.metrics.outcome("publish_crl", "published");
                }
                self.watch(published).await;
                true
            }
            Err(error) => {
                let error = crate::logging::chain(&error);
                tracing::error!(%issuer, %error, "no CRL could be published; trying again");
                self.metrics.outcome("publish_crl", "failed");
                self.watch(None).await;
                false
            }
        }
    }

    /// Shows how fresh the current CRL is, and sounds the alarm before it lapses.
    async fn watch(&self, published: Option<PublishedCrl>) {
        let issuer = self.publish.issuer.id();
        let current = match published {
            Some(crl) => Some(crl),
            None => self.revocations.current_crl(issuer).await.ok().flatten(),
        };
        let Some(crl) = current else { return };
        let labels = IssuerLabels { issuer: issuer.to_string() };
        self.metrics.crl_next_update.get_or_create(&labels).set(seconds(crl.next_update));
        self.metrics.crl_entries.get_or_create(&labels).set(count(crl.entries));
        if lapses(&crl, self.clock.now()) {
            tracing::error!(%issuer, next_update = %crl.next_update, "ALARM: the CRL lapses soon");
        }
    }
}

/// Whether less is left than there should ever be: a CRL is followed by the next one in the first half of its time.
fn lapses(crl: &PublishedCrl, now: Timestamp) -> bool {
    let whole = crl.next_update.duration_since(crl.this_update);
    crl.next_update.duration_since(now) < ALARM.min(whole * 2 / 5)
}

/// For a gauge, which is exact for every time and number that matters here.
#[expect(clippy::cast_precision_loss, reason = "seconds of a date are far below 2^52")]
pub(super) fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_second() as f64
}

#[expect(clippy::cast_precision_loss, reason = "a CRL has far fewer than 2^52 entries")]
fn count(entries: u64) -> f64 {
    entries as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alarm_sounds_while_the_next_crl_is_on_time() {
        let this_update: Timestamp = "2026-04-01T00:00:00Z".parse().expect("a time");
        let lapses_after = |validity: SignedDuration, passed: SignedDuration| {
            let crl = PublishedCrl {
                number: 1,
                this_update,
                next_update: this_update + validity,
                listed_from: this_update,
                entries: 0,
                der: Vec::new(),
            };
            lapses(&crl, this_update + passed)
        };
        // From the shortest to the longest that validation.crl_validity may be; the interval is half of it at the most.
        for hours in [1, 2, 24, 48, 7 * 24] {
            let validity = SignedDuration::from_hours(hours);
            assert!(!lapses_after(validity, SignedDuration::ZERO), "{validity}");
            assert!(!lapses_after(validity, validity / 2), "{validity}");
            assert!(lapses_after(validity, validity * 9 / 10), "{validity}");
        }
        let week = SignedDuration::from_hours(7 * 24);
        assert!(
            !lapses_after(week, week - ALARM)
                && lapses_after(week, week - ALARM + SignedDuration::from_secs(1))
        );
    }
}
