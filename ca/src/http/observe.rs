//! What is seen of a request: a span with its support ID, counters, and one line in the log.
//!
//! Nothing that a client sent is in any of them but the method and `traceparent`: the route is the template that
//! matched, and identities stand in the audit trail.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use ca_core::{app::machines::Presented, ports::rng::Rng};
use tracing::{Instrument, Span, field::Empty};

use super::{clients::Identity, connection::Peer, support::SupportId};
use crate::{
    metrics::{Metrics, UnderWay},
    telemetry::{self, Trust},
};

/// The support ID in responses.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How a listener's requests are watched.
pub(super) struct Watch {
    pub(super) listener: &'static str,
    pub(super) metrics: Arc<Metrics>,
    pub(super) rng: Arc<dyn Rng>,
}

impl Watch {
    /// What strangers and probes ask without end is only worth a line when it goes wrong.
    fn is_busy(&self) -> bool {
        matches!(self.listener, "validation" | "ops")
    }

    fn span(&self, id: SupportId, route: &str, request: &Request) -> Span {
        let method = crate::metrics::method(request.method());
        macro_rules! span {
            ($level:ident) => {
                tracing::span!(
                    tracing::Level::$level,
                    "request",
                    support_id = %id,
                    listener = self.listener,
                    method,
                    route,
                    trace_id = Empty,
                    otel.name = format_args!("{method} {route}"),
                    otel.kind = "server",
                    otel.status_code = Empty,
                    http.response.status_code = Empty,
                )
            };
        }
        // Of a busy listener's request no span is made where it is neither logged nor traced.
        let span = if self.is_busy() { span!(DEBUG) } else { span!(INFO) };
        telemetry::follow(&span, request.headers(), trust(request));
        if let Some(trace) = telemetry::trace_id(&span) {
            span.record("trace_id", trace);
        }
        span
    }
}

/// Only behind the key of a registered machine are requests the bank's own.
fn trust(request: &Request) -> Trust {
    match request.extensions().get::<Peer>().map(|peer| &peer.identity) {
        Some(Identity::Machine(Presented::Registered { .. })) => Trust::Parent,
        _ => Trust::Link,
    }
}

/// Watches a request.
pub(super) async fn request(State(watch): State<Arc<Watch>>, mut request: Request, next: Next) -> Response {
    let id = SupportId::random(&*watch.rng);
    request.extensions_mut().insert(id);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let under_way = UnderWay::begin(watch.metrics.clone(), watch.listener, route, request.method());
    let span = watch.span(id, route, &request);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let milliseconds = under_way.answered(status.as_u16()).as_secs_f64() * 1e3;
    let status = status.as_u16();
    let _entered = span.enter();
    if !watch.is_busy() {
        tracing::info!(status, milliseconds, "answered");
    } else if status < 500 {
        tracing::debug!(status, milliseconds, "answered");
    } else {
        let listener = watch.listener;
        tracing::info!(support_id = %id, listener, route, status, milliseconds, "answered");
    }
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
