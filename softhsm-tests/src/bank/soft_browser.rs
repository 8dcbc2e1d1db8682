//! A browser at the portal whose key is in this process: for clients that lie, and quicker than a card.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    Identity,
    blocking::{Client, ClientBuilder, RequestBuilder},
    cookie::{CookieStore as _, Jar},
    redirect::Policy,
};

use super::{Bank, LOGIN_PASSWORD, network::KEPT, portal::hidden, soft_token::SoftToken};
use crate::card_client::Response;

/// A browser window. Cookies are kept; no redirect is followed by itself.
#[derive(Clone, Debug)]
pub struct SoftBrowser {
    client: Client,
    jar: Arc<Jar>,
    base: String,
}

impl SoftBrowser {
    /// With the key of a paper token and its certificate (DER).
    ///
    /// # Errors
    /// When they don't make an identity.
    pub fn new(bank: &Bank, token: &SoftToken, certificate: &[u8]) -> Result<Self> {
        let encoded = BASE64_STANDARD.encode(certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        Self::with_pem(bank, Some(&(token.key_pem()? + &pem)))
    }

    /// With a key and certificates in PEM, or without any.
    ///
    /// # Errors
    /// When they don't make an identity.
    pub fn with_pem(bank: &Bank, identity: Option<&str>) -> Result<Self> {
        Self::built(bank, Self::builder(bank, identity)?)
    }

    /// The same on a computer that has this address.
    ///
    /// # Errors
    /// When they don't make an identity.
    pub fn from_address(bank: &Bank, identity: Option<&str>, address: IpAddr) -> Result<Self> {
        Self::built(bank, Self::builder(bank, identity)?.local_address(address))
    }

    fn built(bank: &Bank, builder: ClientBuilder) -> Result<Self> {
        let jar = Arc::new(Jar::default());
        let client = builder.cookie_provider(jar.clone()).build().context("building a client")?;
        Ok(Self { client, jar, base: bank.urls().client })
    }

    fn builder(bank: &Bank, identity: Option<&str>) -> Result<ClientBuilder> {
        let trust = std::fs::read(bank.path("tls/ca.pem")).context("reading the server's authority")?;
        let authority = reqwest::Certificate::from_pem(&trust).context("reading the server's authority")?;
        let mut builder = Client::builder()
            .tls_certs_only([authority])
            .redirect(Policy::none())
            .timeout(Duration::from_secs(30))
            .pool_idle_timeout(KEPT)
            .no_proxy();
        if let Some(pem) = identity {
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).context("reading an identity")?);
        }
        Ok(builder)
    }

    /// A cookie's value, as it would be sent to the window's own address.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.jar.cookies(&self.base.parse().ok()?)?;
        let pairs = cookies.to_str().ok()?.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_owned())
    }

    /// A window at the staff console, with a key and certificate in PEM.
    ///
    /// # Errors
    /// When they don't make an identity.
    pub fn staff(bank: &Bank, identity: Option<&str>) -> Result<Self> {
        Ok(Self { base: bank.urls().staff, ..Self::with_pem(bank, identity)? })
    }

    /// The same window, cookies included, at another node of the bank.
    #[must_use]
    pub fn at(&self, node: &Bank) -> Self {
        Self { base: node.urls().client, ..self.clone() }
    }

    /// The same window at what answers elsewhere for the bank, without a slash at the end.
    #[must_use]
    pub fn at_url(&self, url: &str) -> Self {
        Self { base: url.to_owned(), ..self.clone() }
    }

    /// The same window at the listener that asks for no certificate.
    #[must_use]
    pub fn at_public(&self, bank: &Bank) -> Self {
        Self { base: bank.urls().public, ..self.clone() }
    }

    /// GETs a path.
    ///
    /// # Errors
    /// When the connection is refused or fails.
    pub fn get(&self, path: &str) -> Result<Response> {
        Self::response(self.client.get(self.url(path)))
    }

    /// POSTs a form to a path.
    ///
    /// # Errors
    /// When the connection is refused or fails.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let body = reqwest::Url::parse_with_params("x:", fields).context("encoding a form")?;
        let body = body.query().unwrap_or_default().to_owned();
        let request = self.client.post(self.url(path)).body(body);
        Self::response(request.header("content-type", "application/x-www-form-urlencoded"))
    }

    /// POSTs a form and GETs the page that it leads to, if it does.
    ///
    /// # Errors
    /// When the connection is refused or fails.
    pub fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let answer = self.post(path, fields)?;
        match answer.header("location") {
            Some(location) if answer.status == 303 => self.get(location),
            _ => Ok(answer),
        }
    }

    /// A request to a path, to be completed and sent with [`response`](Self::response).
    ///
    /// # Errors
    /// When the method isn't one.
    pub fn request(&self, method: &str, path: &str) -> Result<RequestBuilder> {
        let method = method.parse().context("reading a method")?;
        Ok(self.client.request(method, self.url(path)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no response.
    pub fn response(request: RequestBuilder) -> Result<Response> {
        let response = request.send().context("asking the portal")?;
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Response {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.bytes().context("reading the portal's answer")?.to_vec(),
        })
    }

    /// Fills in the login form with this password; returns what came back.
    ///
    /// # Errors
    /// When there is no login form.
    pub fn try_login(&self, password: &str) -> Result<Response> {
        let form = self.get("/login")?;
        let csrf = hidden(&form, "csrf").with_context(|| format!("no login form: {}", form.text()))?;
        self.post("/login", &[("csrf", &csrf), ("password", password)])
    }

    /// Logs in with the password that everybody has.
    ///
    /// # Errors
    /// When it is refused.
    pub fn login(&self) -> Result<()> {
        let answer = self.try_login(LOGIN_PASSWORD)?;
        ensure!(answer.status == 303, "the login was refused ({}): {}", answer.status, answer.text());
        Ok(())
    }
}
