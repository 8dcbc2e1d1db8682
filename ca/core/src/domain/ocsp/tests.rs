//! Requests by OpenSSL and by hostile clients, answers judged by OpenSSL.

use std::{fs, process::Command};

use ca_x509::{
    extension,
    key::identifier,
    ocsp::{Request, TbsRequest},
};
use const_oid::db::rfc5912::{ID_SHA_1, ID_SHA_256, ID_SHA_384};
use der::{Any, asn1::OctetString};
use sha2::Digest;
use x509_cert::{
    ext::{
        Extension,
        pkix::{KeyUsages, name::GeneralName},
    },
    spki::AlgorithmIdentifierOwned,
};

use super::*;
use crate::domain::{
    fixtures::{Certificate as Draft, TestKey, at, common_name, issuer, issuer_id, now, raw_extension},
    revocation::RevocationReason,
};

fn cert_id(issuer: &Issuer, hash: const_oid::ObjectIdentifier, serial: &[u8]) -> CertId {
    let (name, key) =
        (issuer.name().to_der().expect("DER"), issuer.public_key().subject_public_key.raw_bytes().to_vec());
    let digest = |bytes: &[u8]| match hash {
        ID_SHA_1 => {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
        }
        _ => sha2::Sha256::digest(bytes).to_vec(),
    };
    CertId {
        hash_algorithm: AlgorithmIdentifierOwned { oid: hash, parameters: None },
        issuer_name_hash: OctetString::new(digest(&name)).expect("octets"),
        issuer_key_hash: OctetString::new(digest(&key)).expect("octets"),
        serial_number: x509_cert::serial_number::SerialNumber::new(serial).expect("a serial"),
    }
}

fn request(entries: Vec<CertId>, extensions: Option<Vec<Extension>>) -> Vec<u8> {
    let request_list =
        entries.into_iter().map(|req_cert| Request { req_cert, single_request_extensions: None }).collect();
    let tbs_request = TbsRequest {
        version: Version::V1,
        requestor_name: None,
        request_list,
        request_extensions: extensions,
    };
    OcspRequest { tbs_request, optional_signature: None }.to_der().expect("DER")
}

fn with_extension(extension: Extension) -> Result<Query, RequestError> {
    let issuer = issuer(&TestKey::p256());
    Query::parse(&request(vec![cert_id(&issuer, ID_SHA_256, &[7])], Some(vec![extension])))
}

#[test]
fn sha_1_and_sha_256_name_the_issuer_other_hashes_and_issuers_nothing() {
    let (own, other) = (issuer(&TestKey::p256()), issuer(&TestKey::p256()));
    let ask = |entries| Query::parse(&request(entries, None)).expect("a query");
    for hash in [ID_SHA_1, ID_SHA_256] {
        let query = ask(vec![cert_id(&own, hash, &[7])]);
        assert_eq!(query.issuer([&other, &own]), Some(&own));
        assert_eq!(query.issuer([&other]), None, "the same name, another key");
        assert_eq!(query.serials(), [SerialNumber::from_bytes(&[7]).expect("a serial")]);
    }
    assert_eq!(ask(vec![cert_id(&own, ID_SHA_384, &[7])]).issuer([&own]), None);
    let mixed = ask(vec![cert_id(&own, ID_SHA_256, &[7]), cert_id(&other, ID_SHA_256, &[7])]);
    assert_eq!(mixed.issuer([&own, &other]), None, "one responder can't answer for two");
}

#[test]
fn requests_are_bounded() {
    let issuer = issuer(&TestKey::p256());
    let entries = |count| vec![cert_id(&issuer, ID_SHA_256, &[7]); count];
    assert!(Query::parse(&request(entries(MAX_ENTRIES), None)).is_ok());
    assert_eq!(Query::parse(&request(entries(MAX_ENTRIES + 1), None)), Err(RequestError::Entries));
    assert_eq!(Query::parse(&request(entries(10_000), None)), Err(RequestError::TooLarge));
    assert_eq!(Query::parse(&request(entries(0), None)), Err(RequestError::Entries));
    for bad in [&[][..], &[0x30, 0x80, 0, 0], b"GET / HTTP/1.1", &[0x30; 8_000]] {
        assert_eq!(Query::parse(bad), Err(RequestError::Malformed));
    }
    let honest = request(entries(1), None);
    assert_eq!(Query::parse(&[&honest[..], &[0]].concat()), Err(RequestError::Malformed), "trailing bytes");
}

/// RFC 5280, 4.1.2.2: the signer puts no other numbers into an answer, so asking for them can't end in "try later".
#[test]
fn serial_numbers_that_no_certificate_can_have_are_malformed() {
    let issuer = issuer(&TestKey::p256());
    let ask = |content: &[u8]| {
        let integer = [&[2, u8::try_from(content.len()).expect("short")][..], content].concat();
        let mut entry = cert_id(&issuer, ID_SHA_256, &[7]);
        entry.serial_number = Decode::from_der(&integer).expect("a number");
        Query::parse(&request(vec![entry], None))
    };
    for content in [&[0x7f; 20][..], &[0, 0xff], &[1]] {
        assert!(ask(content).is_ok(), "{content:x?}");
    }
    for content in [&[0][..], &[0x80], &[0xff], &[1; 21]] {
        assert_eq!(ask(content), Err(RequestError::Malformed), "{content:x?}");
    }
}

