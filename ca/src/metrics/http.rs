//! Requests and connections: rate, errors, duration, and how full the listeners are.

use std::{sync::Arc, time::Duration};

use axum::http::Method;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use tokio::time::Instant;

use super::{
    Histograms, Metrics, Register,
    labels::{ListenerLabels, RequestLabels, RouteLabels, class, method},
};

/// From a cached OCSP response to the deadline of a request.
const BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Metrics of the listeners.
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Histograms<RouteLabels>,
    in_flight: Family<ListenerLabels, Gauge>,
    connections: Family<ListenerLabels, Gauge>,
    connection_limit: Family<ListenerLabels, Gauge>,
    accepted: Family<ListenerLabels, Counter>,
    broken: Family<ListenerLabels, Counter>,
}

impl HttpMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let duration = "From a request's header to its answer's header";
        Self {
            requests: register.metric("http_requests", "Requests by how they were answered"),
            duration: register.seconds("http_request_duration_seconds", duration, BOUNDS),
            in_flight: register.metric("http_requests_in_flight", "Requests that are being answered"),
            connections: register.metric("http_connections", "Open connections"),
            connection_limit: register.metric("http_connections_limit", "Connections that may be open"),
            accepted: register.metric("http_connections_accepted", "Connections that were accepted"),
            broken: register.metric("http_handshakes_failed", "TLS handshakes that failed or took too long"),
        }
    }

    /// How many connections a listener may have.
    pub(crate) fn limit(&self, listener: &'static str, connections: usize) {
        let connections = i64::try_from(connections).unwrap_or(i64::MAX);
        self.connection_limit.get_or_create(&ListenerLabels { listener }).set(connections);
    }

    /// Counts a connection as open until the value is dropped.
    pub(crate) fn connected(&self, listener: &'static str) -> OpenConnection {
        let labels = ListenerLabels { listener };
        self.accepted.get_or_create(&labels).inc();
        let open = self.connections.get_or_create_owned(&labels);
        open.inc();
        OpenConnection { open }
    }

    /// Counts a TLS handshake that came to nothing.
    pub(crate) fn handshake_failed(&self, listener: &'static str) {
        self.broken.get_or_create(&ListenerLabels { listener }).inc();
    }
}

/// A connection, until dropped.
pub(crate) struct OpenConnection {
    open: Gauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// A request that is being answered. Dropped before it [was](Self::answered), its client went away.
pub(crate) struct UnderWay {
    metrics: Arc<Metrics>,
    labels: RouteLabels,
    began: Instant,
    class: &'static str,
}

impl UnderWay {
    /// Begins to count and to time a request.
    pub(crate) fn begin(metrics: Arc<Metrics>, listener: &'static str, route: &str, of: &Method) -> Self {
        metrics.http.in_flight.get_or_create(&ListenerLabels { listener }).inc();
        let labels = RouteLabels { listener, route: route.to_owned(), method: method(of) };
        Self { metrics, labels, began: Instant::now(), class: "gone" }
    }

    /// Ends it with an answer; returns how long it took.
    pub(crate) fn answered(mut self, status: u16) -> Duration {
        self.class = class(status);
        self.began.elapsed()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let http = &self.metrics.http;
        let RouteLabels { listener, route, method } = self.labels.clone();
        http.in_flight.get_or_create(&ListenerLabels { listener }).dec();
        http.duration.get_or_create(&self.labels).observe(self.began.elapsed().as_secs_f64());
        http.requests.get_or_create(&RequestLabels { listener, route, method, class: self.class }).inc();
    }
}
