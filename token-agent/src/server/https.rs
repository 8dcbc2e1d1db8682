//! The enrolment API over HTTPS: TLS only, the server's name and authorities checked ([`super::trust`]), no redirect
//! followed, answers bounded in time and size. Nothing is repeated by itself: whoever runs the agent again resumes.

mod custody;

use std::time::{Duration, Instant};

use ca_wire::{
    enrolment::{Certified, Certify, Confirm, Open, Opened},
    version::AgentVersions,
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{
    Proxy, StatusCode, Url,
    blocking::{Client, ClientBuilder, RequestBuilder},
    header::{CONTENT_TYPE, DATE, HeaderValue},
    redirect::Policy,
};
use serde::Serialize;
use zeroize::Zeroize;

use super::{
    BadCertificate, EnrolmentApi, OpenRequest, ServerError, Session, Version,
    answer::{self, Answer},
    classify::{Circumstances, classify},
    trust::{JudgedAt, Trust},
    tunnel,
};
use crate::proxy::Way;

const CONNECT: Duration = Duration::from_secs(15);
/// The whole of a request, unless another time is configured; issuing takes a second at most, but a proxy may be slow.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// A clock that differs by less isn't why a certificate is out of its time.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How to reach the server.
pub(crate) struct Connection {
    /// From [`server_address`].
    pub(crate) server: Url,
    pub(crate) trust: Trust,
    pub(crate) way: Way,
    /// How long a request may take, from the first octet to the last.
    pub(crate) patience: Duration,
}

/// The server behind HTTPS.
pub(crate) struct HttpsApi {
    client: Client,
    connection: Connection,
    origin: String,
}

impl HttpsApi {
    pub(crate) fn new(connection: Connection) -> Result<Self, ServerError> {
        let client = client(&connection, JudgedAt::Now)?;
        let origin = connection.server.origin().ascii_serialization();
        Ok(Self { client, connection, origin })
    }

    /// How the server is reached.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.connection.server.clone();
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
        self.send(post.header(CONTENT_TYPE, "application/json").body(body))
    }

    fn send(&self, request: RequestBuilder) -> Result<Answer, ServerError> {
        let failed = |error| self.explained(classify(error, &self.circumstances()));
        let until = Instant::now() + self.connection.patience;
        let response = request.send().map_err(failed)?;
        answer::read(response, until, failed)
    }

    fn circumstances(&self) -> Circumstances {
        let Connection { server, trust, way, .. } = &self.connection;
        let proxy = way.proxy.as_ref();
        Circumstances {
            server: host_and_port(server),
            proxy: proxy.map(|proxy| (proxy.to_string(), proxy.credentials.is_some())),
            script: way.script.clone(),
            presented: trust.presented(),
        }
    }

    /// Looks closer at what people can do something about, once it has failed.
    fn explained(&self, error: ServerError) -> ServerError {
        match error {
            ServerError::ProxyAuthentication { proxy, given, source, .. } => {
                let schemes = self.ask_proxy().map(|answer| answer.schemes).unwrap_or_default();
                ServerError::ProxyAuthentication { proxy, given, schemes, source }
            }
            ServerError::ProxyRefused { proxy, source, .. } => {
                let status = self.ask_proxy().map(|answer| answer.status);
                ServerError::ProxyRefused { proxy, status, source }
            }
            // A proxy that connects isn't the one that is silent.
            ServerError::Silent { hop, source } if hop.is_proxy => {
                let connects = self.ask_proxy().is_some_and(|answer| answer.status == 200);
                let hop = if connects { self.circumstances().server() } else { hop };
                ServerError::Silent { hop, source }
            }
            ServerError::Certificate(
                why @ (BadCertificate::Expired { .. } | BadCertificate::NotYetValid { .. }),
                source,
            ) => self.clock().unwrap_or(ServerError::Certificate(why, source)),
            other => other,
        }
    }

    /// What the proxy answers to a request for the way to the server.
    pub(crate) fn ask_proxy(&self) -> Option<tunnel::Answer> {
        let Connection { server, way, patience, .. } = &self.connection;
        let port = server.port_or_known_default()?;
        tunnel::ask(way.proxy.as_ref()?, server.host_str()?, port, *patience)
    }

    /// What the authority publishes, such as an issuer's certificate, over plain HTTP and the same proxy; a responder
    /// (RFC 6960) is asked with what is posted.
    pub(crate) fn fetch(&self, url: &str, posted: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let client = through(Client::builder(), &self.connection).ok()?;
        let patience = CONNECT.min(self.connection.patience);
        let client = client.redirect(Policy::none()).timeout(patience).build().ok()?;
        let until = Instant::now() + patience;
        let request = match posted {
            Some(body) => client.post(url).header(CONTENT_TYPE, "application/ocsp-request").body(body),
            None => client.get(url),
        };
        let response = request.send().ok().filter(|response| response.status().is_success())?;
        answer::octets(response, until)
    }

    /// Whether it is this computer's clock by which the server's certificate is out of its time. The server is asked for
    /// its time, with everything about it checked but that; nothing else is told to it or believed.
    fn clock(&self) -> Option<ServerError> {
        let client = client(&self.connection, JudgedAt::ItsOwnTime).ok()?;
        let response = client.get(self.url("/api/v1/agent")).send().ok()?;
        let date = response.headers().get(DATE)?.to_str().ok()?;
        let there = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        let here = Timestamp::now();
        let differs = here.duration_since(there).abs() > CLOCK_TOLERANCE;
        let fits = self.connection.trust.presented().is_some_and(|presented| presented.covers(there));
        (differs && fits).then_some(ServerError::Clock { here, there })
    }
}

