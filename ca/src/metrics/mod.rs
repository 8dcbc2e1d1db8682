//! What Prometheus sees. `ca/docs/metrics.md` has every name; a test holds the two together.
//!
//! Counters and histograms are fed where things happen. Gauges of pools are read when somebody scrapes, for they cost
//! nothing; gauges of the ledger and the signers are refreshed by a job, so that a scrape touches neither.

mod http;
mod labels;
mod ledger;
mod mail;
mod node;
mod process;
mod retention;
mod signer;

use std::sync::atomic::AtomicU64;

use ca_core::ports::census::CrlHead;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};

pub(crate) use http::UnderWay;
pub(crate) use labels::{IssuerLabels, method};
pub(crate) use node::PasswordLoad;
pub(crate) use signer::{Failed, SignerLoad, Signing, SigningTime};

use self::{
    http::HttpMetrics,
    labels::{MachineLabels, OutcomeLabels},
    ledger::LedgerMetrics,
    mail::MailMetrics,
    node::NodeMetrics,
    process::ProcessMetrics,
    retention::RetentionMetrics,
    signer::SignerMetrics,
};

/// A gauge for each issuer.
pub(crate) type IssuerGauges = Family<IssuerLabels, Gauge<f64, AtomicU64>>;

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    /// As they are queried: what has no series yet isn't in the text.
    #[cfg(test)]
    names: std::collections::BTreeSet<String>,
    process: ProcessMetrics,
    /// Requests and connections.
    pub(crate) http: HttpMetrics,
    /// The ledger and what is unfinished in it.
    pub(crate) ledger: LedgerMetrics,
    /// The signers.
    pub(crate) signer: SignerMetrics,
    /// This node: readiness, pools, jobs.
    pub(crate) node: NodeMetrics,
    /// Mail.
    pub(crate) mail: MailMetrics,
    /// Personal data.
    pub(crate) retention: RetentionMetrics,
    outcomes: Family<OutcomeLabels, Counter>,
    /// nextUpdate of the current CRL, seconds since 1970.
    pub(crate) crl_next_update: IssuerGauges,
    /// Entries of the current CRL.
    pub(crate) crl_entries: IssuerGauges,
    /// notAfter of the OCSP responder's certificate, seconds since 1970.
    pub(crate) ocsp_responder_not_after: IssuerGauges,
    /// When it is to be renewed, seconds since 1970.
    pub(crate) ocsp_responder_renewal: IssuerGauges,
    /// notAfter of the issuing certificate, seconds since 1970.
    pub(crate) issuer_not_after: IssuerGauges,
    machine_not_after: Family<MachineLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut register = Register { registry: &mut registry, prefix: "", names: Vec::new() };
        let process = ProcessMetrics::new(&mut register);
        let names = register.names;
        let inro = registry.sub_registry_with_prefix("inro");
        let mut register = Register { registry: inro, prefix: "inro_", names };
        let http = HttpMetrics::new(&mut register);
        let ledger = LedgerMetrics::new(&mut register);
        let signer = SignerMetrics::new(&mut register);
        let node = NodeMetrics::new(&mut register);
        let mail = MailMetrics::new(&mut register);
        let retention = RetentionMetrics::new(&mut register);
        let outcomes = register.metric("outcomes", "Decisions and runs of jobs by how they ended");
        let next_update = "nextUpdate of the current CRL, seconds since 1970";
        let crl_next_update = register.metric("crl_next_update_timestamp_seconds", next_update);
        let crl_entries = register.metric("crl_entries", "Entries of the current CRL");
        let responder = "notAfter of the OCSP responder's certificate, seconds since 1970";
        let ocsp_responder_not_after =
            register.metric("ocsp_responder_not_after_timestamp_seconds", responder);
        let renewal = "When the OCSP responder's certificate is to be renewed, seconds since 1970";
        let ocsp_responder_renewal = register.metric("ocsp_responder_renewal_timestamp_seconds", renewal);
        let issuer = "notAfter of the issuing certificate, seconds since 1970";
        let issuer_not_after = register.metric("issuer_not_after_timestamp_seconds", issuer);
        let machine = "notAfter of a registered machine's certificate, seconds since 1970";
        let machine_not_after = register.metric("machine_not_after_timestamp_seconds", machine);
        #[cfg(test)]
        let names = register.names;
        Self {
            #[cfg(test)]
            names: names.into_iter().collect(),
            registry,
            process,
            http,
            ledger,
            signer,
            node,
            mail,
            retention,
            outcomes,
            crl_next_update,
            crl_entries,
            ocsp_responder_not_after,
            ocsp_responder_renewal,
            issuer_not_after,
            machine_not_after,
        }
    }
}

