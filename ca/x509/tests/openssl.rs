//! What the building blocks build is read and verified by OpenSSL.

use std::{path::Path, process::Command};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair},
};
use ca_x509::{
    SignatureAlgorithm, certificate::CertificateTemplate, crl, crl::CrlEntry, crl::CrlTemplate, extension,
    key, name, name::NameBuilder, ocsp, signed::Signed, signed::assemble,
};
use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING};
use der::{Decode, DecodePem, Encode, EncodePem, asn1::Null, pem::LineEnding};
use jiff::{SignedDuration, Timestamp};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    Certificate,
    crl::CertificateList,
    ext::{
        Extension,
        pkix::{CrlReason, KeyUsages},
    },
    name::Name,
};

struct Key {
    pair: EcdsaKeyPair,
    public: SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
}

impl Key {
    fn generate(algorithm: SignatureAlgorithm) -> Self {
        let (curve, signing) = match algorithm {
            SignatureAlgorithm::EcdsaSha384 => {
                (&rcgen::PKCS_ECDSA_P384_SHA384, &ECDSA_P384_SHA384_ASN1_SIGNING)
            }
            _ => (&rcgen::PKCS_ECDSA_P256_SHA256, &ECDSA_P256_SHA256_ASN1_SIGNING),
        };
        let made = rcgen::KeyPair::generate_for(curve).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(signing, &made.serialize_der()).expect("the same key");
        let public = SubjectPublicKeyInfoOwned::from_pem(made.public_key_pem()).expect("its public half");
        Self { pair, public, algorithm }
    }

    fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), tbs).expect("a signature");
        assemble(tbs, self.algorithm, signature.as_ref()).expect("a signed structure")
    }

    fn identifier(&self) -> der::asn1::OctetString {
        key::identifier(&self.public).expect("an identifier")
    }
}

#[expect(clippy::disallowed_methods, reason = "OpenSSL reads the real clock too")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn issue(
    issuer: (&Name, &Key),
    subject: &Name,
    subject_key: &Key,
    serial: u8,
    profile: Vec<Extension>,
) -> Certificate {
    let mut extensions = profile;
    extensions.push(extension::subject_key_identifier(subject_key.identifier()).expect("SKI"));
    extensions.push(extension::authority_key_identifier(issuer.1.identifier()).expect("AKI"));
    let template = CertificateTemplate {
        serial: vec![0x40, serial],
        issuer: issuer.0.clone(),
        subject: subject.clone(),
        not_before: now() - SignedDuration::from_mins(5),
        not_after: now() + SignedDuration::from_hours(24),
        public_key: subject_key.public.clone(),
        extensions,
        algorithm: issuer.1.algorithm,
    };
    let der = issuer.1.sign(&template.to_tbs_der().expect("a TBSCertificate"));
    Signed::parse(&der).expect("it parses").verify(&issuer.1.public).expect("it verifies");
    Certificate::from_der(&der).expect("a certificate")
}

fn revocation_list(issuer: (&Name, &Key), number: u64, entries: Vec<CrlEntry>) -> CertificateList {
    let template = CrlTemplate {
        issuer: issuer.0.clone(),
        issuer_key_identifier: issuer.1.identifier(),
        this_update: now(),
        next_update: now() + SignedDuration::from_hours(24),
        number,
        entries,
        algorithm: issuer.1.algorithm,
    };
    CertificateList::from_der(&issuer.1.sign(&template.to_tbs_der().expect("a TBSCertList"))).expect("a CRL")
}

fn ca_profile(path_length: Option<u8>) -> Vec<Extension> {
    vec![
        extension::certificate_authority(path_length).expect("BC"),
        extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("KU"),
    ]
}

