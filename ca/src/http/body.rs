//! Bodies of requests. What doesn't decode is refused without repeating any of it, for it may hold a password.

use axum::{
    body::{Body, to_bytes},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use ca_wire::problem::Code;
use serde::de::Deserialize;

use super::problem::Refused;

/// A body of `application/json`, at most `limit` octets, not parsed yet.
pub(crate) async fn json_octets(parts: &Parts, body: Body, limit: usize) -> Result<Bytes, Refused> {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refused::new(Code::MalformedRequest)
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .because("Send application/json."));
    }
    to_bytes(body, limit).await.map_err(|error| {
        if is_too_large(&error) {
            Refused::new(Code::TooLarge).because(format!("At most {limit} octets are taken."))
        } else {
            Refused::new(Code::MalformedRequest).because("The body didn't arrive in time or in one piece.")
        }
    })
}

/// Whether a body broke off because it has more octets than are taken.
pub(super) fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

/// Reads `what` (`body`, `entry`) from JSON.
pub(crate) fn parse<'a, T: Deserialize<'a>>(what: &str, octets: &'a [u8]) -> Result<T, Refused> {
    serde_json::from_slice(octets).map_err(|error| {
        // serde's own message may quote a value.
        let problem = match error.classify() {
            serde_json::error::Category::Data => "it isn't what this request takes",
            _ => "it isn't JSON",
        };
        let place = format!("line {}, column {}", error.line(), error.column());
        Refused::new(Code::MalformedRequest)
            .because(format!("The {what} can't be read at {place}: {problem}."))
    })
}
