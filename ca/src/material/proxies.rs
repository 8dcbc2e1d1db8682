//! The reverse proxies whose word about their clients counts, each known by the key of its client certificate.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, bail};
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, ext::pkix::BasicConstraints};

use super::{Registered, certificate};
use crate::config::{self, AddressHeader};

/// A reverse proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// In logs and audit rows.
    pub(crate) name: String,
    /// Where it says where a request came from.
    pub(crate) address_header: AddressHeader,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    by_key: HashMap<[u8; 32], Arc<Proxy>>,
    /// The names that their certificates were issued under, DER: clients look there for the one to send.
    pub(crate) issuers: Vec<Vec<u8>>,
}

impl Proxies {
    /// Adds a proxy by the SHA-256 of its key's `SubjectPublicKeyInfo`; false when the key is known already. `issuer` is
    /// the name that its certificate was issued under, DER.
    pub(crate) fn insert(&mut self, public_key_sha256: [u8; 32], proxy: Proxy, issuer: Vec<u8>) -> bool {
        if self.by_key.contains_key(&public_key_sha256) {
            return false;
        }
        self.by_key.insert(public_key_sha256, proxy.into());
        if !self.issuers.contains(&issuer) {
            self.issuers.push(issuer);
        }
        true
    }

    /// The proxy with this key.
    pub(crate) fn of(&self, public_key_sha256: &[u8; 32]) -> Option<Arc<Proxy>> {
        self.by_key.get(public_key_sha256).cloned()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Reads the certificates of all proxies.
///
/// # Errors
/// When one can't be a proxy's, or its key is a machine's or another proxy's.
pub(super) fn proxies(config: &config::Config, machines: &[Registered]) -> anyhow::Result<Proxies> {
    let mut proxies = Proxies::default();
    for proxy in &config.proxies {
        let key = format!("proxy.{}.certificate", proxy.name);
        let path = proxy.certificate.display();
        let der = certificate(&key, &proxy.certificate)?;
        let parsed = Certificate::from_der(&der).with_context(|| format!("{key}: {path} isn't valid DER"))?;
        let tbs = parsed.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
        if constraints.is_some_and(|(_, constraints)| constraints.ca) {
            bail!("{key}: {path} is an authority's certificate; name the proxy's own");
        }
        let public_key_sha256 = Sha256::digest(tbs.subject_public_key_info().to_der()?).into();
        if machines.iter().any(|(machine, _)| machine.public_key_sha256 == public_key_sha256) {
            bail!("{key}: {path} has the key of a machine; give the proxy a key of its own");
        }
        let known = Proxy { name: proxy.name.clone(), address_header: proxy.address_header };
        if !proxies.insert(public_key_sha256, known, tbs.issuer().to_der()?) {
            bail!("{key}: {path} has the key of another proxy; give each a key of its own");
        }
    }
    Ok(proxies)
}
