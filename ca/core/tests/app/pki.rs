//! A small PKI by rcgen: an issuing CA, its OCSP responder, a maker's root.

use ca_core::domain::{
    ids::{IssuerId, SignerName},
    ocsp::Responder,
    profile::{Issuer, PolicyOids, Profile, Publication},
};
use const_oid::ObjectIdentifier;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

pub(crate) const POLICIES: PolicyOids = PolicyOids {
    asserted: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1.1"),
    attested: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1.2"),
    attested_with_pin: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1.3"),
};

/// An authority: certificate and keys.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer,
    pub(crate) profile: Profile,
    pub(crate) responder: Responder,
    pub(crate) issuing_key: KeyPair,
    pub(crate) responder_key: KeyPair,
}

pub(crate) fn issuer_id() -> IssuerId {
    IssuerId::parse("customer").expect("an issuer name")
}

pub(crate) fn signer_name() -> SignerName {
    SignerName::parse("memory").expect("a signer name")
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub(crate) fn until(year: i32) -> Self {
        let issuing_key = KeyPair::generate().expect("a key");
        let responder_key = KeyPair::generate().expect("a key");
        let mut params = ca_params("Test Issuing CA");
        params.not_after = date_time_ymd(year, 1, 1);
        params.custom_extensions.push(policies());
        let certificate = params.self_signed(&issuing_key).expect("a certificate");
        let issuer = Issuer::from_certificate(issuer_id(), certificate.der()).expect("an issuer");

        let responder = delegated(&issuer, &issuing_key, &responder_key, (2040, 1, 1));

        let publication = Publication {
            crl_base_url: "http://pki.example/crl/customer".to_owned(),
            crl_partition: 0,
            ocsp_url: "http://pki.example/ocsp".to_owned(),
            ca_issuers_url: "http://pki.example/customer.cer".to_owned(),
        };
        let profile = Profile::new(issuer.clone(), POLICIES, publication).expect("a profile");
        Self { issuer, profile, responder, issuing_key, responder_key }
    }

    /// The same responder with a certificate that ends on this day.
    pub(crate) fn responder_until(&self, year: i32, month: u8, day: u8) -> Responder {
        delegated(&self.issuer, &self.issuing_key, &self.responder_key, (year, month, day))
    }
}

fn delegated(
    issuer: &Issuer,
    issuing_key: &KeyPair,
    key: &KeyPair,
    (year, month, day): (i32, u8, u8),
) -> Responder {
    let mut delegated = params("Test OCSP");
    delegated.not_after = date_time_ymd(year, month, day);
    delegated.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    let authority = ca_params("Test Issuing CA");
    let signer = rcgen::Issuer::from_params(&authority, issuing_key);
    let certificate = delegated.signed_by(key, &signer).expect("a responder certificate");
    Responder::from_certificate(certificate.der(), issuer).expect("a responder")
}

fn policies() -> CustomExtension {
    let all = [POLICIES.asserted, POLICIES.attested, POLICIES.attested_with_pin];
    let extension = ca_x509::extension::certificate_policies(&all).expect("an extension");
    CustomExtension::from_oid_content(&[2, 5, 29, 32], extension.extn_value.as_bytes().to_vec())
}
