//! This node: whether it is ready, how busy its pools are, what its jobs do.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    IssuerGauges, Register, instant,
    labels::{BuildLabels, ComponentLabels, JobLabels, NoLabels, PoolLabels},
};

/// How busy a pool of password hashing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PasswordLoad {
    /// Hashes that are being computed.
    pub(crate) computing: usize,
    /// Hashes that may be computed at a time.
    pub(crate) computing_limit: usize,
    /// Hashes that wait.
    pub(crate) waiting: usize,
    /// Hashes that may wait; beyond it people are told to come again.
    pub(crate) waiting_limit: usize,
    /// How often that happened.
    pub(crate) refused: u64,
}

/// Metrics of the node.
pub(crate) struct NodeMetrics {
    ready: Gauge,
    component: Family<ComponentLabels, Gauge>,
    draining: Gauge,
    leading: Family<JobLabels, Gauge>,
    diverged: IssuerGauges,
    root_crl_next_update: Gauge<f64, AtomicU64>,
    server_not_after: Family<NoLabels, Gauge<f64, AtomicU64>>,
    staff_crl_next_update: Family<NoLabels, Gauge<f64, AtomicU64>>,
    staff_crl_usable: Family<NoLabels, Gauge>,
    maker_crls: Gauge,
    maker_crls_due: Gauge,
    maker_crls_refused: Gauge,
    calendar: Gauge,
    detached: Gauge,
    refreshed: Gauge<f64, AtomicU64>,
    refresh_failures: Counter,
    computing: Family<PoolLabels, Gauge>,
    computing_limit: Family<PoolLabels, Gauge>,
    waiting: Family<PoolLabels, Gauge>,
    waiting_limit: Family<PoolLabels, Gauge>,
    passwords_refused: Family<PoolLabels, Counter>,
}

impl NodeMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let build: Family<BuildLabels, Gauge> = register.metric("build_info", "The program, always 1");
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let root = "nextUpdate of the root's CRL, seconds since 1970";
        let server = "notAfter of the server certificate that is in use, seconds since 1970";
        let staff = "nextUpdate of the staff CA's CRL that is in use, seconds since 1970";
        let usable = "1 when the staff CA's CRL in use is the file's and hasn't lapsed";
        let refreshed = "When the ledger's and the signers' gauges were last refreshed, seconds since 1970";
        Self {
            ready: register.metric("ready", "1 when /readyz says so"),
            component: register.metric("ready_component", "The parts of /readyz, 1 when all is well"),
            draining: register.metric("draining", "1 from the first SIGTERM on"),
            leading: register
                .metric("job_leading", "1 when this node leads a job that one node does for all"),
            diverged: register
                .metric("ledger_journal_diverged", "1 when ledger and journal contradict each other"),
            root_crl_next_update: register.metric("root_crl_next_update_timestamp_seconds", root),
            server_not_after: register.metric("server_not_after_timestamp_seconds", server),
            staff_crl_next_update: register.metric("staff_crl_next_update_timestamp_seconds", staff),
            staff_crl_usable: register.metric("staff_crl_usable", usable),
            maker_crls: register.metric("maker_crls", "CRLs of device makers that count"),
            maker_crls_due: register
                .metric("maker_crls_due", "CRLs of device makers of which a newer one should be there"),
            maker_crls_refused: register.metric(
                "maker_crls_refused",
                "Files that should be CRLs of device makers and count for nothing",
            ),
            calendar: register
                .metric("calendar_usable", "1 when the calendar of business days in use is the file's"),
            detached: register
                .metric("tasks_detached", "Use cases under way, also of clients that went away"),
            refreshed: register.metric("refreshed_timestamp_seconds", refreshed),
            refresh_failures: register
                .metric("refresh_failures", "Times that a gauge of ledger or signer couldn't be refreshed"),
            computing: register.metric("passwords_computing", "Password hashes that are being computed"),
            computing_limit: register
                .metric("passwords_computing_limit", "Password hashes that may be computed at a time"),
            waiting: register.metric("passwords_waiting", "Password hashes that wait for their turn"),
            waiting_limit: register.metric("passwords_waiting_limit", "Password hashes that may wait"),
            passwords_refused: register
                .metric("passwords_refused", "Passwords that weren't looked at for want of room"),
        }
    }

    /// Shows a verdict on readiness.
    pub(crate) fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Shows a part of it.
    pub(crate) fn component(&self, component: &'static str, issuer: Option<&str>, ok: bool) {
        let labels = ComponentLabels { component, issuer: issuer.unwrap_or_default().to_owned() };
        self.component.get_or_create(&labels).set(ok.into());
    }

    /// Shows that the end was asked for.
    pub(crate) fn draining(&self) {
        self.draining.set(1);
    }

    /// Shows whether this node leads a job that one node does for all.
    pub(crate) fn leading(&self, job: &str, leading: bool) {
        self.leading.get_or_create(&JobLabels { job: job.to_owned() }).set(leading.into());
    }

    /// Shows whether an issuer's ledger and journal contradict each other.
    pub(crate) fn diverged(&self, issuer: &str, diverged: bool) {
        self.diverged.get_or_create(&super::issuer(issuer)).set(f64::from(u8::from(diverged)));
    }

    /// Shows when the root's CRL lapses.
    pub(crate) fn root_crl(&self, next_update: Timestamp) {
        self.root_crl_next_update.set(instant(next_update));
    }

    /// Shows until when the server certificate is valid.
    pub(crate) fn server(&self, not_after: Timestamp) {
        self.server_not_after.get_or_create(&[]).set(instant(not_after));
    }

    /// Shows when the staff CA's CRL in use lapses, and whether it is the file's and hasn't.
    pub(crate) fn staff_crl(&self, next_update: Option<Timestamp>, usable: bool) {
        if let Some(next_update) = next_update {
            self.staff_crl_next_update.get_or_create(&[]).set(instant(next_update));
        }
        self.staff_crl_usable.get_or_create(&[]).set(usable.into());
    }

    /// Shows how many CRLs of device makers count, how many of them are due, and how many files don't count.
    pub(crate) fn maker_crls(&self, counting: usize, due: usize, refused: usize) {
        let set = |gauge: &Gauge, count: usize| {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.maker_crls, counting);
        set(&self.maker_crls_due, due);
        set(&self.maker_crls_refused, refused);
    }

    /// Shows whether the calendar's file could be read.
    pub(crate) fn calendar(&self, usable: bool) {
        self.calendar.set(usable.into());
    }

    /// Shows how many use cases are under way.
    pub(crate) fn detached(&self, count: usize) {
        self.detached.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes that the gauges are as of now.
    pub(crate) fn refreshed(&self, now: Timestamp) {
        self.refreshed.set(instant(now));
    }

    /// Counts a gauge that couldn't be refreshed.
    pub(crate) fn refresh_failed(&self) {
        self.refresh_failures.inc();
    }

    /// Shows how busy a pool of password hashing is.
    pub(crate) fn passwords(&self, pool: &'static str, load: &PasswordLoad) {
        let labels = PoolLabels { pool };
        let set = |of: &Family<PoolLabels, Gauge>, count: usize| {
            of.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.computing, load.computing);
        set(&self.computing_limit, load.computing_limit);
        set(&self.waiting, load.waiting);
        set(&self.waiting_limit, load.waiting_limit);
        let refused = self.passwords_refused.get_or_create(&labels);
        refused.inner().store(load.refused, std::sync::atomic::Ordering::Relaxed);
    }
}
