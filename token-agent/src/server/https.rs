//! The enrolment API over HTTPS: TLS only, the server's name checked, no redirect followed, answers bounded in time and
//! size. Nothing is repeated by itself: whoever runs the agent again resumes.

use std::{error::Error, io::Read, time::Duration};

use ca_wire::{
    enrolment::{Certified, Certify, Confirm, Open, Opened},
    problem::Problem,
    version::AgentVersions,
};
use reqwest::{
    Certificate, NoProxy, Proxy, StatusCode, Url,
    blocking::{Client, RequestBuilder, Response},
    header::{CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroize;

use super::{EnrolmentApi, OpenRequest, Refusal, ServerError, Session, Version};
use crate::secret::Secret;

const CONNECT: Duration = Duration::from_secs(15);
/// The whole of a request; issuing takes a second at most, but a proxy may be slow.
const REQUEST: Duration = Duration::from_mins(1);
/// A certificate with four issuers in base64 stays well below.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// How to reach the server.
pub(crate) struct Connection<'a> {
    /// `https://host[:port]`.
    pub(crate) server: &'a str,
    /// PEM of the only authorities that may certify the server; `None` for those of the system.
    pub(crate) authorities: Option<(&'a str, &'a [u8])>,
    /// `None` for what `HTTPS_PROXY` and `NO_PROXY` say.
    pub(crate) proxy: Option<&'a str>,
    /// User name and password for the proxy; they aren't those of the bank.
    pub(crate) proxy_credentials: Option<(&'a str, &'a Secret)>,
}

/// The server behind HTTPS.
pub(crate) struct HttpsApi {
    client: Client,
    base: Url,
    origin: String,
}

impl HttpsApi {
    pub(crate) fn new(connection: &Connection<'_>) -> Result<Self, ServerError> {
        let base = base_of(connection.server)?;
        let mut builder = Client::builder()
            .user_agent(concat!("inro-agent/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(REQUEST);
        if let Some((path, pem)) = connection.authorities {
            let unusable = || ServerError::Authorities(path.to_owned());
            let authorities = Certificate::from_pem_bundle(pem).map_err(|_| unusable())?;
            if authorities.is_empty() {
                return Err(unusable());
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(proxy) = proxy_of(connection)? {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(ServerError::Setup)?;
        let origin = base.origin().ascii_serialization();
        Ok(Self { client, base, origin })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    fn post(
        &self,
        path: &str,
        idempotency_key: &str,
        bearer: Option<&str>,
        request: &impl Serialize,
    ) -> Result<Answer, ServerError> {
        let body = serde_json::to_vec(request).map_err(|_| ServerError::NotUnderstood(0))?;
        let mut post = self.client.post(self.url(path)).header("Idempotency-Key", idempotency_key);
        if let Some(bearer) = bearer {
            post = post.header("Authorization", sensitive(&format!("Bearer {bearer}"))?);
        }
        send(post.header(CONTENT_TYPE, "application/json").body(body))
    }
}

impl EnrolmentApi for HttpsApi {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn versions(&self) -> Result<AgentVersions, ServerError> {
        send(self.client.get(self.url("/api/v1/agent")))?.json()
    }

    fn open(&self, idempotency_key: &str, request: &OpenRequest<'_>) -> Result<Opened, ServerError> {
        let mut open = Open {
            user_id: request.user_id.to_owned(),
            password: request.password.expose().to_owned(),
            acquisition_code: request.acquisition_code.map(|code| code.expose().to_owned()),
            device: request.device.clone(),
            tpm: request.tpm.clone(),
            renews: None,
            agent_version: Version::OWN.to_owned(),
        };
        let answer = self.post("/api/v1/enrolments", idempotency_key, None, &open);
        open.password.zeroize();
        open.acquisition_code.zeroize();
        answer?.json()
    }

    fn certify(&self, session: &Session, request: &Certify) -> Result<Certified, ServerError> {
        let path = format!("/api/v1/enrolments/{}/certificate", session.enrolment_id);
        self.post(&path, &session.idempotency_key, Some(&session.bearer), request)?.json()
    }

    fn confirm(&self, session: &Session, request: &Confirm) -> Result<(), ServerError> {
        let path = format!("/api/v1/enrolments/{}/confirmation", session.enrolment_id);
        let answer = self.post(&path, &session.idempotency_key, Some(&session.bearer), request)?;
        if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(answer.not_understood()) }
    }
}

/// An answer of success, read whole.
struct Answer {
    status: StatusCode,
    json: bool,
    body: Vec<u8>,
}

impl Answer {
    fn json<T: DeserializeOwned>(&self) -> Result<T, ServerError> {
        let expected = self.json && matches!(self.status, StatusCode::OK | StatusCode::CREATED);
        let parsed = serde_json::from_slice(&self.body).ok().filter(|_| expected);
        parsed.ok_or_else(|| self.not_understood())
    }

    fn not_understood(&self) -> ServerError {
        ServerError::NotUnderstood(self.status.as_u16())
    }
}

fn send(request: RequestBuilder) -> Result<Answer, ServerError> {
    let response = request.send().map_err(classify)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(ServerError::Redirected(status.as_u16()));
    }
    let kind = media_type(&response);
    let body = read(response)?;
    if status.is_success() {
        return Ok(Answer { status, json: kind == "application/json", body });
    }
    match refusal(&body).filter(|_| kind == "application/problem+json") {
        Some(refusal) => Err(ServerError::Refused(refusal)),
        None => Err(ServerError::NotUnderstood(status.as_u16())),
    }
}

fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn read(response: Response) -> Result<Vec<u8>, ServerError> {
    let mut body = Vec::new();
    response.take(LARGEST_ANSWER + 1).read_to_end(&mut body).map_err(|error| {
        match error.downcast::<reqwest::Error>() {
            Ok(error) => classify(error),
            Err(_) => ServerError::NotUnderstood(0),
        }
    })?;
    if body.len() as u64 > LARGEST_ANSWER { Err(ServerError::TooLarge(LARGEST_ANSWER)) } else { Ok(body) }
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

fn base_of(server: &str) -> Result<Url, ServerError> {
    let wrong = || ServerError::NotHttps(server.to_owned());
    let url = Url::parse(server).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if url.scheme() == "https" && url.host().is_some() && bare && anonymous { Ok(url) } else { Err(wrong()) }
}

fn proxy_of(connection: &Connection<'_>) -> Result<Option<Proxy>, ServerError> {
    let Some(address) = connection.proxy else {
        return Ok(None);
    };
    let wrong = || ServerError::Proxy(address.to_owned());
    let url = Url::parse(address).map_err(|_| wrong())?;
    // A password in the address would stand in the process list.
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.password().is_some() {
        return Err(wrong());
    }
    let proxy = Proxy::all(url).map_err(|_| wrong())?.no_proxy(NoProxy::from_env());
    Ok(Some(match connection.proxy_credentials {
        Some((user, password)) => proxy.basic_auth(user, password.expose()),
        None => proxy,
    }))
}

fn sensitive(value: &str) -> Result<HeaderValue, ServerError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ServerError::NotUnderstood(0))?;
    value.set_sensitive(true);
    Ok(value)
}

fn classify(error: reqwest::Error) -> ServerError {
    // The address holds nothing secret, but nothing that helps either.
    let error = error.without_url();
    if error.is_timeout() {
        ServerError::Timeout(error)
    } else if causes(&error).any(is_about_the_certificate) {
        ServerError::Certificate(error)
    } else if causes(&error).any(|cause| cause.to_string().contains("proxy authorization required")) {
        ServerError::ProxyAuthentication(error)
    } else if error.is_connect() || error.is_builder() {
        ServerError::Unreachable(error)
    } else {
        ServerError::Broken(error)
    }
}

/// The error and what is behind it. `io::Error` passes over the error it wraps; that is the one of interest here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => (*error).source(),
        }
    })
}

