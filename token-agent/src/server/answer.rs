//! The server's answers: problem details are refusals, and nothing else than JSON of the right kind is believed.

use std::{
    io::{self, Read},
    time::Instant,
};

use ca_wire::problem::Problem;
use reqwest::{StatusCode, blocking::Response, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;

use super::{Refusal, ServerError};

/// A certificate with four issuers in base64 stays well below.
const LARGEST: usize = 64 * 1024;
/// A revocation list of a hundred thousand certificates.
const LARGEST_PUBLISHED: usize = 4 * 1024 * 1024;

/// An answer of success, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    kind: String,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ServerError> {
        let expected =
            self.kind == "application/json" && matches!(self.status, StatusCode::OK | StatusCode::CREATED);
        let parsed = serde_json::from_slice(&self.body).ok().filter(|_| expected);
        parsed.ok_or_else(|| self.not_understood())
    }

    pub(super) fn not_understood(&self) -> ServerError {
        strange(self.status, &self.kind)
    }
}

/// Reads an answer, no longer than `until`; `failed` explains a connection that breaks meanwhile.
///
/// # Errors
/// With the refusal, when it is one.
pub(super) fn read(
    response: Response,
    until: Instant,
    failed: impl FnOnce(reqwest::Error) -> ServerError,
) -> Result<Answer, ServerError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(ServerError::Redirected(status.as_u16()));
    }
    let kind = media_type(&response);
    let body = body(response, LARGEST, until).map_err(|error| match error {
        BodyError::TooLarge => ServerError::TooLarge(LARGEST),
        BodyError::Late => ServerError::Timeout(None),
        BodyError::Broken(error) => match error.downcast::<reqwest::Error>() {
            Ok(error) => failed(error),
            Err(_) => ServerError::NotUnderstood(0),
        },
    })?;
    if status.is_success() {
        return Ok(Answer { status, kind, body });
    }
    Err(match refusal(&body).filter(|_| kind == "application/problem+json") {
        Some(refusal) => ServerError::Refused(refusal),
        None => strange(status, &kind),
    })
}

/// The octets of something published.
pub(super) fn octets(response: Response, until: Instant) -> Option<Vec<u8>> {
    body(response, LARGEST_PUBLISHED, until).ok()
}

/// Why a body isn't there whole.
#[derive(Debug)]
enum BodyError {
    TooLarge,
    Late,
    Broken(io::Error),
}

/// Reads to the end. The client's own time-out is for each piece: whoever sends an octet a second would never meet it.
fn body(mut from: impl Read, largest: usize, until: Instant) -> Result<Vec<u8>, BodyError> {
    let (mut body, mut piece) = (Vec::new(), [0; 8 * 1024]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(body),
            Ok(count) => body.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BodyError::Broken(error)),
        }
        if body.len() > largest {
            return Err(BodyError::TooLarge);
        }
        if Instant::now() >= until {
            return Err(BodyError::Late);
        }
    }
}

fn strange(status: StatusCode, kind: &str) -> ServerError {
    match kind {
        "text/html" | "application/xhtml+xml" => ServerError::WebPage(status.as_u16()),
        _ => ServerError::NotUnderstood(status.as_u16()),
    }
}

fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Problem details; a code that a newer server knows and we don't is kept as text.
fn refusal(body: &[u8]) -> Option<Refusal> {
    let mut value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let name = value.get("code")?.as_str()?.to_owned();
    let known = serde_json::from_value(value["code"].clone()).ok();
    if known.is_none() {
        value["code"] = "internal".into();
    }
    let problem: Problem = serde_json::from_value(value).ok()?;
    Some(Refusal {
        code: known,
        name,
        detail: problem.detail,
        retry_at: problem.retry_at,
        support_id: problem.support_id,
    })
}

#[cfg(test)]
mod tests {
    use ca_wire::problem::Code;

    use super::*;

    #[test]
    fn a_body_has_a_size_and_a_time() {
        use std::time::Duration;

        let later = Instant::now() + Duration::from_mins(10);
        assert_eq!(body(&b"whole"[..], 5, later).expect("read"), b"whole");
        assert!(matches!(body(&b"larger"[..], 5, later), Err(BodyError::TooLarge)));
        // It never ends and never fails.
        assert!(matches!(body(io::repeat(0), usize::MAX, Instant::now()), Err(BodyError::Late)));
        let whole = body(io::empty(), 5, Instant::now()).expect("what is there whole isn't late");
        assert!(whole.is_empty());
    }

    #[test]
    fn hostile_answers_are_read_without_a_panic() {
        use ca_wire::{
            enrolment::{Certified, Opened},
            token::{Released, Unblocking},
            version::AgentVersions,
        };
        use serde_json::json;

        let (id, time) = ("67e55044-10b1-426f-9247-bb680e5fe0c8", "2026-11-22T09:00:00Z");
        let certified = json!({"certificate": "MAA", "chain": ["MAA", "MAA"]});
        let key = json!({
            "slots": ["9a"], "algorithms": ["p256"], "pin_policy": "once", "touch_policy": "cached", "puk": "kept",
        });
        let samples = [
            json!({"lowest": "0.1.0", "newest": "0.2.0", "download": "https://bank.example", "server_time": time}),
            json!({
                "enrolment_id": id, "bearer": "b", "challenge": "AAAA", "expires_at": time, "key": key,
                "certified": certified,
            }),
            json!({
                "id": id, "number": "1234", "bearer": "b", "state": "waiting", "expires_at": time, "approvers": "branch",
            }),
            json!({"puks": [{"deposit": id, "puk": "n3xt-puk"}]}),
            json!({
                "type": "urn:inro:problem:throttled", "title": "t", "status": 429, "code": "throttled", "detail": "d",
                "retry_at": time, "support_id": "s1",
            }),
            certified,
        ];
        crate::hostile::bombard_json(&samples, |body| {
            let answer =
                Answer { status: StatusCode::OK, kind: "application/json".to_owned(), body: body.to_vec() };
            let _ = (answer.json::<AgentVersions>(), answer.json::<Opened>(), answer.json::<Certified>());
            let _ = (answer.json::<Unblocking>(), answer.json::<Released>());
            if let Some(refusal) = refusal(body) {
                for lang in [crate::messages::Lang::Ja, crate::messages::Lang::En] {
                    let _ = crate::messages::explain_server(&ServerError::Refused(refusal.clone()), lang);
                }
            }
        });
    }

    #[test]
    fn refusals_keep_codes_that_only_a_newer_server_knows() {
        let problem = |code: &str| {
            format!(
                r#"{{"type":"urn:inro:problem:{code}","title":"t","status":403,"code":"{code}","support_id":"s1"}}"#
            )
        };
        let known = refusal(problem("outside-hours").as_bytes()).expect("a refusal");
        assert_eq!(known.code, Some(Code::OutsideHours));
        let unknown = refusal(problem("full-moon").as_bytes()).expect("a refusal");
        assert_eq!((unknown.code, unknown.name.as_str()), (None, "full-moon"));
        assert_eq!(unknown.support_id.as_deref(), Some("s1"));
        assert_eq!(refusal(b"<html>"), None);
        assert_eq!(refusal(b"{}"), None);
    }
}
