//! OCSP over HTTP: `GET /ocsp/{base64}` and `POST /ocsp` (RFC 6960, A; caching after RFC 9919).

use std::sync::{Arc, PoisonError, RwLock};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use base64::Engine;
use bytes::Bytes;
use ca_core::{
    app::answer_ocsp::{AnswerOcsp, OcspReply},
    domain::ocsp::{ErrorStatus, MAX_REQUEST_BYTES},
    ports::clock::Clock,
};

use super::{Validation, cacheable, unless_known};
use crate::http::{base64::BASE64, body::is_too_large, layers::plain};

/// GET is for small requests (RFC 9919 speaks of 255 octets); longer ones are posted.
const LONGEST_PATH: usize = 1024;

/// The responder; replaced as a whole when its certificate is renewed.
pub(crate) struct Responder {
    answer: RwLock<Arc<AnswerOcsp>>,
    clock: Arc<dyn Clock>,
}

impl Responder {
    pub(crate) fn new(answer: AnswerOcsp, clock: Arc<dyn Clock>) -> Self {
        Self { answer: RwLock::new(Arc::new(answer)), clock }
    }

    /// Answers with another responder certificate from now on.
    pub(crate) fn replace(&self, answer: AnswerOcsp) {
        *self.answer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    async fn answer(&self, request: &[u8]) -> OcspReply {
        let answer = self.answer.read().unwrap_or_else(PoisonError::into_inner).clone();
        answer.run(request).await
    }
}

/// An OCSP request in the path: percent-encoded base64 (RFC 6960, A.1).
#[utoipa::path(
    get,
    path = "/ocsp/{*request}",
    tag = "validation",
    operation_id = "ocspGet",
    params(("request" = String, Path, description = "The DER of the OCSPRequest in base64, percent-encoded")),
    responses(
        (status = 200, description = "An OCSPResponse, DER", content_type = "application/ocsp-response", body = [u8]),
        (status = 304, description = "It hasn't changed"),
        (status = 400, description = "This isn't base64", content_type = "text/plain", body = String),
        (status = 414, description = "Longer requests are posted", content_type = "text/plain", body = String),
    )
)]
pub(crate) async fn get(State(state): State<Arc<Validation>>, uri: Uri, headers: HeaderMap) -> Response {
    let request = match path_request(uri.path()) {
        Ok(request) => request,
        Err(status) => {
            state.metrics.outcome("ocsp", "unreadable-path");
            return plain(status, "An OCSP request stands in the path as percent-encoded base64.\n");
        }
    };
    let reply = state.ocsp.answer(&request).await;
    let Some(lasts) = reply.cacheable else {
        return uncached(&state, reply);
    };
    state.metrics.outcome("ocsp", outcome(&reply));
    let etag = hex::encode(&lasts.sha256[..16]);
    let now = state.ocsp.clock.now();
    let kind = "application/ocsp-response";
    unless_known(&headers, cacheable(kind, reply.der, &etag, lasts.this_update, lasts.next_update, now))
}

/// A GET without a request, which is refused.
#[utoipa::path(
    get,
    path = "/ocsp",
    tag = "validation",
    operation_id = "ocspGetNothing",
    responses((status = 400, description = "There is no request in the path", content_type = "text/plain", body = String))
)]
pub(crate) async fn get_nothing(state: State<Arc<Validation>>, uri: Uri, headers: HeaderMap) -> Response {
    get(state, uri, headers).await
}

/// The same with a slash at the end.
#[utoipa::path(
    get,
    path = "/ocsp/",
    tag = "validation",
    operation_id = "ocspGetNothingSlash",
    responses((status = 400, description = "There is no request in the path", content_type = "text/plain", body = String))
)]
pub(crate) async fn get_nothing_slash(
    state: State<Arc<Validation>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    get(state, uri, headers).await
}

/// An OCSP request as it is, with a slash at the end of the path.
#[utoipa::path(
    post,
    path = "/ocsp/",
    tag = "validation",
    operation_id = "ocspPostSlash",
    request_body(content = [u8], content_type = "application/ocsp-request"),
    responses(
        (status = 200, description = "An OCSPResponse, DER", content_type = "application/ocsp-response", body = [u8]),
        (status = 400, description = "The request broke off, or was too slow", content_type = "text/plain", body = String),
        (status = 413, description = "The request is too large", content_type = "text/plain", body = String),
        (status = 415, description = "Another media type", content_type = "text/plain", body = String),
    )
)]
pub(crate) async fn post_slash(state: State<Arc<Validation>>, request: Request) -> Response {
    post(state, request).await
}

