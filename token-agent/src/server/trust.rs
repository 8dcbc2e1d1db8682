//! Who may certify the bank's server: the bank's own authorities where they were named, else the public ones that
//! browsers agree on. What the operating system trusts has no say, for there a company's inspecting proxy is among them:
//! such an authority counts only where an administrator has named it in the policy.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::ServerError;
use crate::certificate::CertificateDetails;

/// A file of certificates in PEM: its name, and what it holds.
pub(crate) type PemFile = (String, Vec<u8>);

/// The authorities, and what was presented last.
pub(crate) struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    presented: Arc<Mutex<Option<Presented>>>,
}

/// What the certificate said that was presented for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) issuer: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// The time at which a certificate is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JudgedAt {
    Now,
    /// A moment of its own validity: everything but the time is judged. For asking what time it is, and nothing else.
    ItsOwnTime,
}

impl Trust {
    /// # Errors
    /// When a file holds nothing that can be used.
    pub(crate) fn new(bank: Option<&PemFile>, company: Option<&PemFile>) -> Result<Self, ServerError> {
        let mut roots = RootCertStore::empty();
        match bank {
            Some(file) => add(&mut roots, file)?,
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        if let Some(file) = company {
            add(&mut roots, file)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let verifier = verifier.map_err(|error| ServerError::SetupTls(Error::General(error.to_string())))?;
        Ok(Self { verifier, provider, presented: Arc::default() })
    }

    pub(super) fn client(&self, judged: JudgedAt) -> Result<ClientConfig, ServerError> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(ServerError::SetupTls)?;
        let verifier = Verifier { inner: self.verifier.clone(), judged, presented: self.presented.clone() };
        let mut config =
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What was presented last.
    pub(crate) fn presented(&self) -> Option<Presented> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn add(roots: &mut RootCertStore, (path, pem): &PemFile) -> Result<(), ServerError> {
    let unusable = || ServerError::Authorities(path.clone());
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| unusable())?;
    if certificates.is_empty() {
        return Err(unusable());
    }
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).map_err(|_| unusable())
}

/// The standard verification, which also notes what it looked at.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    judged: JudgedAt,
    presented: Arc<Mutex<Option<Presented>>>,
}

impl Presented {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let details = CertificateDetails::read(certificate).ok()?;
        Some(Self { issuer: details.issuer, not_before: details.not_before, not_after: details.not_after })
    }

    pub(crate) fn covers(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// `now`, or the second of the validity that is next to it.
    fn nearest(&self, now: UnixTime) -> UnixTime {
        let seconds = |at: Timestamp| u64::try_from(at.as_second()).unwrap_or(0);
        let (first, last) = (seconds(self.not_before), seconds(self.not_after));
        let second = now.as_secs().min(last.saturating_sub(1)).max(first.saturating_add(1));
        UnixTime::since_unix_epoch(Duration::from_secs(second))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Presented::read(end_entity);
        let at = match (self.judged, &presented) {
            (JudgedAt::ItsOwnTime, Some(presented)) => presented.nearest(now),
            _ => now,
        };
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = presented;
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pem: &str) -> PemFile {
        ("x.pem".to_owned(), pem.as_bytes().to_vec())
    }

    #[test]
    fn files_without_certificates_are_refused() {
        for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "rubbish"] {
            let trust = Trust::new(Some(&file(bad)), None);
            assert!(matches!(trust, Err(ServerError::Authorities(_))), "{bad:?}");
            let trust = Trust::new(None, Some(&file(bad)));
            assert!(matches!(trust, Err(ServerError::Authorities(_))), "{bad:?} of the company");
        }
        assert!(Trust::new(None, None).is_ok());
    }

    #[test]
    fn its_own_time_is_the_nearest_second_of_the_validity() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let presented = Presented { issuer: String::new(), not_before: at(1000), not_after: at(2000) };
        let nearest = |now| presented.nearest(UnixTime::since_unix_epoch(Duration::from_secs(now))).as_secs();
        assert_eq!([nearest(0), nearest(1500), nearest(9000)], [1001, 1500, 1999]);
        assert!(presented.covers(at(1000)) && !presented.covers(at(999)));
    }
}
