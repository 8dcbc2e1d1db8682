//! Whose certificates the client-certificate listener takes in the TLS handshake.
//!
//! Customers: webpki checks path, signature, purpose and constraints against the customer issuer alone. Two things are
//! let through so that a page can explain them: a certificate outside its validity, and none at all. Whether a
//! certificate is good *now* is not decided here but by the ledger, at each request.
//!
//! Machines: the key is what was registered, and the handshake proves it; nobody's signature on the certificate says
//! more. Where there are machines, strangers come through as well, to hear from the machines' API that they are.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::machines::Presented;
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

use super::clients::{Clients, Identity};

/// Verifies customers' certificates.
#[derive(Debug)]
struct CustomerVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
}

impl CustomerVerifier {
    /// Takes certificates issued by `issuer` (DER) and no others.
    ///
    /// # Errors
    /// When `issuer` isn't a certificate that webpki can read.
    fn new(issuer: &[u8]) -> anyhow::Result<Self> {
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

/// Verifies whatever certificate is presented, according to who presents it.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    customers: CustomerVerifier,
    clients: Arc<Clients>,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// For these clients; customers' certificates are those of `issuer` (DER).
    ///
    /// # Errors
    /// As [`CustomerVerifier::new`].
    pub(crate) fn new(issuer: &[u8], clients: Arc<Clients>) -> anyhow::Result<Self> {
        let customers = CustomerVerifier::new(issuer)?;
        let machines = clients.machine_issuers.iter().map(|name| name.clone().into());
        let hints = customers.webpki.root_hint_subjects().iter().cloned().chain(machines).collect();
        Ok(Self { customers, clients, hints })
    }
}

impl CustomerVerifier {
    fn verify(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<ClientCertVerified, Error> {
        // The issuer signs customers' certificates itself: what else the client sends can only lead astray.
        self.webpki.verify_client_cert(certificate, &[], within_validity(certificate, now)?)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.customers.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bad = |_| Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
        match self.clients.identify(end_entity).map_err(bad)? {
            Identity::Machine(Presented::Registered { .. }) => Ok(ClientCertVerified::assertion()),
            Identity::Machine(_) if self.clients.has_machines() => Ok(ClientCertVerified::assertion()),
            Identity::Machine(_) | Identity::Customer(_) | Identity::Nobody => {
                self.customers.verify(end_entity, now)
            }
        }
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
        self.customers.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.customers.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ca_core::domain::{ids::MachineId, machine::Machine};
    use der::Encode;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };
    use rustls::CertificateError;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::http::clients::validity;

    const IN_2026: u64 = 1_795_000_000;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        der: Vec<u8>,
    }

    fn authority() -> Authority {
        named("Customer CA")
    }

    fn named(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
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

    /// A verifier of customers' certificates, and of the machine that `machine` was registered for.
    fn verifier(authority: &Authority, machine: Option<&CertificateDer<'_>>) -> ClientVerifier {
        let machine = machine.map(|certificate| registered(certificate));
        let clients = Clients::new(&authority.der, machine.as_slice()).expect("clients");
        ClientVerifier::new(&authority.der, Arc::new(clients)).expect("a verifier")
    }

    fn registered(certificate: &CertificateDer<'_>) -> (Machine, Vec<u8>) {
        let parsed = Certificate::from_der(certificate).expect("a certificate");
        let tbs = parsed.tbs_certificate();
        let machine = Machine {
            id: MachineId::parse("branch-terminals").expect("a name"),
            public_key_sha256: Sha256::digest(tbs.subject_public_key_info().to_der().expect("DER")).into(),
            registered: validity(tbs),
            roles: BTreeSet::new(),
            contracts: None,
        };
        (machine, certificate.to_vec())
    }

    fn verdict(authority: &Authority, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        verdict_of(&verifier(authority, None), leaf)
    }

    fn verdict_of(verifier: &ClientVerifier, leaf: &CertificateDer<'_>) -> Result<(), Error> {
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
    fn strangers_come_through_only_where_there_are_machines_and_never_in_a_customers_name() {
        let (ours, theirs, look_alike) = (authority(), named("Machines' CA"), authority());
        let machine = leaf(&theirs, |_| {});
        let stranger = leaf(&theirs, |_| {});
        assert!(verdict(&ours, &machine).is_err() && verdict(&ours, &stranger).is_err(), "no machines");

        let verifier = verifier(&ours, Some(&machine));
        for (certificate, expected) in [(&machine, "Registered"), (&stranger, "Unknown")] {
            assert_eq!(verdict_of(&verifier, certificate), Ok(()));
            let identity = verifier.clients.identify(certificate).expect("an identity");
            assert!(format!("{identity:?}").starts_with(&format!("Machine({expected}")), "{identity:?}");
            assert!(identity.customer().is_none());
        }
        assert!(verdict_of(&verifier, &leaf(&look_alike, |_| {})).is_err(), "a customer of a look-alike");
        let customer = leaf(&ours, |_| {});
        assert_eq!(verdict_of(&verifier, &customer), Ok(()));
        let identity = verifier.clients.identify(&customer).expect("an identity");
        assert!(identity.customer().is_some() && matches!(identity.presented(), Presented::NoMachine));
        assert_eq!(verifier.root_hint_subjects().len(), 2, "clients look for both issuers");
    }

    #[test]
    fn a_missing_certificate_is_left_to_the_page() {
        let verifier = verifier(&authority(), None);
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        assert_eq!(verifier.root_hint_subjects().len(), 1);
    }
}
