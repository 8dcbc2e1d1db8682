//! Who is at the other end of a connection. A certificate makes its holder a customer, a machine or a reverse proxy, never
//! two of them: machines and proxies are known by their keys, a customer by the issuer of the certificate, and what is
//! none of these is a stranger.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use ca_core::{
    app::machines::Presented,
    domain::machine::{Machine, ValiditySpan},
};
use der::{Decode, Encode};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use crate::material::{Proxies, Proxy};

/// Who presented the certificate of a connection, whose key the TLS handshake proved.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// No certificate was presented, or the listener asks for none.
    Nobody,
    /// A certificate that the customer issuer signed, DER. The ledger says whose it is and what it is worth.
    Customer(CertificateDer<'static>),
    /// A registered machine, or who claims to be one in vain.
    Machine(Presented),
    /// A trusted reverse proxy. Whose requests it brings, its headers say; handlers never meet it.
    Proxy(Arc<Proxy>),
}

impl Identity {
    /// The customer's certificate, DER.
    pub(crate) fn customer(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Self::Customer(certificate) => Some(certificate),
            Self::Nobody | Self::Machine(_) | Self::Proxy(_) => None,
        }
    }

    /// What there is to be admitted as a machine.
    pub(crate) fn presented(&self) -> &Presented {
        match self {
            Self::Machine(presented) => presented,
            Self::Nobody | Self::Customer(_) | Self::Proxy(_) => &Presented::NoMachine,
        }
    }
}

/// The machines, and how customers are told from strangers.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The customer issuer's name, DER; `None` where no customer has a certificate.
    customer_issuer: Option<Vec<u8>>,
    machines: HashMap<[u8; 32], Arc<Machine>>,
    /// The names that machines' certificates were issued under, DER: clients look there for the one to send.
    pub(super) machine_issuers: Vec<Vec<u8>>,
    pub(super) proxies: Proxies,
}

impl Clients {
    /// Customers have certificates of `customer_issuer` (DER); a machine comes with the certificate that was registered
    /// for it (DER).
    ///
    /// # Errors
    /// When a certificate can't be read.
    pub(crate) fn new(
        customer_issuer: &[u8],
        machines: &[(Machine, Vec<u8>)],
        proxies: Proxies,
    ) -> anyhow::Result<Self> {
        let issuer = Certificate::from_der(customer_issuer).context("the issuing certificate isn't DER")?;
        let mut machine_issuers = Vec::new();
        for (_, certificate) in machines {
            let certificate = Certificate::from_der(certificate).context("a machine's certificate")?;
            let name = certificate.tbs_certificate().issuer().to_der()?;
            if !machine_issuers.contains(&name) {
                machine_issuers.push(name);
            }
        }
        let by_key = machines.iter().map(|(machine, _)| (machine.public_key_sha256, machine.clone().into()));
        Ok(Self {
            customer_issuer: Some(issuer.tbs_certificate().subject().to_der()?),
            machines: by_key.collect(),
            machine_issuers,
            proxies,
        })
    }

    /// Nobody but proxies has a certificate.
    pub(crate) fn proxies_only(proxies: Proxies) -> Self {
        Self { customer_issuer: None, machines: HashMap::new(), machine_issuers: Vec::new(), proxies }
    }

    /// Whether certificates of people are asked for, not those of reverse proxies alone.
    pub(super) fn asks_people(&self) -> bool {
        self.customer_issuer.is_some()
    }

    /// Whether there are machines at all; where there are none, strangers aren't listened to.
    pub(super) fn has_machines(&self) -> bool {
        !self.machines.is_empty()
    }

    /// Who presents this certificate.
    ///
    /// # Errors
    /// When it isn't one.
    pub(crate) fn identify(&self, certificate: &CertificateDer<'_>) -> der::Result<Identity> {
        let parsed = Certificate::from_der(certificate)?;
        let tbs = parsed.tbs_certificate();
        let public_key_sha256 = Sha256::digest(tbs.subject_public_key_info().to_der()?).into();
        if let Some(proxy) = self.proxies.of(&public_key_sha256) {
            return Ok(Identity::Proxy(proxy));
        }
        if let Some(machine) = self.machines.get(&public_key_sha256) {
            let (machine, validity) = (machine.clone(), ValiditySpan::of(tbs));
            return Ok(Identity::Machine(Presented::Registered { machine, validity }));
        }
        if self.customer_issuer.as_deref() == Some(&*tbs.issuer().to_der()?) {
            return Ok(Identity::Customer(certificate.clone().into_owned()));
        }
        Ok(Identity::Machine(Presented::Unknown { public_key_sha256 }))
    }
}
