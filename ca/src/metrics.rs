//! What Prometheus sees: counters of requests and decisions, gauges of freshness.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// `public`, `client`, `validation`, `ops`.
    pub(crate) listener: &'static str,
    /// The HTTP status' first digit, such as `2xx`.
    pub(crate) class: &'static str,
}

/// Labels of something that was decided or done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    /// What, such as `enrolment`, `login`, `ocsp`, `publish_crl`.
    pub(crate) what: &'static str,
    /// How it ended, a stable code.
    pub(crate) outcome: &'static str,
}

/// Labels of a per-issuer gauge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct IssuerLabels {
    /// The issuer's ID.
    pub(crate) issuer: String,
}

type Gauges = Family<IssuerLabels, Gauge<f64, AtomicU64>>;

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    /// HTTP requests.
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// Decisions and jobs.
    pub(crate) outcomes: Family<OutcomeLabels, Counter>,
    /// nextUpdate of the current CRL, seconds since 1970.
    pub(crate) crl_next_update: Gauges,
    /// Entries of the current CRL.
    pub(crate) crl_entries: Gauges,
    /// notAfter of the OCSP responder's certificate, seconds since 1970.
    pub(crate) ocsp_responder_not_after: Gauges,
    /// notAfter of the issuing certificate, seconds since 1970.
    pub(crate) issuer_not_after: Gauges,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("inro_ca");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests by listener and status class", requests.clone());
        let outcomes = Family::default();
        registry.register("outcomes", "Decisions and jobs by outcome", outcomes.clone());
        let mut gauges = |name: &str, help: &str| {
            let family = Gauges::default();
            registry.register(name, help, family.clone());
            family
        };
        let crl_next_update =
            gauges("crl_next_update_seconds", "nextUpdate of the current CRL, seconds since 1970");
        let crl_entries = gauges("crl_entries", "Entries of the current CRL");
        let ocsp_responder_not_after = gauges(
            "ocsp_responder_not_after_seconds",
            "notAfter of the OCSP responder's certificate, seconds since 1970",
        );
        let issuer_not_after =
            gauges("issuer_not_after_seconds", "notAfter of the issuing certificate, seconds since 1970");
        Self {
            registry,
            requests,
            outcomes,
            crl_next_update,
            crl_entries,
            ocsp_responder_not_after,
            issuer_not_after,
        }
    }
}

impl Metrics {
    /// The text exposition.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String doesn't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a request.
    pub(crate) fn request(&self, listener: &'static str, status: u16) {
        let class = match status {
            0..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&RequestLabels { listener, class }).inc();
    }

    /// Counts a decision or a job's run.
    pub(crate) fn outcome(&self, what: &'static str, outcome: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { what, outcome }).inc();
    }
}