fn user_profile() -> Vec<Extension> {
    vec![
        extension::end_entity().expect("BC"),
        extension::key_usage(KeyUsages::DigitalSignature).expect("KU"),
        extension::extended_key_usage(&[ID_KP_CLIENT_AUTH]).expect("EKU"),
        extension::hardware_module_name("1.3.6.1.4.1.32473.9".parse().expect("an OID"), b"12345678")
            .expect("SAN"),
        extension::certificate_policies(&["1.3.6.1.4.1.32473.1.1".parse().expect("an OID")])
            .expect("policies"),
        extension::crl_distribution_point("http://pki.test/crl/customer-0.crl").expect("CDP"),
        extension::authority_info_access(Some("http://pki.test/ocsp"), Some("http://pki.test/ca.cer"))
            .expect("AIA"),
    ]
}

fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn chain_and_crls_pass_the_strict_verifier() {
    let folder = tempfile::tempdir().expect("a folder");
    let root_key = Key::generate(SignatureAlgorithm::EcdsaSha384);
    let ca_key = Key::generate(SignatureAlgorithm::EcdsaSha256);
    let user_key = Key::generate(SignatureAlgorithm::EcdsaSha256);
    let root_name = NameBuilder::new().country("JP").common_name("試験ルート").build().expect("a name");
    let ca_name = NameBuilder::new().country("JP").common_name("Test Issuing").build().expect("a name");
    let user_name = NameBuilder::new().country("JP").user_id("hokkai-01").build().expect("a name");

    let root = issue((&root_name, &root_key), &root_name, &root_key, 1, ca_profile(Some(1)));
    let ca = issue((&root_name, &root_key), &ca_name, &ca_key, 2, ca_profile(Some(0)));
    let good = issue((&ca_name, &ca_key), &user_name, &user_key, 3, user_profile());
    let revoked = issue((&ca_name, &ca_key), &user_name, &user_key, 4, user_profile());
    let entry = CrlEntry { serial: vec![0x40, 4], revoked_at: now(), reason: Some(CrlReason::KeyCompromise) };
    let root_crl = revocation_list((&root_name, &root_key), 1, vec![]);
    let ca_crl = revocation_list((&ca_name, &ca_key), 700, vec![entry]);
    assert_eq!(crl::number(ca_crl.tbs_cert_list.crl_extensions.as_deref().unwrap_or_default()), Some(700));

    let pem = |certificate: &Certificate| certificate.to_pem(LineEnding::LF).expect("PEM");
    let list = |crl: &CertificateList| {
        der::pem::encode_string("X509 CRL", LineEnding::LF, &crl.to_der().expect("DER")).expect("PEM")
    };
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
    write("root.pem", pem(&root));
    write("ca.pem", pem(&ca));
    write("good.pem", pem(&good));
    write("revoked.pem", pem(&revoked));
    write("crls.pem", list(&root_crl) + &list(&ca_crl));

    let verify = |leaf| {
        let arguments =
            "verify -x509_strict -crl_check_all -CAfile root.pem -untrusted ca.pem -CRLfile crls.pem";
        openssl(folder.path(), &arguments.split(' ').chain([leaf]).collect::<Vec<_>>())
    };
    let (accepted, text) = verify("good.pem");
    assert!(accepted, "{text}");
    let (accepted, text) = verify("revoked.pem");
    assert!(!accepted && text.contains("certificate revoked"), "{text}");

    let (_, text) = openssl(folder.path(), &["x509", "-in", "good.pem", "-noout", "-text"]);
    assert!(text.contains("CA:FALSE") && text.contains("http://pki.test/crl/customer-0.crl"), "{text}");
    let extensions = good.tbs_certificate().extensions().expect("extensions");
    let module = extension::find_hardware_module_name(extensions).expect("the hardware module name");
    assert_eq!(module.hw_serial_num.as_bytes(), b"12345678");
    assert_eq!(
        name::text(ca.tbs_certificate().subject(), const_oid::db::rfc4519::CN).as_deref(),
        Some("Test Issuing")
    );
}