/// RFC 9654: 1 to 128 octets.
#[test]
fn nonces_are_bounded() {
    let with = |length: usize| with_extension(nonce_extension(&vec![9; length]).expect("a nonce"));
    for length in [1, 32, 128] {
        assert_eq!(with(length).expect("a query").nonce(), Some(&vec![9; length][..]));
    }
    for length in [0, 129, 4_000] {
        assert_eq!(with(length), Err(RequestError::Nonce), "{length} octets");
    }
    assert_eq!(with_extension(raw_extension(ID_PKIX_OCSP_NONCE, false, b"raw")), Err(RequestError::Nonce));
    let issuer = issuer(&TestKey::p256());
    let twice = vec![nonce_extension(&[9; 16]).expect("a nonce"); 2];
    let request = request(vec![cert_id(&issuer, ID_SHA_256, &[7])], Some(twice));
    assert_eq!(Query::parse(&request), Err(RequestError::Nonce));
}

/// What is signed repeats the question, so a question has no room for anything else.
#[test]
fn a_hash_has_no_parameters() {
    let issuer = issuer(&TestKey::p256());
    let ask = |parameters| {
        let mut entry = cert_id(&issuer, ID_SHA_1, &[7]);
        entry.hash_algorithm.parameters = parameters;
        Query::parse(&request(vec![entry], None))
    };
    for fine in [None, Some(Any::null())] {
        assert!(ask(fine).expect("a query").issuer([&issuer]).is_some());
    }
    for other in [Any::from(ID_SHA_1), Any::new(der::Tag::Utf8String, *b"sign this").expect("a value")] {
        assert_eq!(ask(Some(other)), Err(RequestError::Malformed));
    }
}

/// Of each other kind there are as many as one likes.
#[test]
fn only_the_plain_question_is_one_of_few() {
    let issuer = issuer(&TestKey::p256());
    let entry = || cert_id(&issuer, ID_SHA_256, &[7]);
    let is_plain = |der: &[u8]| Query::parse(der).expect("a query").is_plain();
    assert!(is_plain(&request(vec![entry()], None)));
    assert!(!is_plain(&request(vec![entry(), entry()], None)));
    let unknown = raw_extension(const_oid::ObjectIdentifier::new_unwrap("2.25.1"), false, &[5, 0]);
    assert!(!is_plain(&request(vec![entry()], Some(vec![unknown.clone()]))));
    let plain = OcspRequest::from_der(&request(vec![entry()], None)).expect("a request");
    let mut named = plain.clone();
    named.tbs_request.requestor_name = Some(GeneralName::DirectoryName(common_name("somebody")));
    let mut single = plain.clone();
    single.tbs_request.request_list[0].single_request_extensions = Some(vec![unknown]);
    let signed = OcspRequest { optional_signature: Some(Any::null()), ..plain };
    for other in [named, single, signed] {
        assert!(!is_plain(&other.to_der().expect("DER")));
    }
}

#[test]
fn unknown_extensions_are_ignored_unless_critical() {
    let unknown = const_oid::ObjectIdentifier::new_unwrap("2.25.1");
    assert!(with_extension(raw_extension(unknown, false, &[5, 0])).is_ok());
    assert_eq!(with_extension(raw_extension(unknown, true, &[5, 0])), Err(RequestError::CriticalExtension));
}

fn responder_der(issuer_key: &TestKey, key: &TestKey, usage: const_oid::ObjectIdentifier) -> Vec<u8> {
    let issuer = issuer(issuer_key);
    let certificate = Draft {
        issuer: issuer.name().clone(),
        issuer_key,
        subject: common_name("OCSP"),
        public_key: key.public_key(),
        extensions: vec![
            extension::end_entity().expect("an extension"),
            extension::key_usage(KeyUsages::DigitalSignature).expect("an extension"),
            extension::extended_key_usage(&[usage]).expect("an extension"),
            extension::subject_key_identifier(identifier(&key.public_key()).expect("an identifier"))
                .expect("an extension"),
            extension::authority_key_identifier(issuer.key_identifier().clone()).expect("an extension"),
            extension::ocsp_no_check().expect("an extension"),
        ],
    };
    certificate.der_between("2026-11-01T00:00:00Z", "2026-11-24T01:30:00Z")
}

fn revoked() -> LedgerStatus {
    LedgerStatus::Revoked(Revocation {
        issuer: issuer_id(),
        serial: SerialNumber::from_bytes(&[7]).expect("a serial"),
        at: at("2026-11-24T09:00:00+09:00"),
        reason: RevocationReason::KeyCompromise,
        not_after: at("2027-11-24T14:59:59Z"),
    })
}

