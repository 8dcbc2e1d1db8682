//! Mail: what waits, what bounced, and what became of the rest.

use std::sync::atomic::AtomicU64;

use ca_core::ports::outbox::Backlog;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{Register, approximate, instant, labels::MailLabels};

/// Metrics of mail.
pub(crate) struct MailMetrics {
    queued: Gauge<f64, AtomicU64>,
    oldest: Gauge<f64, AtomicU64>,
    bounced: Gauge<f64, AtomicU64>,
    server: Gauge,
    outcomes: Family<MailLabels, Counter>,
}

impl MailMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let oldest = "When the oldest queued mail was queued, seconds since 1970; 0 when none is";
        let server = "0 when the last attempt of the node that leads the job found no usable mail server";
        let metrics = Self {
            queued: register.metric("mail_queued", "Mails that wait to be delivered"),
            oldest: register.metric("mail_oldest_queued_timestamp_seconds", oldest),
            bounced: register.metric("mail_bounced", "Bounced mails that are kept for the branch"),
            server: register.metric("mail_server_usable", server),
            outcomes: register.metric("mails", "Attempts to deliver a mail by how they ended"),
        };
        metrics.server.set(1);
        metrics
    }

    /// Shows what isn't finished.
    pub(crate) fn backlog(&self, backlog: &Backlog) {
        self.queued.set(approximate(backlog.queued));
        self.oldest.set(backlog.oldest.map_or(0.0, instant));
        self.bounced.set(approximate(backlog.bounced));
    }

    /// Shows whether the mail server can be used.
    pub(crate) fn server(&self, usable: bool) {
        self.server.set(usable.into());
    }

    /// Counts attempts.
    pub(crate) fn outcomes(&self, outcome: &'static str, count: u64) {
        self.outcomes.get_or_create(&MailLabels { outcome }).inc_by(count);
    }
}