fn client(connection: &Connection, judged: JudgedAt) -> Result<Client, ServerError> {
    let builder = Client::builder()
        .user_agent(concat!("inro-agent/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(Policy::none())
        .referer(false)
        // Less than the whole, so that who doesn't even greet is told from who doesn't answer.
        .connect_timeout(CONNECT.min(connection.patience / 2))
        .timeout(connection.patience)
        .tls_backend_preconfigured(connection.trust.client(judged)?);
    through(builder, connection)?.build().map_err(ServerError::Setup)
}

/// By the way that was found; what the environment says has been considered there.
fn through(builder: ClientBuilder, connection: &Connection) -> Result<ClientBuilder, ServerError> {
    let builder = builder.no_proxy();
    let Some(proxy) = &connection.way.proxy else { return Ok(builder) };
    let through = Proxy::all(proxy.address.clone()).map_err(ServerError::Setup)?;
    Ok(builder.proxy(match &proxy.credentials {
        Some((user, password)) => through.basic_auth(user, password.expose()),
        None => through,
    }))
}

impl EnrolmentApi for HttpsApi {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn versions(&self) -> Result<AgentVersions, ServerError> {
        self.send(self.client.get(self.url("/api/v1/agent")))?.json()
    }

    fn open(&self, idempotency_key: &str, request: &OpenRequest<'_>) -> Result<Opened, ServerError> {
        let mut open = Open {
            user_id: request.user_id.to_owned(),
            password: request.password.expose().to_owned(),
            acquisition_code: request.acquisition_code.map(|code| code.expose().to_owned()),
            device: request.device.clone(),
            tpm: request.tpm.clone(),
            renews: request.renews.map(str::to_owned),
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

/// The server's address.
///
/// # Errors
/// When it isn't `https://host[:port]`.
pub(crate) fn server_address(server: &str) -> Result<Url, ServerError> {
    let wrong = || ServerError::NotHttps(server.to_owned());
    let url = Url::parse(server).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if url.scheme() == "https" && url.host().is_some() && bare && anonymous { Ok(url) } else { Err(wrong()) }
}

/// `host:port`
pub(crate) fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443))
}

fn sensitive(value: &str) -> Result<HeaderValue, ServerError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ServerError::NotUnderstood(0))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_https_origins_are_servers() {
        assert!(server_address("https://bank.example").is_ok());
        assert!(server_address("https://127.0.0.1:8443/").is_ok());
        for bad in [
            "http://bank.example",
            "bank.example",
            "ftp://bank.example",
            "https://",
            "https://user@bank.example",
            "https://bank.example/portal",
            "https://bank.example/?a",
        ] {
            assert!(matches!(server_address(bad), Err(ServerError::NotHttps(_))), "{bad} was taken");
        }
    }
}