fn is_about_the_certificate(cause: &(dyn Error + 'static)) -> bool {
    let tls = cause.downcast_ref::<rustls::Error>();
    matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

#[cfg(test)]
mod tests {
    use ca_wire::problem::Code;

    use super::*;

    #[test]
    fn only_bare_https_origins_are_servers() {
        assert!(base_of("https://bank.example").is_ok());
        assert!(base_of("https://127.0.0.1:8443/").is_ok());
        for bad in [
            "http://bank.example",
            "bank.example",
            "ftp://bank.example",
            "https://",
            "https://user@bank.example",
            "https://bank.example/portal",
            "https://bank.example/?a",
        ] {
            assert!(matches!(base_of(bad), Err(ServerError::NotHttps(_))), "{bad} was taken");
        }
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

    #[test]
    fn passwords_in_a_proxy_address_are_refused() {
        let connection = |proxy| Connection {
            server: "https://bank.example",
            authorities: None,
            proxy: Some(proxy),
            proxy_credentials: None,
        };
        assert!(proxy_of(&connection("http://proxy.example:3128")).is_ok());
        for bad in ["proxy.example:3128", "http://u:p@proxy.example", "socks5://proxy.example"] {
            assert!(matches!(proxy_of(&connection(bad)), Err(ServerError::Proxy(_))), "{bad} was taken");
        }
    }
}
