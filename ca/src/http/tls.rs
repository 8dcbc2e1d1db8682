//! TLS for the two listeners that customers reach, with rustls and aws-lc-rs.
//!
//! The public one asks for no certificate. The other asks for the customer's or the machine's, speaks TLS 1.3 only, since
//! the certificate names people, and never resumes: each connection proves the possession of the key anew.

use std::sync::Arc;

use anyhow::Context;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::client_verifier::ClientVerifier;

/// The operator's server certificate with its intermediates, and its key.
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> anyhow::Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .context("the cryptographic provider lacks a TLS version")
}

const REMEDY: &str = "tls.certificate_file and tls.key_file don't belong together; check both";

/// For the public listener.
///
/// # Errors
/// When certificate and key don't belong together.
pub(crate) fn public(identity: &ServerIdentity) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = builder(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .context(REMEDY)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For the listener of customers and machines.
///
/// # Errors
/// When certificate and key don't belong together.
pub(crate) fn with_client_certificates(
    identity: &ServerIdentity,
    verifier: ClientVerifier,
) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = builder(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .context(REMEDY)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
