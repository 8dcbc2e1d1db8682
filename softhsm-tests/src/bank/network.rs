//! Where the authority listens, and plain HTTP to the listeners without TLS.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::card_client::Response;

/// The listeners' addresses, without a slash at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Urls {
    /// TLS: login top page, enrolment.
    pub public: String,
    /// TLS with a client certificate: the portal.
    pub client: String,
    /// Plain HTTP: OCSP, CRLs, CA certificates.
    pub validation: String,
    /// Plain HTTP: health and metrics.
    pub ops: String,
    /// TLS with a staff certificate: the console.
    pub staff: String,
}

impl Urls {
    /// Five listeners on consecutive ports.
    pub(super) fn on(first: u16) -> Self {
        let at = |origin, offset| format!("{origin}:{}", first + offset);
        Self {
            public: at("https://localhost", 0),
            client: at("https://localhost", 1),
            // Certificates carry it, and "localhost" isn't a fully qualified name (RFC 5280, 4.2.1.6).
            validation: at("http://127.0.0.1", 2),
            ops: at("http://localhost", 3),
            staff: at("https://localhost", 4),
        }
    }
}

/// How long clients keep an idle connection: shorter than the authority does, so that none asks on one that is just being
/// closed.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// GETs a plain HTTP address.
///
/// # Errors
/// When there is no response.
pub fn fetch(url: &str) -> Result<Response> {
    let client = reqwest::blocking::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .context("building a client")?;
    let response = client.get(url).send().with_context(|| format!("fetching {url}"))?;
    let headers = response.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Response {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: response.bytes().with_context(|| format!("reading {url}"))?.to_vec(),
    })
}
