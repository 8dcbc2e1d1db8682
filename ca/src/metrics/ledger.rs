//! The ledger: how busy its engine is, and what is unfinished in it.

use std::sync::atomic::{AtomicU64, Ordering};

use ca_core::ports::census::{CrlHead, LedgerLoad, Unfinished};
use jiff::Timestamp;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{IssuerGauges, Register, approximate, instant, issuer, labels::ExpiryLabels};

/// Metrics of the ledger.
pub(crate) struct LedgerMetrics {
    readers: Gauge,
    readers_busy: Gauge,
    queued: Gauge,
    queue_limit: Gauge,
    commits: Counter,
    failed_commits: Counter,
    facts: Counter,
    commit_seconds: Counter<f64, AtomicU64>,
    disk_available: Gauge,
    disk_size: Gauge,
    open_intents: IssuerGauges,
    oldest_intent: IssuerGauges,
    orphans: IssuerGauges,
    unjournaled: IssuerGauges,
    crl_number: IssuerGauges,
    crl_this_update: IssuerGauges,
    crl_missing: IssuerGauges,
    expiring: Family<ExpiryLabels, Gauge<f64, AtomicU64>>,
    audit_sequence: Gauge<f64, AtomicU64>,
    audit_verified: Gauge<f64, AtomicU64>,
    audit_broken: Gauge,
}

impl LedgerMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let oldest = "Age of the oldest intent without a certificate, 0 without any";
        Self {
            readers: register.metric("ledger_readers", "Connections that may answer queries"),
            readers_busy: register.metric("ledger_readers_busy", "Connections that answer a query now"),
            queued: register.metric("ledger_queue", "Facts that wait for the writer"),
            queue_limit: register.metric("ledger_queue_limit", "Facts that may wait for the writer"),
            commits: register.metric("ledger_commits", "Transactions of the writer that were committed"),
            failed_commits: register
                .metric("ledger_commits_failed", "Transactions of the writer that failed"),
            facts: register.metric("ledger_facts", "Facts in the transactions that were committed"),
            commit_seconds: register
                .metric("ledger_commit_seconds", "Time that the writer spent in transactions"),
            disk_available: register
                .metric("ledger_disk_available_bytes", "Free space where the database file is"),
            disk_size: register
                .metric("ledger_disk_size_bytes", "Size of the disk where the database file is"),
            open_intents: register.metric("open_intents", "Intents without a certificate"),
            oldest_intent: register.metric("open_intents_oldest_age_seconds", oldest),
            orphans: register.metric("orphans", "Unrevoked certificates that the ledger never intended"),
            unjournaled: register
                .metric("unjournaled_revocations", "Revocations that a signer's journal lacks"),
            crl_number: register.metric("crl_number", "Number of the current CRL"),
            crl_this_update: register.metric(
                "crl_this_update_timestamp_seconds",
                "thisUpdate of the current CRL, seconds since 1970",
            ),
            crl_missing: register
                .metric("crl_missing_revocations", "Revocations that the current CRL doesn't have yet"),
            expiring: register.metric("certificates_expiring", "Live certificates that expire soon"),
            audit_sequence: register.metric("audit_sequence", "Number of the audit trail's last row"),
            audit_verified: register
                .metric("audit_verified_sequence", "Number of the last audit row that this node verified"),
            audit_broken: register
                .metric("audit_broken", "1 when this node found the audit trail's chain broken"),
        }
    }

    /// Shows how busy the engine is.
    pub(crate) fn load(&self, load: &LedgerLoad) {
        let gauge = |gauge: &Gauge, count: u64| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        gauge(&self.readers, load.readers.into());
        gauge(&self.readers_busy, load.readers_busy.into());
        gauge(&self.queued, load.queued);
        gauge(&self.queue_limit, load.queue_limit);
        let counter = |counter: &Counter, count| counter.inner().store(count, Ordering::Relaxed);
        counter(&self.commits, load.commits);
        counter(&self.failed_commits, load.failed_commits);
        counter(&self.facts, load.facts);
        let seconds = approximate(load.commit_micros) / 1e6;
        self.commit_seconds.inner().store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// Shows how much room there is, in octets.
    pub(crate) fn disk(&self, available: u64, size: u64) {
        self.disk_available.set(i64::try_from(available).unwrap_or(i64::MAX));
        self.disk_size.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    /// Shows what isn't finished.
    pub(crate) fn unfinished(&self, of: &str, unfinished: &Unfinished, now: Timestamp) {
        let labels = issuer(of);
        self.open_intents.get_or_create(&labels).set(approximate(unfinished.open_intents));
        let age = unfinished.oldest_intent.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
        self.oldest_intent.get_or_create(&labels).set(age);
        self.orphans.get_or_create(&labels).set(approximate(unfinished.orphans));
        self.unjournaled.get_or_create(&labels).set(approximate(unfinished.unjournaled_revocations));
    }

    /// Shows the current CRL, and how many revocations it lacks.
    pub(crate) fn crl(&self, of: &str, crl: &CrlHead, missing: u64) {
        let labels = issuer(of);
        self.crl_number.get_or_create(&labels).set(approximate(crl.number));
        self.crl_this_update.get_or_create(&labels).set(instant(crl.this_update));
        self.crl_missing.get_or_create(&labels).set(approximate(missing));
    }

    /// Shows how many live certificates expire within 10 or 40 days.
    pub(crate) fn expiring(&self, of: &str, within: &'static str, count: u64) {
        let labels = ExpiryLabels { issuer: of.to_owned(), within };
        self.expiring.get_or_create(&labels).set(approximate(count));
    }

    /// Shows how long the audit trail is, and how far it was verified.
    pub(crate) fn audit(&self, sequence: u64, verified: u64, broken: bool) {
        self.audit_sequence.set(approximate(sequence));
        self.audit_verified.set(approximate(verified));
        self.audit_broken.set(broken.into());
    }
}