/// An OCSP request as it is (RFC 6960, A.1).
#[utoipa::path(
    post,
    path = "/ocsp",
    tag = "validation",
    operation_id = "ocspPost",
    request_body(content = [u8], content_type = "application/ocsp-request"),
    responses(
        (status = 200, description = "An OCSPResponse, DER", content_type = "application/ocsp-response", body = [u8]),
        (status = 400, description = "The request broke off, or was too slow", content_type = "text/plain", body = String),
        (status = 413, description = "The request is too large", content_type = "text/plain", body = String),
        (status = 415, description = "Another media type", content_type = "text/plain", body = String),
    )
)]
pub(crate) async fn post(State(state): State<Arc<Validation>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("application/ocsp-request") {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Post application/ocsp-request.\n");
    }
    let octets = match posted(body).await {
        Ok(octets) => octets,
        Err((outcome, status, text)) => {
            state.metrics.outcome("ocsp", outcome);
            return plain(status, text);
        }
    };
    let reply = state.ocsp.answer(&octets).await;
    uncached(&state, reply)
}

/// The request in a body; else what is counted and answered.
async fn posted(body: Body) -> Result<Bytes, (&'static str, StatusCode, &'static str)> {
    to_bytes(body, MAX_REQUEST_BYTES).await.map_err(|error| {
        if is_too_large(&error) {
            ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.\n")
        } else {
            let text = "The request didn't arrive in time or in one piece.\n";
            ("broken-off", StatusCode::BAD_REQUEST, text)
        }
    })
}

fn uncached(state: &Validation, reply: OcspReply) -> Response {
    state.metrics.outcome("ocsp", outcome(&reply));
    let mut response = Response::new(Body::from(reply.der));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/ocsp-response"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// In metrics. HTTP's status can't tell these apart: each is 200.
fn outcome(reply: &OcspReply) -> &'static str {
    match (reply.error, reply.cacheable) {
        (None, Some(_)) => "answered",
        (None, None) => "answered-once",
        (Some(ErrorStatus::MalformedRequest), _) => "malformed",
        (Some(ErrorStatus::Unauthorized), _) => "unauthorized",
        (Some(ErrorStatus::TryLater), _) => "try-later",
    }
}

/// The request in a path: percent-decoded exactly once, then base64, padded or not.
fn path_request(path: &str) -> Result<Vec<u8>, StatusCode> {
    // Base64 may begin with a slash of its own, so only the one after the folder's name is taken away.
    let encoded = path.strip_prefix("/ocsp").unwrap_or_default();
    let encoded = encoded.strip_prefix('/').unwrap_or(encoded);
    if encoded.is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    if encoded.len() > LONGEST_PATH {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let decoded = percent_decode(encoded).ok_or(StatusCode::BAD_REQUEST)?;
    // Whoever encoded twice left a percent sign, which base64 doesn't have.
    BASE64.decode(&decoded).map_err(|_| StatusCode::BAD_REQUEST)
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'%' => {
                let mut octet = [0];
                hex::decode_to_slice([octets.next()?, octets.next()?], &mut octet).ok()?;
                octet[0]
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_a_large_one() {
        let largest = posted(Body::from(vec![0; MAX_REQUEST_BYTES])).await.expect("a request");
        assert_eq!(largest.len(), MAX_REQUEST_BYTES);

        let told = |refused: Result<Bytes, (&'static str, StatusCode, &'static str)>| {
            let (outcome, status, _) = refused.expect_err("it was taken");
            (outcome, status.as_u16())
        };
        let larger = posted(Body::from(vec![0; MAX_REQUEST_BYTES + 1])).await;
        assert_eq!(told(larger), ("too-large", 413));

        let parts = [Ok("0"), Err(std::io::Error::from(std::io::ErrorKind::TimedOut))];
        let broken = posted(Body::from_stream(futures::stream::iter(parts))).await;
        assert_eq!(told(broken), ("broken-off", 400));
    }

    #[test]
    fn a_path_is_decoded_once_and_bounded() {
        assert_eq!(path_request("/ocsp/MAMCAQE="), Ok(vec![0x30, 3, 2, 1, 1]));
        assert_eq!(path_request("/ocsp/MAMCAQE%3D"), Ok(vec![0x30, 3, 2, 1, 1]));
        assert_eq!(path_request("/ocsp/MAMCAQE"), Ok(vec![0x30, 3, 2, 1, 1]), "without padding");
        assert_eq!(path_request("/ocsp//+8="), path_request("/ocsp/%2F%2b8%3D"));
        for (path, status) in [
            ("/ocsp", StatusCode::BAD_REQUEST),
            ("/ocsp/", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE%253D", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE%3", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE%zz", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE=%+a", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCA%+4E=", StatusCode::BAD_REQUEST),
            ("/ocsp/MAM CAQE=", StatusCode::BAD_REQUEST),
            ("/ocsp/MAM%0ACAQE=", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE==", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQF=", StatusCode::BAD_REQUEST),
            ("/ocsp/-_8=", StatusCode::BAD_REQUEST),
            ("/ocsp/MAMCAQE=/", StatusCode::BAD_REQUEST),
            ("/ocsp/../crl/root.crl", StatusCode::BAD_REQUEST),
        ] {
            assert_eq!(path_request(path), Err(status), "{path}");
        }
        assert_eq!(path_request(&format!("/ocsp/{}", "A".repeat(65_536))), Err(StatusCode::URI_TOO_LONG));
    }
}
