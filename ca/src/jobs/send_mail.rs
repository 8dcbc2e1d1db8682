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

/// Between two looks at the outbox.
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

impl Job {
    pub(super) async fn run(self) {
        let mut looked: Option<Instant> = None;
        loop {
            let mut pause = PERIOD;
            if self.leader.leads().await {
                if looked.is_none_or(|at| at.elapsed() >= NOTICES) && self.look().await {
                    looked = Some(Instant::now());
                }
                pause = self.deliver().await;
            } else {
                looked = None;
            }
            sleep(pause).await;
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

    /// Delivers what is due; how long to wait before the next look.
    async fn deliver(&self) -> Duration {
        let Some(outgoing) = &self.mailing.outgoing else {
            self.withdraw().await;
            return PERIOD;
        };
        match outgoing.send.run().await {
            Ok(sent) => {
                self.told(&sent, Duration::try_from(outgoing.send.terms.first_retry).unwrap_or(PERIOD))
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "mail couldn't be delivered for trouble of the ledger; trying again");
                self.metrics.outcome("mail", "failed");
                PERIOD
            }
        }
    }

    fn told(&self, sent: &Sent, first_retry: Duration) -> Duration {
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
            return first_retry.clamp(Duration::from_secs(1), LONGEST_PAUSE);
        }
        if tried {
            self.metrics.mail.server(true);
        }
        PERIOD
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
