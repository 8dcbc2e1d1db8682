//! The bank's own systems: their certificates, what the authority's configuration says of them, and their side of the
//! API.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use ca_wire::{
    Base64Url,
    enrolment::Opened,
    machine::{
        Batch, BatchResults, CertificateStatus, CertifyEntry, CertifyResults, ConfirmEntry, ConfirmResults,
        EnrolmentStatus, EntryResult, Issued, OpenEntry, OpenResults, StatusQuery,
    },
};
use rcgen::DnType;
use reqwest::{
    Identity, Method,
    blocking::{Client, RequestBuilder, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Bank, SoftToken, network::KEPT};
use crate::{
    relay::Relay,
    soft_pki::{Identity as Pair, SoftAuthority},
};

/// A machine to register.
#[derive(Clone, Copy, Debug)]
pub struct NewMachine {
    /// Its name.
    pub name: &'static str,
    /// `registration`, `status`.
    pub roles: &'static [&'static str],
    /// The contracts whose users it may register; none: all.
    pub contracts: &'static [&'static str],
    /// The years on whose first days its certificate's validity begins and ends.
    pub years: (i32, i32),
    /// Further lines of its section in `inro.toml`.
    pub more: &'static str,
}

impl NewMachine {
    /// One for all contracts and both roles.
    pub const fn trusted(name: &'static str) -> Self {
        Self { name, roles: &["registration", "status"], contracts: &[], years: (2020, 2099), more: "" }
    }
}

/// Makes the machines' certificates and returns their sections of `inro.toml`.
pub(super) fn write(bank: &Bank, machines: &[NewMachine]) -> Result<String> {
    let folder = bank.path("machines");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let authority = SoftAuthority::new("Example machines' authority")?;
    let mut text = String::new();
    for machine in machines {
        let pair = authority.client_between(&[(DnType::CommonName, machine.name)], machine.years)?;
        pair.write(&folder, machine.name)?;
        let contracts = match machine.contracts {
            [] => String::new(),
            contracts => format!("contracts = {contracts:?}\n"),
        };
        writeln!(
            text,
            "\n[[machine]]\nname = {:?}\ncertificate = \"machines/{}.pem\"\nroles = {:?}\n{contracts}{}",
            machine.name, machine.name, machine.roles, machine.more
        )?;
    }
    Ok(text)
}

/// A machine at the API; it keeps its connections alive.
#[derive(Clone, Debug)]
pub struct MachineClient {
    http: Client,
    base: String,
}

