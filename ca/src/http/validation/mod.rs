//! What relying parties ask over plain HTTP: OCSP, CRLs, CA certificates. Everything here is signed or public.

pub(crate) mod certificates;
pub(crate) mod crl;
pub(crate) mod ocsp;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::{Timestamp, fmt::rfc2822};
use utoipa_axum::{router::OpenApiRouter, routes};

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

/// The routes, and what the document says of them.
pub(crate) fn routes() -> OpenApiRouter<Arc<Validation>> {
    OpenApiRouter::new()
        .routes(routes!(ocsp::get_nothing, ocsp::post))
        .routes(routes!(ocsp::get_nothing_slash, ocsp::post_slash))
        .routes(routes!(ocsp::get))
        .routes(routes!(crl::get))
        .routes(routes!(certificates::get))
}

/// The routes with everything else refused.
pub(crate) fn router(state: Arc<Validation>) -> Router {
    let (routes, _) = routes().split_for_parts();
    routes.fallback(|| async { plain(StatusCode::NOT_FOUND, "There is nothing here.\n") }).with_state(state)
}

/// An HTTP date (RFC 9110, 5.6.7).
fn http_date(at: Timestamp) -> HeaderValue {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A response that HTTP caches may keep until `until`, but no longer than [`MAX_AGE`].
fn cacheable(
    content_type: &'static str,
    body: impl Into<Body>,
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

/// `response`, or 304 with the same caching fields for a client that has this version already (RFC 9110, 15.4.5).
fn unless_known(request: &HeaderMap, mut response: Response) -> Response {
    if is_known(request, response.headers()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

/// If-None-Match, else If-Modified-Since (RFC 9110, 13.2.2).
fn is_known(request: &HeaderMap, response: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    if request.contains_key(header::IF_NONE_MATCH) {
        let current = response.get(header::ETAG).and_then(text).unwrap_or_default();
        let tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(text);
        return tags.into_iter().any(|tags| {
            let mut tags = tags.split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current)
        });
    }
    let date = |headers: &HeaderMap, name| {
        let parsed = rfc2822::DateTimeParser::new().parse_timestamp(headers.get(name).and_then(text)?);
        parsed.ok()
    };
    let since = date(request, header::IF_MODIFIED_SINCE);
    let modified = date(response, header::LAST_MODIFIED);
    since.zip(modified).is_some_and(|(since, modified)| modified <= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: header::HeaderName, value: &str) -> Response {
        let at = |second: i64| Timestamp::from_second(1_795_000_000 + second).expect("in range");
        let response = cacheable("application/pkix-crl", "CRL", "7", at(0), at(3600), at(60));
        let mut request = HeaderMap::new();
        request.insert(name, HeaderValue::try_from(value).expect("a value"));
        unless_known(&request, response)
    }

    #[test]
    fn who_has_this_version_is_told_so_with_the_caching_fields() {
        let modified = answer(header::ACCEPT, "*/*").headers()[header::LAST_MODIFIED].clone();
        let modified = modified.to_str().expect("a date");
        for (name, value, status) in [
            (header::IF_NONE_MATCH, "\"7\"", 304),
            (header::IF_NONE_MATCH, "\"6\", W/\"7\"", 304),
            (header::IF_NONE_MATCH, "*", 304),
            (header::IF_NONE_MATCH, "\"6\"", 200),
            (header::IF_MODIFIED_SINCE, modified, 304),
            (header::IF_MODIFIED_SINCE, "Sun, 01 Nov 2026 00:00:00 GMT", 200),
            (header::IF_MODIFIED_SINCE, "yesterday", 200),
        ] {
            let response = answer(name.clone(), value);
            assert_eq!(response.status().as_u16(), status, "{name}: {value}");
            for kept in [header::ETAG, header::CACHE_CONTROL, header::EXPIRES] {
                assert!(response.headers().contains_key(&kept), "{name}: {value}: no {kept}");
            }
            assert_eq!(response.headers().contains_key(header::CONTENT_TYPE), status == 200);
        }
    }
}
