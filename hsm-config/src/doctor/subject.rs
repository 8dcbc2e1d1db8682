//! What doctor, benchmark and inventory look at: a token of a signer's configuration, or a module on the command line.

use std::{path::Path, time::Duration};

use ca_x509::SignatureAlgorithm;
use jiff::Timestamp;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::host::HostFiles;
use crate::signer::{
    config::{self, Config, Role},
    latch::Latch,
};
use crate::token::{KeyAlgorithm, KeyId, ModuleAccess, PinSource, TokenSelection};

/// What to look at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The module, its environment and vendor.
    pub access: ModuleAccess,
    /// The token; `None` for whatever the module shows.
    pub token: Option<TokenSelection>,
    /// Where the user's PIN comes from; without one nobody logs in.
    pub pin: Option<PinSource>,
    /// The signer's latch.
    pub latch: Option<Latch>,
    /// Sessions that sign in parallel.
    pub lanes: u16,
    /// For loading the module and logging in.
    pub start_deadline: Duration,
    /// For one signature.
    pub sign_deadline: Duration,
    /// Keys that should be there.
    pub keys: Vec<SubjectKey>,
    /// The signer's files.
    pub files: Option<HostFiles>,
}

/// A key as its certificate describes it.
#[derive(Clone, Debug)]
pub struct SubjectKey {
    /// Its label in the configuration.
    pub label: String,
    /// `CKA_ID`.
    pub id: KeyId,
    /// From its certificate.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// The same as DER.
    pub public_key_der: Vec<u8>,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
    /// The certificate's subject, RFC 4514.
    pub subject: String,
    /// When the certificate ends.
    pub not_after: Timestamp,
    /// True for an issuing CA's, false for an OCSP responder's.
    pub issues: bool,
}

impl Subject {
    /// The kinds of key that matter: those configured, else those that its vendor's tokens have.
    pub fn algorithms(&self) -> Vec<KeyAlgorithm> {
        let mut kinds: Vec<KeyAlgorithm> = Vec::new();
        let configured = self.keys.iter().map(|key| match key.algorithm {
            SignatureAlgorithm::EcdsaSha384 => KeyAlgorithm::P384,
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha512 => KeyAlgorithm::P256,
            // The size makes no difference to what the token must be able to do.
            _ => KeyAlgorithm::Rsa3072,
        });
        let vendors = self.access.vendor.keys.algorithms.iter().copied();
        let wanted: Vec<KeyAlgorithm> =
            if self.keys.is_empty() { vendors.collect() } else { configured.collect() };
        for kind in wanted {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

/// The tokens of a signer's configuration.
pub fn of_config(path: &Path, config: &Config) -> Vec<Subject> {
    let subject = |token: &config::Token| Subject {
        access: token.access.clone(),
        token: Some(token.token.clone()),
        pin: Some(token.supply.source().clone()),
        latch: Some(Latch::new(token.latch.clone())),
        lanes: token.lanes.all,
        start_deadline: token.start_deadline,
        sign_deadline: token.sign_deadline,
        keys: config.keys.iter().map(subject_key).collect(),
        files: Some(HostFiles {
            config: path.to_owned(),
            secrets: token.supply.source().file().ok().flatten().into_iter().collect(),
            journal: config.journal.clone(),
            latch: token.latch.clone(),
            socket: config.socket.path.clone(),
            socket_mode: config.socket.mode,
        }),
    };
    config.tokens.iter().map(subject).collect()
}

fn subject_key(key: &config::Key) -> SubjectKey {
    let identity = key.identity();
    SubjectKey {
        label: key.label().0.clone(),
        id: key.id.clone(),
        public_key: identity.public_key.clone(),
        public_key_der: identity.public_key_der.clone(),
        algorithm: identity.algorithm,
        subject: identity.name.to_string(),
        not_after: identity.not_after,
        issues: matches!(key.role, Role::Issuing(_)),
    }
}
