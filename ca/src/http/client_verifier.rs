//! Whose certificates the client-certificate listener takes in the TLS handshake.
//!
//! Customers: webpki checks path, signature, purpose and constraints against the customer issuer alone. Two things are
//! let through so that a page can explain them: a certificate outside its validity, and none at all. Whether a
//! certificate is good *now* is not decided here but by the ledger, at each request.
//!
//! Machines: the key is what was registered, and the handshake proves it; nobody's signature on the certificate says
//! more. Where there are machines, strangers come through as well, to hear from the machines' API that they are.
//!
//! Reverse proxies: known by their keys as machines are, within the validity of the certificate that they show.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::machines::Presented;
use der::{Decode, Encode};
use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
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
    let certificate = Certificate::from_der(certificate).map_err(|_| BAD)?;
    let validity = certificate.tbs_certificate().validity();
    let from = validity.not_before.to_unix_duration();
    let until = validity.not_after.to_unix_duration();
    if from > until {
        return Err(BAD);
    }
    let now = std::time::Duration::from_secs(now.as_secs());
    Ok(UnixTime::since_unix_epoch(now.clamp(from, until)))
}

/// A certificate of a proxy must be valid now: it is the operator's to renew.
fn valid_now(certificate: &[u8], now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(certificate).map_err(|_| BAD)?;
    let validity = certificate.tbs_certificate().validity();
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

const BAD: Error = Error::InvalidCertificate(CertificateError::BadEncoding);

/// Verifies whatever certificate is presented, according to who presents it.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    /// `None` where proxies alone have certificates.
    customers: Option<CustomerVerifier>,
    clients: Arc<Clients>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// For these clients; customers' certificates are those of `issuer` (DER).
    ///
    /// # Errors
    /// As [`CustomerVerifier::new`].
    pub(crate) fn new(issuer: &[u8], clients: Arc<Clients>) -> anyhow::Result<Self> {
        let customers = CustomerVerifier::new(issuer)?;
        let machines = clients.machine_issuers.iter().chain(&clients.proxies.issuers);
        let machines = machines.map(|name| name.clone().into());
        let hints = customers.webpki.root_hint_subjects().iter().cloned().chain(machines).collect();
        Ok(Self { customers: Some(customers), ..Self::of(clients, hints) })
    }

    /// For a listener that asks nobody but proxies.
    pub(crate) fn of_proxies(clients: Arc<Clients>) -> Self {
        let hints = clients.proxies.issuers.iter().map(|name| name.clone().into()).collect();
        Self::of(clients, hints)
    }

    fn of(clients: Arc<Clients>, hints: Vec<DistinguishedName>) -> Self {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { customers: None, clients, hints, algorithms }
    }

    /// Who holds a certificate that a proxy says its client proved to hold. Nobody but a customer counts: the keys of
    /// machines are proven here or not at all.
    ///
    /// # Errors
    /// When it isn't a certificate.
    pub(crate) fn identify_forwarded(
        &self,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> der::Result<Identity> {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        if let identity @ Identity::Customer(_) = self.clients.identify(certificate)?
            && self.customers.as_ref().is_some_and(|customers| customers.verify(certificate, now).is_ok())
        {
            return Ok(identity);
        }
        let parsed = Certificate::from_der(certificate)?;
        let key = parsed.tbs_certificate().subject_public_key_info().to_der()?;
        let public_key_sha256 = Sha256::digest(key).into();
        Ok(Identity::Machine(Presented::Unknown { public_key_sha256 }))
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
        false
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
        match self.clients.identify(end_entity).map_err(|_| BAD)? {
            Identity::Proxy(_) => valid_now(end_entity, now).map(|()| ClientCertVerified::assertion()),
            Identity::Machine(Presented::Registered { .. }) => Ok(ClientCertVerified::assertion()),
            Identity::Machine(_) if self.clients.has_machines() => Ok(ClientCertVerified::assertion()),
            Identity::Machine(_) | Identity::Customer(_) | Identity::Nobody => match &self.customers {
                Some(customers) => customers.verify(end_entity, now),
                None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ca_core::domain::{
        ids::MachineId,
        machine::{Machine, ValiditySpan},
    };
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        date_time_ymd,
    };

    use super::*;
    use crate::{
        config::AddressHeader,
        material::{Proxies, Proxy},
    };

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
        let clients = Clients::new(&authority.der, machine.as_slice(), Proxies::default()).expect("clients");
        ClientVerifier::new(&authority.der, Arc::new(clients)).expect("a verifier")
    }

    fn registered(certificate: &CertificateDer<'_>) -> (Machine, Vec<u8>) {
        let parsed = Certificate::from_der(certificate).expect("a certificate");
        let tbs = parsed.tbs_certificate();
        let machine = Machine {
            id: MachineId::parse("branch-terminals").expect("a name"),
            public_key_sha256: Sha256::digest(tbs.subject_public_key_info().to_der().expect("DER")).into(),
            registered: ValiditySpan::of(tbs),
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

    fn behind(proxy: &CertificateDer<'_>) -> Proxies {
        let parsed = Certificate::from_der(proxy).expect("a certificate");
        let tbs = parsed.tbs_certificate();
        let key = tbs.subject_public_key_info().to_der().expect("DER");
        let known = Proxy { name: "edge".to_owned(), address_header: AddressHeader::Forwarded };
        let mut proxies = Proxies::default();
        assert!(proxies.insert(Sha256::digest(key).into(), known, tbs.issuer().to_der().expect("DER")));
        proxies
    }

    #[test]
    fn a_proxy_comes_through_with_its_own_key_while_its_certificate_is_valid() {
        let (ours, theirs) = (authority(), named("Servers' CA"));
        let edge = leaf(&theirs, |_| {});
        let clients = Clients::new(&ours.der, &[], behind(&edge)).expect("clients");
        let verifier = ClientVerifier::new(&ours.der, Arc::new(clients)).expect("a verifier");
        assert_eq!(verdict_of(&verifier, &edge), Ok(()));
        assert!(matches!(verifier.clients.identify(&edge), Ok(Identity::Proxy(_))));
        assert!(verdict_of(&verifier, &leaf(&theirs, |_| {})).is_err(), "another key of its authority");

        let expired = leaf(&theirs, |params| params.not_after = date_time_ymd(2026, 6, 1));
        let clients = Arc::new(Clients::proxies_only(behind(&expired)));
        let verifier = ClientVerifier::of_proxies(clients);
        let error = Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(verdict_of(&verifier, &expired), Err(error));
        assert!(verdict_of(&verifier, &leaf(&ours, |_| {})).is_err(), "a customer at the public listener");
    }

    #[test]
    fn what_a_proxy_says_is_checked_like_a_handshake_but_for_the_key() {
        let (ours, look_alike, theirs) = (authority(), authority(), named("Machines' CA"));
        let machine = leaf(&theirs, |_| {});
        let verifier = verifier(&ours, Some(&machine));
        let now = Timestamp::from_second(i64::try_from(IN_2026).expect("seconds")).expect("a time");
        let said = |certificate: &CertificateDer<'_>| verifier.identify_forwarded(certificate, now);
        assert!(matches!(said(&leaf(&ours, |_| {})), Ok(Identity::Customer(_))));
        let expired = leaf(&ours, |params| params.not_after = date_time_ymd(2026, 6, 1));
        assert!(matches!(said(&expired), Ok(Identity::Customer(_))), "a page explains it");
        for (certificate, what) in [
            (leaf(&look_alike, |_| {}), "another authority of the same name"),
            (leaf(&theirs, |_| {}), "a stranger"),
            (machine.clone(), "a machine, whose key nobody proved"),
        ] {
            let identity = said(&certificate);
            assert!(matches!(identity, Ok(Identity::Machine(Presented::Unknown { .. }))), "{what}");
        }
        assert!(said(&CertificateDer::from(vec![0x30, 0])).is_err());
    }
}