impl MachineClient {
    /// The registered machine with this name, over HTTP/2.
    ///
    /// # Errors
    /// When its certificate can't be read.
    pub fn new(bank: &Bank, name: &str) -> Result<Self> {
        let file = |ending: &str| {
            let path = bank.path(format!("machines/{name}.{ending}"));
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        Self::with(bank, Some(&Pair { certificate: file("pem")?, key: file("key")? }))
    }

    /// Anybody: with this certificate, or without any.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn with(bank: &Bank, pair: Option<&Pair>) -> Result<Self> {
        let trust = fs::read(bank.path("tls/ca.pem")).context("reading the server's authority")?;
        let authority = reqwest::Certificate::from_pem(&trust).context("reading the server's authority")?;
        let mut builder =
            Client::builder().tls_certs_only([authority]).timeout(Duration::from_mins(1)).no_proxy();
        builder = builder.pool_idle_timeout(KEPT);
        if let Some(pair) = pair {
            let pem = format!("{}{}", pair.key, pair.certificate);
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).context("reading an identity")?);
        }
        Ok(Self { http: builder.build().context("building a client")?, base: bank.urls().client })
    }

    /// The same machine by a relay to the listener.
    ///
    /// # Errors
    /// When there can't be one.
    pub fn by_relay(&self) -> Result<(Self, Relay)> {
        let mut base = Url::parse(&self.base).context("reading an address")?;
        let relay = Relay::to(base.port().context("an address without a port")?)?;
        let Ok(()) = base.set_port(Some(relay.port())) else { bail!("{base} can't have a port") };
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok((Self { http: self.http.clone(), base }, relay))
    }

    /// A request to a path, to be completed and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Step 1 of a registration.
    ///
    /// # Errors
    /// When the batch is refused as a whole.
    pub fn open(&self, entries: Vec<OpenEntry>) -> Result<Vec<EntryResult<Opened>>> {
        let answer: OpenResults = self.post("/machine/v1/enrolments", &Batch { entries })?;
        Ok(answer.results)
    }

    /// Step 2 of a registration.
    ///
    /// # Errors
    /// When the batch is refused as a whole.
    pub fn certify(&self, entries: Vec<CertifyEntry>) -> Result<Vec<EntryResult<Issued>>> {
        let answer: CertifyResults = self.post("/machine/v1/enrolments/certificates", &Batch { entries })?;
        ensure!(answer.chain.len() >= 2, "the chain has {} certificates", answer.chain.len());
        Ok(answer.results)
    }

    /// Step 3 of a registration.
    ///
    /// # Errors
    /// When the batch is refused as a whole.
    pub fn confirm(&self, entries: Vec<ConfirmEntry>) -> Result<ConfirmResults> {
        self.post("/machine/v1/enrolments/confirmations", &Batch { entries })
    }

    /// Where an enrolment stands.
    ///
    /// # Errors
    /// When it isn't told.
    pub fn enrolment(&self, id: uuid::Uuid) -> Result<EnrolmentStatus> {
        Self::read(self.request(Method::GET, &format!("/machine/v1/enrolments/{id}")).send())
    }

    /// What a certificate is worth.
    ///
    /// # Errors
    /// When it isn't told.
    pub fn status(&self, serial: &str) -> Result<CertificateStatus> {
        Self::read(self.request(Method::GET, &format!("/machine/v1/certificates/customer/{serial}")).send())
    }

    /// What certificates are worth.
    ///
    /// # Errors
    /// When the batch is refused as a whole.
    pub fn query(&self, entries: Vec<StatusQuery>) -> Result<Vec<EntryResult<CertificateStatus>>> {
        let answer: BatchResults<CertificateStatus> =
            self.post("/machine/v1/certificates/query", &Batch { entries })?;
        Ok(answer.results)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        Self::read(self.request(Method::POST, path).json(body).send())
    }

    fn read<T: DeserializeOwned>(response: reqwest::Result<Response>) -> Result<T> {
        let response = response.context("asking the machines' API")?;
        let status = response.status();
        let body = response.bytes().context("reading the machines' API's answer")?;
        let shown = || format!("{status}: {}", String::from_utf8_lossy(&body));
        ensure!(status.is_success(), "{}", shown());
        serde_json::from_slice(&body).with_context(shown)
    }
}

impl SoftToken {
    /// Step 1 as an honest machine would send it.
    pub fn open_entry(&self, user: &str, key: &str) -> OpenEntry {
        OpenEntry {
            idempotency_key: key.to_owned(),
            user_id: user.to_owned(),
            device: self.claim(),
            tpm: None,
            renews: None,
        }
    }

    /// Step 2 as an honest machine would send it.
    ///
    /// # Errors
    /// When a part can't be made.
    pub fn certify_entry(&self, opened: &Opened, key: &str) -> Result<CertifyEntry> {
        let certify = self.certify(opened)?;
        Ok(CertifyEntry {
            idempotency_key: key.to_owned(),
            enrolment_id: opened.enrolment_id,
            bearer: opened.bearer.clone(),
            csr: certify.csr,
            evidence: certify.evidence,
            challenge_signature: certify.challenge_signature,
            predecessor_signature: certify.predecessor_signature,
        })
    }

    /// Step 3 as an honest machine would send it.
    pub fn confirm_entry(opened: &Opened, certificate: &[u8], key: &str) -> ConfirmEntry {
        ConfirmEntry {
            idempotency_key: key.to_owned(),
            enrolment_id: opened.enrolment_id,
            bearer: opened.bearer.clone(),
            certificate_sha256: Base64Url(Sha256::digest(certificate).to_vec()),
        }
    }
}
