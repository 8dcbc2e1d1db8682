//! What every listener wraps round its routes: limits of bodies, security headers, and what watches requests.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, StatusCode, Version, header},
    middleware::{self, Next},
    response::Response,
};
use ca_core::ports::rng::Rng;
use tower::ServiceBuilder;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::RequestBodyDeadlineLayer};

use super::observe::{self, Watch};
use crate::metrics::Metrics;

/// A request's body must have arrived by then.
const BODY: Duration = Duration::from_secs(15);

/// The layers that every listener has.
pub(crate) fn common(
    router: Router,
    listener: &'static str,
    metrics: Arc<Metrics>,
    rng: Arc<dyn Rng>,
    body_limit: usize,
) -> Router {
    let watch = Arc::new(Watch { listener, metrics, rng });
    // All in one, the outermost first: each layer of a router by itself boxes every request once more.
    router.layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn_with_state(watch, observe::request))
            .layer(middleware::from_fn(one_host))
            .layer(SetResponseHeaderLayer::if_not_present(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ))
            .layer(RequestBodyDeadlineLayer::new(BODY))
            .layer(DefaultBodyLimit::max(body_limit)),
    )
}

/// RFC 9112, 3.2: without a host, or with two, a request means one thing here and another at a proxy.
async fn one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return plain(StatusCode::BAD_REQUEST, "Send exactly one Host header.\n");
    }
    next.run(request).await
}

/// The headers of pages and of the API, on TLS listeners: nothing is stored, framed, scripted or sent elsewhere.
pub(crate) fn private(router: Router) -> Router {
    router.layer(middleware::map_response(with_private_headers))
}

async fn with_private_headers(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
                          frame-ancestors 'none'; base-uri 'none'";
    let headers: [(HeaderName, &str); 8] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), usb=()"),
    ];
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
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

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_names_one_host() {
        for (version, hosts, status) in [
            (Version::HTTP_11, &["a"][..], 200),
            (Version::HTTP_11, &[], 400),
            (Version::HTTP_11, &["a", "a"], 400),
            (Version::HTTP_10, &[], 200),
            (Version::HTTP_10, &["a", "b"], 400),
            (Version::HTTP_2, &[], 200),
        ] {
            let router = Router::new().route("/", get(|| async {})).layer(middleware::from_fn(one_host));
            let mut request = Request::builder().version(version).body(Body::empty()).expect("a request");
            for host in hosts {
                request.headers_mut().append(header::HOST, HeaderValue::from_static(host));
            }
            let response = router.oneshot(request).await.expect("a response");
            assert_eq!(response.status().as_u16(), status, "{version:?} {hosts:?}");
        }
    }
}
