//! The reverse proxies whose word about their clients counts, each known by the key of its client certificate.

use std::{collections::HashMap, sync::Arc};

use crate::config::AddressHeader;

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
    pub(super) issuers: Vec<Vec<u8>>,
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
    pub(super) fn of(&self, public_key_sha256: &[u8; 32]) -> Option<Arc<Proxy>> {
        self.by_key.get(public_key_sha256).cloned()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
