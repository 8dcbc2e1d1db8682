//! A small house of keys for tests: an issuing CA, its responder, a customer; and structures that policy allows, which
//! each test spoils in one way.

use ca_x509::{
    SignatureAlgorithm,
    certificate::CertificateTemplate,
    crl::{CrlEntry, CrlTemplate},
    extension, key,
    name::NameBuilder,
    ocsp::{CertId, CertStatus, ResponderId, ResponseData, SingleResponse, Version},
    time,
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING},
        rfc5912::ID_SHA_1,
    },
};
use der::{
    Decode, Encode,
    asn1::{Null, OctetString},
};
use jiff::{SignedDuration, Timestamp};
use rcgen::PublicKeyData;
use signer_protocol::message::KeyLabel;
use x509_cert::{
    ext::{Extension, pkix::KeyUsages},
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use super::{
    key::{Identity, IssuingKey, Profile, Responder, ResponderKey},
    structure,
};

pub(crate) const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
pub(crate) const HARDWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3");

/// 2026-11-22T00:00:00Z
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_795_305_600).expect("a time")
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn public_key() -> SubjectPublicKeyInfoOwned {
    let key = rcgen::KeyPair::generate().expect("a key");
    SubjectPublicKeyInfoOwned::from_der(&key.subject_public_key_info()).expect("a public key")
}

pub(crate) fn name(common_name: &str) -> Name {
    NameBuilder::new()
        .country("JP")
        .organization("印籠銀行")
        .common_name(common_name)
        .build()
        .expect("a name")
}

#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) issuing: IssuingKey,
    pub(crate) responder: ResponderKey,
    pub(crate) customer: SubjectPublicKeyInfoOwned,
}

fn identity(common_name: &str) -> Identity {
    let (name, public_key) = (name(common_name), public_key());
    Identity {
        name_der: name.to_der().expect("DER"),
        public_key_der: public_key.to_der().expect("DER"),
        algorithm: SignatureAlgorithm::EcdsaSha256,
        names: [structure::comparable(&name), structure::comparable(&self::name("Root CA"))],
        not_before: now() - hours(24),
        not_after: now() + hours(24 * 365 * 5),
        name,
        public_key,
    }
}

pub(crate) fn house() -> House {
    let (issuer, responder) = (identity("Customer Issuing CA"), identity("Customer OCSP"));
    let issuing = IssuingKey {
        label: KeyLabel("customer-issuing".to_owned()),
        key_identifier: key::identifier(&issuer.public_key).expect("an identifier").as_bytes().to_vec(),
        profile: Profile {
            max_validity: hours(398 * 24),
            extended_key_usages: vec![ID_KP_CLIENT_AUTH],
            policies: vec![POLICY],
            max_crl_validity: hours(7 * 24),
            max_responder_validity: hours(45 * 24),
        },
        responders: vec![Responder {
            name: responder.name_der.clone(),
            public_key: responder.public_key_der.clone(),
        }],
        own_names: [&issuer, &responder].iter().flat_map(|identity| identity.names.clone()).collect(),
        own_keys: vec![issuer.public_key_der.clone(), responder.public_key_der.clone()],
        identity: issuer.clone(),
    };
    let responder = ResponderKey {
        label: KeyLabel("customer-ocsp".to_owned()),
        identity: responder,
        issuer: issuing.label.clone(),
        issuer_identity: issuer,
        max_validity: hours(1),
        issued_elsewhere: false,
    };
    House { issuing, responder, customer: public_key() }
}

pub(crate) fn serial(number: u64) -> Vec<u8> {
    let mut serial = vec![0x11];
    serial.extend_from_slice(&number.to_be_bytes());
    serial
}

/// Replaces the extension of the same kind, or adds one.
pub(crate) fn put(extensions: &mut Vec<Extension>, extension: der::Result<Extension>) {
    let extension = extension.expect("an extension");
    extensions.retain(|other| other.extn_id != extension.extn_id);
    extensions.push(extension);
}

