//! A bank's ceremony and signer without its authority: the tests take the authority's place at the socket.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use ca_x509::{
    SignatureAlgorithm,
    certificate::CertificateTemplate,
    crl::{CrlEntry, CrlTemplate},
    extension, key,
    name::NameBuilder,
    ocsp::{CertId, CertStatus, ResponderId, ResponseData, SingleResponse, Version},
    time,
    verify::verify,
};
use const_oid::{
    ObjectIdentifier,
    db::{rfc5280::ID_KP_CLIENT_AUTH, rfc5912::ID_SHA_256},
};
use der::{Decode, DecodePem, Encode, asn1::OctetString};
use jiff::{SignedDuration, Timestamp};
use rcgen::PublicKeyData;
use serde_json::Value;
use signer_protocol::{
    client::{Client, ClientError},
    message::{AuditPosition, KeyLabel, RefusalCode, RevocationEntry},
};
use softhsm_tests::{
    bank::{Bank, Options},
    binaries,
    process::{Process, output_of},
    scratch::Scratch,
};
use uuid::Uuid;
use x509_cert::{
    Certificate,
    ext::pkix::{KeyUsages, SubjectKeyIdentifier},
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const HEAD: AuditPosition = AuditPosition { sequence: 1, hash: [0x5a; 32] };

/// Field order is drop order: processes end before their files go.
pub(crate) struct Rig {
    pub(crate) bank: Bank,
    pub(crate) issuer: Certificate,
    pub(crate) responder: Certificate,
    pub(crate) scratch: Scratch,
}

pub(crate) fn issuing() -> KeyLabel {
    KeyLabel("customer-issuing".to_owned())
}

pub(crate) fn ocsp() -> KeyLabel {
    KeyLabel("customer-ocsp".to_owned())
}

impl Rig {
    /// After the ceremony; the signer isn't started.
    pub(crate) fn prepare() -> Self {
        let scratch = Scratch::new("signer").expect("scratch");
        let bank = Bank::prepare(scratch.path(), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        let read = |name: &str| {
            let pem = fs::read(bank.path(name)).expect("a certificate");
            Certificate::from_pem(pem).expect("a certificate")
        };
        let (issuer, responder) = (read("ceremony/issuing.pem"), read("ceremony/ocsp.pem"));
        Self { bank, issuer, responder, scratch }
    }

    /// With the signer ready.
    pub(crate) fn start() -> Self {
        let mut rig = Self::prepare();
        rig.bank.start_signer().expect("the signer");
        rig
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.bank.path("signer/socket")).with_deadline(DEADLINE)
    }

    /// Changes the signer's configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.bank.path("signer.toml");
        let text = fs::read_to_string(&path).expect("signer.toml");
        assert!(text.contains(from), "{from} is not in signer.toml");
        fs::write(path, text.replace(from, to)).expect("signer.toml");
    }

    /// Starts the signer without waiting for it to be ready.
    pub(crate) fn spawn(&self, name: &str) -> Process {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.arg("signer").arg("--config").arg(self.bank.path("signer.toml"));
        Process::spawn(name, &mut command, &self.bank.path("logs")).expect("started")
    }

    pub(crate) fn inro_hsm(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        output_of(command.args(arguments).current_dir(self.scratch.path()), b"").expect("ran")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.bank.path("signer/journal")
    }

    /// `inro-hsm journal verify`, which must find the journal sound.
    pub(crate) fn verify_journal(&self) -> Value {
        let path = self.journal().display().to_string();
        let output = self.inro_hsm(&["journal", "verify", &path, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Whether the issuing key made this signature.
    pub(crate) fn is_issuers(&self, tbs: &[u8], signature: &[u8]) -> bool {
        let spki = self.issuer.tbs_certificate().subject_public_key_info();
        verify(spki, SignatureAlgorithm::EcdsaSha256, tbs, signature).is_ok()
    }

    fn issuer_name(&self) -> Name {
        self.issuer.tbs_certificate().subject().clone()
    }

    fn issuer_key_identifier(&self) -> OctetString {
        let identifier = self.issuer.tbs_certificate().get_extension::<SubjectKeyIdentifier>();
        identifier.expect("readable").expect("there").1.0
    }

    /// A customer's certificate with a new key and serial number.
    pub(crate) fn certificate(&self) -> CertificateTemplate {
        self.certificate_with(&[&[1], Uuid::new_v4().as_bytes().as_slice()].concat())
    }

    pub(crate) fn certificate_with(&self, serial: &[u8]) -> CertificateTemplate {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let public_key =
            SubjectPublicKeyInfoOwned::from_der(&pair.subject_public_key_info()).expect("a public key");
        let policy = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
        let extensions = [
            extension::key_usage(KeyUsages::DigitalSignature),
            extension::extended_key_usage(&[ID_KP_CLIENT_AUTH]),
            extension::certificate_policies(&[policy]),
            extension::authority_key_identifier(self.issuer_key_identifier()),
            extension::subject_key_identifier(key::identifier(&public_key).expect("an identifier")),
        ];
        CertificateTemplate {
            serial: serial.to_vec(),
            issuer: self.issuer_name(),
            subject: NameBuilder::new().country("JP").common_name("北洋 太郎").build().expect("a name"),
            not_before: Timestamp::now(),
            not_after: Timestamp::now() + SignedDuration::from_hours(365 * 24),
            public_key,
            extensions: extensions.into_iter().map(|extension| extension.expect("an extension")).collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        }
    }

    pub(crate) fn crl(&self, number: u64, revoked: &[RevocationEntry]) -> Vec<u8> {
        let entry = |entry: &RevocationEntry| CrlEntry {
            serial: entry.serial.clone(),
            revoked_at: entry.revoked_at,
            reason: None,
        };
        let template = CrlTemplate {
            issuer: self.issuer_name(),
            issuer_key_identifier: self.issuer_key_identifier(),
            this_update: Timestamp::now(),
            next_update: Timestamp::now() + SignedDuration::from_hours(24),
            number,
            entries: revoked.iter().map(entry).collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        template.to_tbs_der().expect("DER")
    }

    pub(crate) fn response(&self, serial: &[u8], status: CertStatus) -> Vec<u8> {
        let sha256 = |octets: &[u8]| {
            OctetString::new(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref())
                .expect("octets")
        };
        let now = time::to_generalized(Timestamp::now()).expect("a time");
        let next = time::to_generalized(Timestamp::now() + SignedDuration::from_mins(30)).expect("a time");
        let issuer = self.issuer.tbs_certificate();
        let responder = self.responder.tbs_certificate().subject_public_key_info();
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::by_key(responder).expect("an identifier"),
            produced_at: now,
            responses: vec![SingleResponse {
                cert_id: CertId {
                    hash_algorithm: AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None },
                    issuer_name_hash: sha256(&issuer.subject().to_der().expect("DER")),
                    issuer_key_hash: sha256(issuer.subject_public_key_info().subject_public_key.raw_bytes()),
                    serial_number: SerialNumber::new(serial).expect("a serial number"),
                },
                cert_status: status,
                this_update: now,
                next_update: Some(next),
                single_extensions: None,
            }],
            response_extensions: None,
        };
        data.to_der().expect("DER")
    }
}

pub(crate) fn tbs(template: &CertificateTemplate) -> Vec<u8> {
    template.to_tbs_der().expect("DER")
}

/// The code of a refusal; anything else fails the test.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> RefusalCode {
    match result {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("not a refusal: {other:?}"),
    }
}
