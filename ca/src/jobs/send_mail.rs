//! Queues the notices that are due and delivers what is queued. Where no mail server is configured it withdraws what the
//! ledger queues, so that nobody gets last year's news once there is one.

use std::{sync::Arc, time::Duration};

use ca_core::{
    app::{
        queue_notices::QueueNotices,
        send_mail::{SendMail, Sent},
    },
    ports::{clock::Clock, outbox::OutboxStore},
};
use tokio::time::{Instant, sleep};

use super::lease::Leader;
use crate::{logging::chain, metrics::Metrics};

/// Between two looks at the lease, and at the outbox.
const PERIOD: Duration = Duration::from_secs(5);
/// Between two looks for notices that are due.
const NOTICES: Duration = Duration::from_mins(15);
/// The longest pause while the mail server can't be used.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Mail that goes out.
pub(crate) struct Outgoing {
    pub(crate) notices: QueueNotices,
    pub(crate) send: SendMail,
}

/// The job.
pub(crate) struct Mailing {
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// `None` without a mail server.
    pub(crate) outgoing: Option<Outgoing>,
}

/// It, led by one node.
pub(super) struct Job {
    pub(super) mailing: Mailing,
    pub(super) leader: Arc<Leader>,
    pub(super) metrics: Arc<Metrics>,
}

/// When to look next; a new leader looks at once.
#[derive(Default)]
struct Next {
    notices: Option<Instant>,
    delivery: Option<Instant>,
}

impl Job {
    pub(super) async fn run(self) {
        let mut next = Next::default();
        loop {
            if self.leader.leads().await {
                // A mail server that doesn't answer takes more time than the lease has.
                self.leader.prolonging(self.work(&mut next)).await;
            } else {
                next = Next::default();
                // What it was like when this node asked it is nothing to go by.
                self.metrics.mail.server(true);
            }
            sleep(PERIOD).await;
        }
    }

    /// Does what is due.
    async fn work(&self, next: &mut Next) {
        if is_due(next.notices) && self.look().await {
            next.notices = Some(Instant::now() + NOTICES);
        }
        if is_due(next.delivery) {
            next.delivery = self.deliver().await.map(|pause| Instant::now() + pause);
        }
    }

    /// Queues notices; whether it worked.
    async fn look(&self) -> bool {
        let Some(outgoing) = &self.mailing.outgoing else { return true };
        let done = outgoing.notices.run().await;
        match &done {
            Ok(0) => {}
            Ok(queued) => tracing::info!(queued, "notices were queued"),
            Err(error) => {
                let error = chain(error);
                tracing::warn!(error, "notices that are due couldn't be queued; trying again");
            }
        }
        self.metrics.outcome("queue_notices", if done.is_ok() { "done" } else { "failed" });
        done.is_ok()
    }

    /// Delivers what is due; how long the mail server is to be left alone.
    async fn deliver(&self) -> Option<Duration> {
        let Some(outgoing) = &self.mailing.outgoing else {
            self.withdraw().await;
            return None;
        };
        match outgoing.send.run().await {
            Ok(sent) => {
                self.told(&sent);
                let pause = Duration::try_from(outgoing.send.terms.first_retry).unwrap_or(PERIOD);
                sent.unavailable.map(|_| pause.min(LONGEST_PAUSE))
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "mail couldn't be delivered for trouble of the ledger; trying again");
                self.metrics.outcome("mail", "failed");
                None
            }
        }
    }

    fn told(&self, sent: &Sent) {
        for (outcome, count) in [
            ("delivered", sent.delivered),
            ("bounced", sent.bounced),
            ("withdrawn", sent.withdrawn),
            ("postponed", sent.postponed),
        ] {
            self.metrics.mail.outcomes(outcome, count);
        }
        if *sent != Sent::default() {
            let Sent { delivered, bounced, withdrawn, postponed, .. } = sent;
            tracing::info!(delivered, bounced, withdrawn, postponed, "mail");
        }
        let tried = sent.delivered + sent.bounced + sent.postponed > 0;
        if let Some(error) = &sent.unavailable {
            tracing::warn!(error, "the mail server can't be used; trying again");
            self.metrics.mail.server(false);
        } else if tried {
            self.metrics.mail.server(true);
        }
    }

    async fn withdraw(&self) {
        let withdrawn =
            self.mailing.outbox.withdraw_all_mail(self.mailing.clock.now(), "there is no mail server").await;
        match withdrawn {
            Ok(withdrawn) => self.metrics.mail.outcomes("withdrawn", withdrawn),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "mail that nobody sends couldn't be withdrawn; trying again");
            }
        }
    }
}

fn is_due(next: Option<Instant>) -> bool {
    next.is_none_or(|at| at <= Instant::now())
}

#[cfg(test)]
mod tests;
