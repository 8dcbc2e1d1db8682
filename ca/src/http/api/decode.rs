//! Out of a request into typed values; what doesn't decode is refused without repeating any of it, for it may hold a
//! password.

use axum::{
    body::Body,
    http::{HeaderMap, header, request::Parts},
};
use ca_core::domain::ids::IdempotencyKey;
use ca_wire::problem::Code;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::http::{body, path, problem::Refused};

/// A JSON body of at most `limit` octets.
pub(super) async fn json<T: DeserializeOwned>(parts: &Parts, body: Body, limit: usize) -> Result<T, Refused> {
    let octets = Zeroizing::new(body::json_octets(parts, body, limit).await?.to_vec());
    body::parse("body", &octets)
}

/// An identifier in a path.
pub(super) fn uuid(text: Option<&str>) -> Result<Uuid, Refused> {
    text.and_then(path::uuid).ok_or_else(|| Refused::new(Code::NotFound))
}

/// The `Idempotency-Key` header.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Refused> {
    let refused = || Refused::new(Code::IdempotencyKey);
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refused().because("Send exactly one Idempotency-Key header."));
    };
    let parsed = value.to_str().ok().map(IdempotencyKey::parse);
    parsed
        .and_then(Result::ok)
        .ok_or_else(|| refused().because("An idempotency key has 16 to 64 of 0-9, A-Z, a-z, '-' and '_'."))
}

/// The bearer in the `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<SecretString, Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer =
        value.and_then(|value| value.split_once(' ')).filter(|(s, _)| s.eq_ignore_ascii_case("bearer"));
    match bearer {
        Some((_, token)) => Ok(token.trim().into()),
        None => Err(Refused::new(Code::BearerInvalid).because("Send Authorization: Bearer.")),
    }
}

/// Whether version `text` is at least `lowest`, number by number; a text that is no version is below all.
pub(super) fn is_at_least(text: &str, lowest: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        parts.filter(|parts| parts.len() == 3)
    };
    numbers(text).is_some_and(|version| Some(version) >= numbers(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        for (version, lowest, expected) in [
            ("0.10.0", "0.9.9", true),
            ("0.9.9", "0.10.0", false),
            ("1.0.0", "1.0.0", true),
            ("1.0", "0.0.1", false),
            ("new", "0.0.1", false),
        ] {
            assert_eq!(is_at_least(version, lowest), expected, "{version} against {lowest}");
        }
    }

    #[tokio::test]
    async fn a_refused_body_is_never_repeated() {
        let (parts, ()) = axum::http::Request::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(())
            .expect("a request")
            .into_parts();
        let body = Body::from(r#"{"user_id": "hunter2-hunter2", "password": 5}"#);
        let refused = json::<ca_wire::enrolment::Open>(&parts, body, 1024).await.err().expect("a refusal");
        assert_eq!(refused.code, Code::MalformedRequest);
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
    }
}