impl House {
    /// A customer's certificate.
    pub(crate) fn certificate(&self, number: u64) -> CertificateTemplate {
        let mut extensions = Vec::new();
        self.basics(&mut extensions, &self.customer);
        put(&mut extensions, extension::extended_key_usage(&[ID_KP_CLIENT_AUTH]));
        put(&mut extensions, extension::certificate_policies(&[POLICY]));
        put(&mut extensions, extension::hardware_module_name(HARDWARE, b"12345678"));
        put(&mut extensions, extension::crl_distribution_point("http://crl.example/customer/1.crl"));
        put(
            &mut extensions,
            extension::authority_info_access(
                Some("http://ocsp.example"),
                Some("http://ca.example/customer.cer"),
            ),
        );
        CertificateTemplate {
            serial: serial(number),
            issuer: self.issuing.identity.name.clone(),
            subject: name("北洋 太郎"),
            not_before: now(),
            not_after: now() + hours(365 * 24),
            public_key: self.customer.clone(),
            extensions,
            algorithm: SignatureAlgorithm::EcdsaSha256,
        }
    }

    /// The responder's certificate, renewed.
    pub(crate) fn responder_certificate(&self, number: u64) -> CertificateTemplate {
        let mut extensions = Vec::new();
        let identity = &self.responder.identity;
        self.basics(&mut extensions, &identity.public_key);
        put(&mut extensions, extension::extended_key_usage(&[ID_KP_OCSP_SIGNING]));
        put(&mut extensions, extension::ocsp_no_check());
        CertificateTemplate {
            subject: identity.name.clone(),
            not_after: now() + hours(30 * 24),
            public_key: identity.public_key.clone(),
            extensions,
            ..self.certificate(number)
        }
    }

    fn basics(&self, extensions: &mut Vec<Extension>, subject: &SubjectPublicKeyInfoOwned) {
        let own = OctetString::new(self.issuing.key_identifier.as_slice()).expect("octets");
        put(extensions, extension::end_entity());
        put(extensions, extension::key_usage(KeyUsages::DigitalSignature));
        put(extensions, extension::authority_key_identifier(own));
        put(extensions, extension::subject_key_identifier(key::identifier(subject).expect("an identifier")));
    }

    /// A CRL with these serial numbers, revoked an hour ago.
    pub(crate) fn crl(&self, number: u64, revoked: &[u64]) -> CrlTemplate {
        CrlTemplate {
            issuer: self.issuing.identity.name.clone(),
            issuer_key_identifier: OctetString::new(self.issuing.key_identifier.as_slice()).expect("octets"),
            this_update: now(),
            next_update: now() + hours(24),
            number,
            entries: revoked
                .iter()
                .map(|number| CrlEntry {
                    serial: serial(*number),
                    revoked_at: now() - hours(1),
                    reason: None,
                })
                .collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        }
    }

    /// An OCSP response about one certificate.
    pub(crate) fn response(&self, number: u64, status: CertStatus) -> ResponseData {
        let at = time::to_generalized(now()).expect("a time");
        let issuer = &self.issuing.identity;
        let name_hash =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &issuer.name_der);
        ResponseData {
            version: Version::V1,
            responder_id: ResponderId::by_key(&self.responder.identity.public_key).expect("an identifier"),
            produced_at: at,
            responses: vec![SingleResponse {
                cert_id: CertId {
                    hash_algorithm: AlgorithmIdentifierOwned { oid: ID_SHA_1, parameters: None },
                    issuer_name_hash: OctetString::new(name_hash.as_ref()).expect("octets"),
                    issuer_key_hash: OctetString::new(key::ocsp_key_hash(&issuer.public_key))
                        .expect("octets"),
                    serial_number: SerialNumber::new(&serial(number)).expect("a serial number"),
                },
                cert_status: status,
                this_update: at,
                next_update: Some(time::to_generalized(now() + hours(1)).expect("a time")),
                single_extensions: None,
            }],
            response_extensions: None,
        }
    }
}

pub(crate) fn good() -> CertStatus {
    CertStatus::Good(Null)
}