#[test]
fn openssl_asks_and_reads_our_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_key = Key::generate(SignatureAlgorithm::EcdsaSha256);
    let responder_key = Key::generate(SignatureAlgorithm::EcdsaSha256);
    let ca_name = NameBuilder::new().common_name("Test Issuing").build().expect("a name");
    let responder_name = NameBuilder::new().common_name("Test OCSP").build().expect("a name");
    let ca = issue((&ca_name, &ca_key), &ca_name, &ca_key, 1, ca_profile(None));
    let responder_profile = vec![
        extension::key_usage(KeyUsages::DigitalSignature).expect("KU"),
        extension::extended_key_usage(&[ID_KP_OCSP_SIGNING]).expect("EKU"),
        extension::ocsp_no_check().expect("nocheck"),
    ];
    let responder = issue((&ca_name, &ca_key), &responder_name, &responder_key, 2, responder_profile);
    std::fs::write(folder.path().join("ca.pem"), ca.to_pem(LineEnding::LF).expect("PEM")).expect("a file");
    let asked =
        "ocsp -issuer ca.pem -serial 0x4003 -serial 0x4004 -sha256 -serial 0x4005 -reqout request.der";
    let (made, text) = openssl(folder.path(), &asked.split(' ').collect::<Vec<_>>());
    assert!(made, "{text}");

    let request = std::fs::read(folder.path().join("request.der")).expect("the request");
    let request = ocsp::OcspRequest::from_der(&request).expect("it parses");
    let this_update = ca_x509::time::to_generalized(now()).expect("a time");
    let next_update = ca_x509::time::to_generalized(now() + SignedDuration::from_hours(1)).expect("a time");
    let statuses = [
        ocsp::CertStatus::Good(Null),
        ocsp::CertStatus::Revoked(ocsp::RevokedInfo {
            revocation_time: this_update,
            revocation_reason: Some(CrlReason::KeyCompromise),
        }),
        ocsp::CertStatus::Unknown(Null),
    ];
    let answers = request.tbs_request.request_list.iter().zip(statuses).map(|(asked, cert_status)| {
        assert_eq!(asked.req_cert.is_of(&ca_name, &ca_key.public), Ok(Some(true)));
        assert_eq!(asked.req_cert.is_of(&ca_name, &responder_key.public), Ok(Some(false)));
        ocsp::SingleResponse {
            cert_id: asked.req_cert.clone(),
            cert_status,
            this_update,
            next_update: Some(next_update),
            single_extensions: None,
        }
    });
    let asked_nonce = &request.tbs_request.request_extensions.as_ref().expect("a nonce")[0];
    let data = ocsp::ResponseData {
        version: ocsp::Version::V1,
        responder_id: ocsp::ResponderId::by_key(&responder_key.public).expect("an ID"),
        produced_at: this_update,
        responses: answers.collect(),
        response_extensions: Some(vec![
            ocsp::nonce_extension(&ocsp::nonce(asked_nonce).expect("a nonce")).expect("the nonce"),
        ]),
    };
    let data = data.to_der().expect("DER");
    assert_eq!(ocsp::ResponseData::from_der(&data).and_then(|data| data.to_der()), Ok(data.clone()));
    let signed = responder_key.sign(&data);
    let signature = Signed::parse(&signed).expect("it parses").signature;
    let response = ocsp::OcspResponse::successful(&data, responder_key.algorithm, &signature, &responder);
    let response = response.and_then(|response| response.to_der()).expect("a response");
    std::fs::write(folder.path().join("response.der"), response).expect("a file");

    let read = "ocsp -reqin request.der -respin response.der -issuer ca.pem -CAfile ca.pem -text";
    let (accepted, text) = openssl(folder.path(), &read.split(' ').collect::<Vec<_>>());
    assert!(accepted && text.contains("Response verify OK"), "{text}");
    let order: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("Cert Status: ")).collect();
    assert_eq!(order, ["good", "revoked", "unknown"], "{text}");
    assert!(!text.contains("WARNING"), "{text}");
}