#[test]
fn only_the_issuers_delegate_answers() {
    let (issuer_key, key) = (TestKey::p256(), TestKey::p256());
    let issuer = issuer(&issuer_key);
    let der = responder_der(&issuer_key, &key, ID_KP_OCSP_SIGNING);
    assert!(Responder::from_certificate(&der, &issuer).is_ok());
    let client = responder_der(&issuer_key, &key, const_oid::db::rfc5280::ID_KP_CLIENT_AUTH);
    let refused = Responder::from_certificate(&client, &issuer);
    assert!(matches!(refused, Err(ResponderError::NotAResponder)));
    let imitation = responder_der(&TestKey::p256(), &key, ID_KP_OCSP_SIGNING);
    let refused = Responder::from_certificate(&imitation, &issuer);
    assert!(matches!(refused, Err(ResponderError::OtherIssuer)));
}

#[test]
fn answers_end_with_their_responder_and_fit_their_questions() {
    let (issuer_key, key) = (TestKey::p256(), TestKey::p256());
    let issuer = issuer(&issuer_key);
    let der = responder_der(&issuer_key, &key, ID_KP_OCSP_SIGNING);
    let responder = Responder::from_certificate(&der, &issuer).expect("a responder");
    let query = Query::parse(&request(vec![cert_id(&issuer, ID_SHA_256, &[7])], None)).expect("a query");

    let first =
        answer(&query, &[LedgerStatus::Good], &responder, at("2026-11-24T00:00:00Z")).expect("an answer");
    assert_eq!(first.next_update(), at("2026-11-24T01:00:00Z"));
    let last = answer(&query, &[LedgerStatus::Good], &responder, now()).expect("an answer");
    assert_eq!(last.next_update(), responder.not_after());
    let expired = answer(&query, &[LedgerStatus::Good], &responder, at("2026-11-24T01:30:01Z"));
    assert!(matches!(expired, Err(AnswerError::ResponderNotValid { .. })));
    assert!(matches!(answer(&query, &[], &responder, now()), Err(AnswerError::Count { .. })));
    let forged = TestKey::p256().sign(last.data());
    assert!(matches!(last.signed(&forged, &responder), Err(AnswerError::Signature(_))));
}

/// OpenSSL asks, with SHA-1 and a nonce as it does by default, and accepts the three answers.
#[test]
fn openssl_accepts_good_revoked_and_unknown() {
    let (issuer_key, key) = (TestKey::p256(), TestKey::p256());
    let issuer = issuer(&issuer_key);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let der = responder_der(&issuer_key, &key, ID_KP_OCSP_SIGNING);
    let responder = Responder::from_certificate(&der, &issuer).expect("a responder");
    fs::write(folder.join("ca.der"), issuer.der()).expect("written");
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    openssl(&["x509", "-inform", "DER", "-in", "ca.der", "-out", "ca.pem"]);
    for (hash, status, verdict) in [
        ("-sha1", LedgerStatus::Good, "7: good"),
        ("-sha256", revoked(), "Reason: keyCompromise"),
        ("-sha256", LedgerStatus::Unknown, "7: unknown"),
    ] {
        openssl(&["ocsp", hash, "-issuer", "ca.pem", "-serial", "7", "-reqout", "request.der", "-nonce"]);
        let query = Query::parse(&fs::read(folder.join("request.der")).expect("a request")).expect("a query");
        let nonce = query.nonce().expect("a nonce").to_vec();
        assert_eq!(query.issuer([&issuer]), Some(&issuer));
        let answer = answer(&query, &[status], &responder, now()).expect("an answer");
        let data = ResponseData::from_der(answer.data()).expect("response data");
        let echoed = data.response_extensions.expect("extensions");
        assert_eq!(ca_x509::ocsp::nonce(&echoed[0]), Ok(nonce));
        let response = answer.signed(&key.sign(answer.data()), &responder).expect("a response");
        fs::write(folder.join("response.der"), response).expect("written");
        let when = now().as_second().to_string();
        let text = openssl(&[
            "ocsp",
            hash,
            "-issuer",
            "ca.pem",
            "-serial",
            "7",
            "-no_nonce",
            "-respin",
            "response.der",
            "-CAfile",
            "ca.pem",
            "-attime",
            &when,
            "-validity_period",
            "999999999",
        ]);
        assert!(text.contains("Response verify OK") && text.contains(verdict), "{verdict}: {text}");
    }
}

#[test]
fn errors_are_unsigned_and_minimal() {
    for (status, number) in
        [(ErrorStatus::MalformedRequest, 1), (ErrorStatus::TryLater, 3), (ErrorStatus::Unauthorized, 6)]
    {
        assert_eq!(error_response(status), [0x30, 3, 0x0a, 1, number]);
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_requests_never_panic(bytes: Vec<u8>) {
        let _ = Query::parse(&bytes);
    }
}
