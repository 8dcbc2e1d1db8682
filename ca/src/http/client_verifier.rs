//! Whose certificates the portal's listener takes in the TLS handshake.
//!
//! webpki checks path, signature, purpose and constraints against the customer issuer alone. Two things are let
//! through so that a page can explain them: a certificate outside its validity, and none at all. Whether a certificate
//! is good *now* is not decided here but by the ledger, at each request.

use std::sync::Arc;

use anyhow::Context;
use der::Decode;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;

/// Verifies customers' certificates.
#[derive(Debug)]
pub(crate) struct CustomerVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
}

impl CustomerVerifier {
    /// Takes certificates issued by `issuer` (DER) and no others.
    ///
    /// # Errors
    /// When `issuer` isn't a certificate that webpki can read.
    pub(crate) fn new(issuer: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(issuer)).context("the issuing certificate can't be an anchor")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .context("the issuing certificate can't be an anchor")?;
        Ok(Self { webpki })
    }
}

/// `now`, moved into the certificate's validity: its other faults must show also when it has expired.
fn within_validity(certificate: &[u8], now: UnixTime) -> Result<UnixTime, Error> {
    let bad = |_| Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
    let certificate = Certificate::from_der(certificate).map_err(bad)?;
    let validity = certificate.tbs_certificate().validity();
    let from = validity.not_before.to_unix_duration();
    let until = validity.not_after.to_unix_duration();
    if from > until {
        return Err(Error::InvalidCertificate(rustls::CertificateError::BadEncoding));
    }
    let now = std::time::Duration::from_secs(now.as_secs());
    Ok(UnixTime::since_unix_epoch(now.clamp(from, until)))
}

impl ClientCertVerifier for CustomerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The issuer signs customers' certificates itself: what else the client sends can only lead astray.
        self.webpki.verify_client_cert(end_entity, &[], within_validity(end_entity, now)?)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