impl Metrics {
    /// The text exposition.
    pub(crate) fn text(&self) -> String {
        self.process.refresh();
        let mut text = String::new();
        // Writing to a String doesn't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Shows the current CRL.
    pub(crate) fn crl(&self, of: &str, crl: &CrlHead) {
        let labels = issuer(of);
        self.crl_next_update.get_or_create(&labels).set(instant(crl.next_update));
        self.crl_entries.get_or_create(&labels).set(approximate(crl.entries));
    }

    /// Shows until when a registered machine's certificate is valid.
    pub(crate) fn machine(&self, name: &str, not_after: jiff::Timestamp) {
        let labels = MachineLabels { machine: name.to_owned() };
        self.machine_not_after.get_or_create(&labels).set(instant(not_after));
    }

    /// Counts a decision or a job's run.
    pub(crate) fn outcome(&self, what: &'static str, outcome: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { what, outcome }).inc();
    }
}

/// Registers metrics with one prefix, and remembers their names.
struct Register<'a> {
    registry: &'a mut Registry,
    prefix: &'static str,
    names: Vec<String>,
}

impl Register<'_> {
    /// A metric that begins empty. Counters get `_total` behind their name.
    fn metric<M: Metric + TypedMetric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add(name, help, M::default())
    }

    /// Histograms of seconds with these upper bounds.
    fn seconds<S: Clone + std::hash::Hash + Eq>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &'static [f64],
    ) -> Histograms<S>
    where
        Histograms<S>: Metric,
    {
        self.add(name, help, Family::new_with_constructor(Bounds(bounds)))
    }

    fn add<M: Metric + TypedMetric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        let ending = if matches!(M::TYPE, MetricType::Counter) { "_total" } else { "" };
        self.names.push(format!("{}{name}{ending}", self.prefix));
        self.registry.register(name, help, metric.clone());
        metric
    }
}

/// Histograms with the same bounds.
type Histograms<S> = Family<S, Histogram, Bounds>;

#[derive(Clone, Copy, Debug)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

fn issuer(id: impl std::fmt::Display) -> IssuerLabels {
    IssuerLabels { issuer: id.to_string() }
}

/// For a gauge, which is exact for every count and time that matters here.
#[expect(clippy::cast_precision_loss, reason = "counts and seconds of a date are far below 2^52")]
fn approximate(count: u64) -> f64 {
    count as f64
}

/// Seconds since 1970, for a gauge.
#[expect(clippy::cast_precision_loss, reason = "seconds of a date are far below 2^52")]
fn instant(at: jiff::Timestamp) -> f64 {
    at.as_second() as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENTED: &str = include_str!("../../docs/metrics.md");
    const ALERTS: &str = include_str!("../../monitoring/alerts.yaml");

    fn served() -> BTreeSet<String> {
        Metrics::default().names
    }

    #[test]
    fn what_is_served_is_documented_and_nothing_else() {
        let rows = DOCUMENTED.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
        assert_eq!(served(), documented);
    }

    #[test]
    fn alerts_speak_of_metrics_that_exist_and_say_what_to_do() {
        let served = served();
        let is_served = |name: &str| {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            served.contains(name) || base.is_some_and(|base| served.contains(base))
        };
        let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
        assert!(alerts.len() >= 15, "{}", alerts.len());
        for alert in alerts {
            let name = alert.lines().next().unwrap_or_default();
            let (_, expression) = alert.split_once("expr:").expect(name);
            let (expression, rest) = expression.split_once("labels:").expect(name);
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let mut metrics = words.filter(|word| word.starts_with("inro_") || word.starts_with("process_"));
            let first = metrics.next();
            assert!(first.is_some(), "{name} asks for no metric");
            for metric in first.into_iter().chain(metrics) {
                assert!(is_served(metric), "{name}: {metric} isn't served");
            }
            for part in ["severity:", "summary:", "runbook:"] {
                assert!(rest.contains(part), "{name} has no {part}");
            }
        }
    }
}
