//! The server's answers: problem details are refusals, and nothing else than JSON of the right kind is believed.

use std::io::Read;

use ca_wire::problem::Problem;
use reqwest::{StatusCode, blocking::Response, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;

use super::{Refusal, ServerError};

/// A certificate with four issuers in base64 stays well below.
const LARGEST: u64 = 64 * 1024;

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

/// Reads an answer; `failed` explains a connection that breaks meanwhile.
///
/// # Errors
/// With the refusal, when it is one.
pub(super) fn read(
    response: Response,
    failed: impl FnOnce(reqwest::Error) -> ServerError,
) -> Result<Answer, ServerError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(ServerError::Redirected(status.as_u16()));
    }
    let kind = media_type(&response);
    let mut body = Vec::new();
    let read = response.take(LARGEST + 1).read_to_end(&mut body);
    read.map_err(|error| match error.downcast::<reqwest::Error>() {
        Ok(error) => failed(error),
        Err(_) => ServerError::NotUnderstood(0),
    })?;
    if body.len() as u64 > LARGEST {
        return Err(ServerError::TooLarge(LARGEST));
    }
    if status.is_success() {
        return Ok(Answer { status, kind, body });
    }
    Err(match refusal(&body).filter(|_| kind == "application/problem+json") {
        Some(refusal) => ServerError::Refused(refusal),
        None => strange(status, &kind),
    })
}

/// The octets of a small file.
pub(super) fn octets(response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    response.take(LARGEST + 1).read_to_end(&mut body).ok()?;
    (body.len() as u64 <= LARGEST).then_some(body)
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
