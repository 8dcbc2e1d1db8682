//! What every listener wraps round its routes: deadlines, body limits, security headers, counting, support IDs.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use ca_core::ports::rng::Rng;
use tower_http::{
    set_header::SetResponseHeaderLayer,
    timeout::{RequestBodyDeadlineLayer, TimeoutLayer},
};

use super::support;
use crate::metrics::Metrics;

/// A whole request may take so long to be answered. What it started goes on.
const REQUEST: Duration = Duration::from_secs(30);
/// Its body must have arrived by then.
const BODY: Duration = Duration::from_secs(15);

/// The layers that every listener has.
pub(crate) fn common(
    router: Router,
    listener: &'static str,
    metrics: Arc<Metrics>,
    rng: Arc<dyn Rng>,
    body_limit: usize,
) -> Router {
    let count = move |request: Request, next: Next| {
        let metrics = metrics.clone();
        async move {
            let response = next.run(request).await;
            metrics.request(listener, response.status().as_u16());
            response
        }
    };
    router
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(RequestBodyDeadlineLayer::new(BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(middleware::from_fn(count))
        .layer(middleware::from_fn_with_state(rng, support::assign))
}

/// The headers of pages and of the API, on TLS listeners: nothing is stored, framed, scripted or sent elsewhere.
pub(crate) fn private(router: Router) -> Router {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
                          frame-ancestors 'none'; base-uri 'none'";
    let headers: [(HeaderName, &str); 7] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), usb=()"),
    ];
    headers.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value)))
    })
}

/// Turns a response without a body of its own (such as 404 of an unknown route) into plain text.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
