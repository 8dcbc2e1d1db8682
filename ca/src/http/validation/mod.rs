//! What relying parties ask over plain HTTP: OCSP, CRLs, CA certificates. Everything here is signed or public.

pub(crate) mod certificates;
pub(crate) mod crl;
pub(crate) mod ocsp;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use jiff::{Timestamp, fmt::rfc2822};

use super::layers::plain;
use crate::metrics::Metrics;

/// HTTP caches may keep OCSP responses and CRLs for so many seconds, so that a revocation shows within a minute.
const MAX_AGE: i64 = 60;

/// What the routes need.
pub(crate) struct Validation {
    pub(crate) ocsp: ocsp::Responder,
    pub(crate) crls: crl::Crls,
    pub(crate) certificates: certificates::CaCertificates,
    pub(crate) metrics: Arc<Metrics>,
}

/// The routes.
pub(crate) fn router(state: Arc<Validation>) -> Router {
    Router::new()
        .route("/ocsp", get(ocsp::get).post(ocsp::post))
        .route("/ocsp/", get(ocsp::get).post(ocsp::post))
        .route("/ocsp/{*request}", get(ocsp::get))
        .route("/crl/{name}", get(crl::get))
        .route("/ca/{name}", get(certificates::get))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "There is nothing here.\n") })
        .with_state(state)
}

/// An HTTP date (RFC 9110, 5.6.7).
fn http_date(at: Timestamp) -> HeaderValue {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A response that HTTP caches may keep until `until`, but no longer than [`MAX_AGE`].
fn cacheable(
    content_type: &'static str,
    body: impl Into<axum::body::Body>,
    etag: &str,
    modified: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> Response {
    let seconds = until.as_second().saturating_sub(now.as_second()).clamp(0, MAX_AGE);
    let expires = Timestamp::from_second(now.as_second() + seconds).unwrap_or(now);
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::LAST_MODIFIED, http_date(modified));
    headers.insert(header::EXPIRES, http_date(expires));
    if let Ok(value) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(header::ETAG, value);
    }
    let control = format!("public, max-age={seconds}, no-transform, must-revalidate");
    if let Ok(value) = HeaderValue::try_from(control) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    response
}

/// Whether the client has this version already (RFC 9110, 13.1.2).
fn not_modified(headers: &axum::http::HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == etag
    })
}
