//! Keys, issuers, requests and devices for the tests of the domain.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use ca_x509::{
    KeyKind, SignatureAlgorithm, certificate::CertificateTemplate, extension, key, name::NameBuilder, signed,
};
use const_oid::ObjectIdentifier;
use der::{
    Any, Decode, Encode,
    asn1::{OctetString, SetOfVec},
};
use jiff::Timestamp;
use x509_cert::{
    attr::{Attribute, Attributes},
    ext::{Extension, pkix::KeyUsages},
    name::Name,
    request::{CertReqInfo, ExtensionReq, Version},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    attestation::{
        Attested, Particulars,
        yubikey::{Firmware, PinPolicy, Slot, TouchPolicy, YubiKey},
    },
    certificate::{CertificateRecord, CertificateState},
    contract::{Contract, Plan},
    csr::{self, Csr},
    device::{Assurance, Device, DeviceKind},
    ids::{ContractNumber, EnrolmentId, IssuerId, SerialNumber, SignerName, TokenSerial, UserId},
    profile::{Issuer, PolicyOids, Profile, Publication},
    user::{Role, User, UserState},
};

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// A Tuesday morning in Japan on which the bank is open.
pub(super) fn now() -> Timestamp {
    at("2026-11-24T10:00:00+09:00")
}

/// A key pair that signs as Inro's do.
pub(super) enum TestKey {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    pub(super) fn p256() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    pub(super) fn p384() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).expect("a key"))
    }

    /// As some makers' roots have it, and nobody else.
    pub(super) fn p521() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).expect("a key"))
    }

    pub(super) fn rsa_2048() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    pub(super) fn public_key(&self) -> SubjectPublicKeyInfoOwned {
        let der = match self {
            Self::Ec(key) => key.public_key().as_der().expect("DER").as_ref().to_vec(),
            Self::Rsa(key) => key.public_key().as_der().expect("DER").as_ref().to_vec(),
        };
        SubjectPublicKeyInfoOwned::from_der(&der).expect("an SPKI")
    }

    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::for_key(KeyKind::of(&self.public_key()).expect("a kind"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(key) => key.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .expect("a signature");
                signature
            }
        }
    }

    /// A `SIGNED{}` structure of this to-be-signed part.
    pub(super) fn signed(&self, tbs: &[u8]) -> Vec<u8> {
        signed::assemble(tbs, self.algorithm(), &self.sign(tbs)).expect("a signed structure")
    }
}

pub(super) fn common_name(text: &str) -> Name {
    NameBuilder::new().common_name(text).build().expect("a name")
}

/// A certificate of anything, by anyone.
pub(super) struct Certificate<'a> {
    pub(super) issuer: Name,
    pub(super) issuer_key: &'a TestKey,
    pub(super) subject: Name,
    pub(super) public_key: SubjectPublicKeyInfoOwned,
    pub(super) extensions: Vec<Extension>,
}

impl Certificate<'_> {
    pub(super) fn der(self) -> Vec<u8> {
        self.der_between("2024-12-01T00:00:00Z", "2049-12-31T23:59:59Z")
    }

    pub(super) fn der_between(self, not_before: &str, not_after: &str) -> Vec<u8> {
        let template = CertificateTemplate {
            serial: vec![0x41; 16],
            issuer: self.issuer,
            subject: self.subject,
            not_before: at(not_before),
            not_after: at(not_after),
            public_key: self.public_key,
            extensions: self.extensions,
            algorithm: self.issuer_key.algorithm(),
        };
        self.issuer_key.signed(&template.to_tbs_der().expect("a TBSCertificate"))
    }
}

pub(super) fn raw_extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Extension {
    Extension { extn_id: oid, critical, extn_value: OctetString::new(value).expect("octets") }
}

pub(super) const POLICIES: PolicyOids = PolicyOids {
    asserted: ObjectIdentifier::new_unwrap("2.25.88.1"),
    attested: ObjectIdentifier::new_unwrap("2.25.88.2"),
    attested_with_pin: ObjectIdentifier::new_unwrap("2.25.88.3"),
};

pub(super) fn signer_name() -> SignerName {
    SignerName::parse("customer-a").expect("a signer name")
}

pub(super) fn issuer_id() -> IssuerId {
    IssuerId::parse("customer").expect("an issuer name")
}

