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

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };
    use rustls::CertificateError;

    use super::*;

    const IN_2026: u64 = 1_795_000_000;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        der: Vec<u8>,
    }

    fn authority() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Customer CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn leaf(authority: &Authority, adjust: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        adjust(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, &authority.issuer).expect("a certificate").der().clone()
    }

    fn verdict(authority: &Authority, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let verifier = CustomerVerifier::new(&authority.der).expect("a verifier");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(IN_2026));
        verifier.verify_client_cert(leaf, &[], now).map(|_| ())
    }

    #[test]
    fn expired_certificates_come_through_to_be_explained_and_no_others_do() {
        let ours = authority();
        assert_eq!(verdict(&ours, &leaf(&ours, |_| {})), Ok(()));
        let expired = leaf(&ours, |params| params.not_after = date_time_ymd(2026, 6, 1));
        assert_eq!(verdict(&ours, &expired), Ok(()));
        let future = leaf(&ours, |params| params.not_before = date_time_ymd(2026, 12, 31));
        assert_eq!(verdict(&ours, &future), Ok(()));

        let theirs = authority();
        assert!(verdict(&ours, &leaf(&theirs, |_| {})).is_err(), "another authority of the same name");
        let expired_and_theirs = leaf(&theirs, |params| params.not_after = date_time_ymd(2026, 6, 1));
        assert!(verdict(&ours, &expired_and_theirs).is_err(), "another authority, expired");
        let server =
            leaf(&ours, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert!(verdict(&ours, &server).is_err(), "a server's certificate");
        let ca = leaf(&ours, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        assert!(verdict(&ours, &ca).is_err(), "a CA's certificate");
        let garbage = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
        let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
        assert_eq!(verdict(&ours, &garbage), Err(bad));
    }

    #[test]
    fn a_missing_certificate_is_left_to_the_page() {
        let verifier = CustomerVerifier::new(&authority().der).expect("a verifier");
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        assert_eq!(verifier.root_hint_subjects().len(), 1);
    }
}
