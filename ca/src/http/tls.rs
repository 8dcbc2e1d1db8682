//! TLS for the two listeners that customers reach, with rustls and aws-lc-rs.
//!
//! The public one asks nobody but reverse proxies for a certificate. The other asks for the customer's or the machine's, speaks TLS 1.3 only, since
//! the certificate names people, and never resumes: each connection proves the possession of the key anew.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::client_verifier::ClientVerifier;
use crate::material::ServerIdentity;

/// The server certificate of both listeners. It can be replaced while they run; connections keep the one that they began
/// with.
#[derive(Debug)]
pub(crate) struct CurrentIdentity(RwLock<Arc<CertifiedKey>>);

impl CurrentIdentity {
    /// Begins with this one.
    ///
    /// # Errors
    /// When certificate and key don't belong together.
    pub(crate) fn new(identity: &ServerIdentity) -> anyhow::Result<Self> {
        Ok(Self(RwLock::new(certified(identity)?)))
    }

    /// Takes this one from now on.
    ///
    /// # Errors
    /// As [`CurrentIdentity::new`]; then the one before stays.
    pub(crate) fn replace(&self, identity: &ServerIdentity) -> anyhow::Result<()> {
        let certified = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl ResolvesServerCert for CurrentIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(identity: &ServerIdentity) -> anyhow::Result<Arc<CertifiedKey>> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certified = CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), &provider);
    Ok(Arc::new(certified.context(REMEDY)?))
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

/// For the public listener; `proxies` verifies the reverse proxies in front of it, where there are any.
///
/// # Errors
/// When the cryptographic provider lacks something.
pub(crate) fn public(
    identity: Arc<CurrentIdentity>,
    proxies: Option<Arc<ClientVerifier>>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let builder = builder(&[&TLS13, &TLS12])?;
    let builder = match proxies {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For the listener of customers and machines.
///
/// # Errors
/// When the cryptographic provider lacks something.
pub(crate) fn with_client_certificates(
    identity: Arc<CurrentIdentity>,
    verifier: Arc<ClientVerifier>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = builder(&[&TLS13])?.with_client_cert_verifier(verifier).with_cert_resolver(identity);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    fn identity(name: &str) -> ServerIdentity {
        let signed = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        ServerIdentity { chain: vec![signed.cert.der().clone()], key }
    }

    fn current(identity: &CurrentIdentity) -> CertificateDer<'static> {
        let certified = identity.0.read().expect("a lock").clone();
        certified.cert[0].clone()
    }

    #[test]
    fn a_certificate_is_replaced_by_one_that_fits_its_key_alone() {
        let (first, second) = (identity("first.example"), identity("second.example"));
        let listening = CurrentIdentity::new(&first).expect("an identity");
        listening.replace(&second).expect("replaced");
        assert_eq!(current(&listening), second.chain[0]);
        let torn = ServerIdentity { chain: first.chain.clone(), key: second.key.clone_key() };
        let error = listening.replace(&torn).expect_err("half a replacement was taken");
        assert!(error.to_string().contains("tls.key_file"), "{error}");
        assert_eq!(current(&listening), second.chain[0]);
        assert!(CurrentIdentity::new(&torn).is_err());
    }
}