/// A self-signed issuing CA that is valid until `not_after`, and its key.
pub(super) fn issuer_until(key: &TestKey, not_after: &str) -> Issuer {
    let name = NameBuilder::new().country("JP").organization("試験銀行").common_name("Customer CA").build();
    let name = name.expect("a name");
    let policies = [POLICIES.asserted, POLICIES.attested, POLICIES.attested_with_pin];
    let certificate = Certificate {
        issuer: name.clone(),
        issuer_key: key,
        subject: name,
        public_key: key.public_key(),
        extensions: vec![
            extension::certificate_authority(Some(0)).expect("an extension"),
            extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("an extension"),
            extension::subject_key_identifier(key::identifier(&key.public_key()).expect("an identifier"))
                .expect("an extension"),
            extension::certificate_policies(&policies).expect("an extension"),
        ],
    };
    let der = certificate.der_between("2026-01-01T00:00:00Z", not_after);
    Issuer::from_certificate(issuer_id(), &der).expect("an issuer")
}

pub(super) fn issuer(key: &TestKey) -> Issuer {
    issuer_until(key, "2036-01-01T00:00:00Z")
}

pub(super) fn publication() -> Publication {
    Publication {
        crl_base_url: "http://crl.example/customer".to_owned(),
        crl_partition: 0,
        ocsp_url: "http://ocsp.example/customer".to_owned(),
        ca_issuers_url: "http://crl.example/customer.cer".to_owned(),
    }
}

pub(super) fn profile(issuer: Issuer) -> Profile {
    Profile::new(issuer, POLICIES, publication()).expect("a profile")
}

pub(super) fn contract() -> Contract {
    Contract {
        number: ContractNumber::parse("1234567").expect("a number"),
        name: "北海商事株式会社".to_owned(),
        plan: Plan::default(),
        registered_at: Timestamp::UNIX_EPOCH,
    }
}

pub(super) fn user(id: &str, role: Role) -> User {
    User {
        id: UserId::parse(id).expect("an ID"),
        contract: contract().number,
        role,
        display_name: "山田 太郎".to_owned(),
        email: None,
        state: UserState::Active,
        assigned_device: None,
        locked_at: None,
        registered_at: Timestamp::UNIX_EPOCH,
    }
}

pub(super) fn device(serial: &str) -> Device {
    Device { kind: DeviceKind::YubiKeyPiv, serial: TokenSerial::parse(serial).expect("a serial") }
}

pub(super) fn attested(assurance: Assurance) -> Attested {
    Attested {
        device: device("33064031"),
        assurance,
        root_sha256: Some([7; 32]),
        particulars: Particulars::YubiKey(YubiKey {
            firmware: Firmware::new(5, 7, 4),
            slot: Slot::AUTHENTICATION,
            pin_policy: PinPolicy::Once,
            touch_policy: TouchPolicy::Cached,
            form_factor: None,
            fips: false,
            cspn: false,
        }),
    }
}

/// What a hostile or honest request consists of.
pub(super) struct Request<'a> {
    pub(super) subject: Name,
    pub(super) key: &'a TestKey,
    pub(super) attributes: Vec<Attribute>,
}

impl<'a> Request<'a> {
    pub(super) fn plain(key: &'a TestKey) -> Self {
        Self { subject: Name::default(), key, attributes: Vec::new() }
    }

    pub(super) fn asking_for(key: &'a TestKey, extensions: Vec<Extension>) -> Self {
        let attribute = Attribute::try_from(ExtensionReq(extensions)).expect("an attribute");
        Self { attributes: vec![attribute], ..Self::plain(key) }
    }

    pub(super) fn info(&self) -> Vec<u8> {
        let info = CertReqInfo {
            version: Version::V1,
            subject: self.subject.clone(),
            public_key: self.key.public_key(),
            attributes: Attributes::try_from(self.attributes.clone()).expect("attributes"),
        };
        info.to_der().expect("DER")
    }

    pub(super) fn der(&self) -> Vec<u8> {
        self.key.signed(&self.info())
    }
}

pub(super) fn attribute(oid: &str, value: Any) -> Attribute {
    let values = SetOfVec::try_from(vec![value]).expect("a set");
    Attribute { oid: ObjectIdentifier::new_unwrap(oid), values }
}

pub(super) fn verified_csr(key: &TestKey) -> Csr {
    csr::verify(&Request::plain(key).der(), &user("hokkai-01", Role::General).id).expect("a request")
}

pub(super) fn record(serial: u8, not_after: &str, state: CertificateState) -> CertificateRecord {
    CertificateRecord {
        intent: EnrolmentId(uuid::Uuid::from_u128(serial.into())),
        issuer: issuer_id(),
        signer: signer_name(),
        serial: SerialNumber::from_bytes(&[serial]).expect("a serial"),
        user: user("hokkai-01", Role::General).id,
        contract: contract().number,
        device: device("33064031"),
        assurance: Assurance::AttestedWithPin,
        public_key_sha256: [serial; 32],
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at(not_after),
        renews: None,
        tbs: Vec::new(),
        state,
    }
}
