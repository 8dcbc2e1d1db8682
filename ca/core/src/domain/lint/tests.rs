//! One broken draft for each lint.

use std::collections::BTreeSet;

use ca_x509::{SignatureAlgorithm, certificate::CertificateTemplate, extension, key};
use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
};
use der::{Encode, asn1::OctetString};
use jiff::SignedDuration;
use x509_cert::ext::{Extension, pkix::KeyUsages};

use super::*;
use crate::domain::{
    fixtures::{POLICIES, TestKey, common_name, contract, device, issuer, now, profile, raw_extension, user},
    profile::hardware_module_name,
    serial, subject,
    user::Role,
    validity,
};

/// A draft that passes, and what it is held against.
struct Draft {
    template: CertificateTemplate,
    expected: Expected,
    issuer_key: TestKey,
}

fn sound() -> Draft {
    let (issuer_key, key) = (TestKey::p256(), TestKey::p256());
    let profile = profile(issuer(&issuer_key));
    let expected = Expected {
        serial: serial::from_random([5; 16]),
        subject: subject::of(&contract(), &user("hokkai-01", Role::General)).expect("a subject"),
        validity: validity::one_year(now(), profile.issuer().not_after()).expect("a validity"),
        public_key: key.public_key(),
        device: device("33064031"),
        assurance: Assurance::AttestedWithPin,
        profile,
    };
    let extensions = expected.profile.extensions(&expected.public_key, &expected.device, expected.assurance);
    let template = CertificateTemplate {
        serial: expected.serial.as_bytes().to_vec(),
        issuer: expected.profile.issuer().name().clone(),
        subject: expected.subject.clone(),
        not_before: expected.validity.not_before,
        not_after: expected.validity.not_after,
        public_key: expected.public_key.clone(),
        extensions: extensions.expect("extensions"),
        algorithm: SignatureAlgorithm::EcdsaSha256,
    };
    Draft { template, expected, issuer_key }
}

fn findings(draft: &Draft) -> BTreeSet<&'static str> {
    let der = draft.template.to_tbs_der().expect("a TBSCertificate");
    check(&der, &draft.expected).into_iter().map(|finding| finding.lint).collect()
}

/// Puts `broken` where the extension with its identifier stands.
fn put(draft: &mut Draft, broken: Extension) {
    let place = draft.template.extensions.iter_mut().find(|extension| extension.extn_id == broken.extn_id);
    *place.expect("an extension of the profile") = broken;
}

type Broken = (&'static str, fn(&mut Draft));

const FIELDS: &[Broken] = &[
    ("serial-ordered", |d| d.template.serial = vec![0x41; 16]),
    ("serial-form", |d| d.template.serial = vec![0x41; 8]),
    ("signature-algorithm", |d| d.template.algorithm = SignatureAlgorithm::EcdsaSha384),
    ("issuer", |d| d.template.issuer = common_name("Customer CA")),
    ("validity-ordered", |d| d.template.not_before -= SignedDuration::from_mins(11)),
    ("validity-ordered", |d| d.template.not_after += SignedDuration::from_secs(1)),
    ("validity-within-issuer", |d| d.template.not_after += SignedDuration::from_hours(24 * 365 * 10)),
    ("subject", |d| d.template.subject = common_name("hokkai-02")),
    ("subject", |d| d.template.subject = Name::default()),
    ("public-key", |d| d.template.public_key = TestKey::p256().public_key()),
    ("not-the-issuers-key", |d| d.template.public_key = d.issuer_key.public_key()),
];

const EXTENSIONS: &[Broken] = &[
    ("no-duplicate-extensions", |d| d.template.extensions.push(d.template.extensions[1].clone())),
    ("no-other-extensions", |d| {
        d.template.extensions.push(extension::ocsp_no_check().expect("an extension"));
    }),
    ("basic-constraints", |d| put(d, extension::certificate_authority(None).expect("an extension"))),
    ("basic-constraints", |d| put(d, raw_extension(ID_CE_BASIC_CONSTRAINTS, false, &[0x30, 0]))),
    ("basic-constraints", |d| drop(d.template.extensions.remove(0))),
    ("key-usage", |d| {
        put(
            d,
            extension::key_usage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign).expect("an extension"),
        );
    }),
    ("key-usage", |d| d.template.extensions[1].critical = false),
    ("extended-key-usage", |d| {
        let usages = [ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH];
        put(d, extension::extended_key_usage(&usages).expect("an extension"));
    }),
    ("subject-key-identifier", |d| {
        put(
            d,
            extension::subject_key_identifier(OctetString::new(*b"other").expect("octets"))
                .expect("an extension"),
        );
    }),
    ("authority-key-identifier", |d| {
        let own = key::identifier(&d.expected.public_key).expect("an identifier");
        put(d, extension::authority_key_identifier(own).expect("an extension"));
    }),
    ("certificate-policies", |d| {
        put(d, extension::certificate_policies(&[POLICIES.asserted]).expect("an extension"));
    }),
    ("certificate-policies", |d| {
        let two = [POLICIES.attested_with_pin, POLICIES.asserted];
        put(d, extension::certificate_policies(&two).expect("an extension"));
    }),
    ("subject-alt-name", |d| {
        let other = device("33064032");
        let (hw_type, serial) = hardware_module_name(&other);
        put(d, extension::hardware_module_name(hw_type, serial).expect("an extension"));
    }),
    ("crl-distribution-points", |d| {
        put(d, extension::crl_distribution_point("http://crl.example/other.crl").expect("an extension"));
    }),
    ("authority-info-access", |d| {
        put(
            d,
            extension::authority_info_access(None, Some("http://crl.example/customer.cer"))
                .expect("an extension"),
        );
    }),
    ("authority-info-access", |d| drop(d.template.extensions.pop())),
];

#[test]
fn a_sound_draft_passes() {
    assert_eq!(findings(&sound()), BTreeSet::new());
}

#[test]
fn each_fault_is_found_by_its_lint() {
    for (lint, break_it) in FIELDS.iter().chain(EXTENSIONS) {
        let mut draft = sound();
        break_it(&mut draft);
        let found = findings(&draft);
        assert!(found.contains(lint), "{lint} is not among {found:?}");
    }
}

/// Faults that no builder makes, in the encoded bytes.
#[test]
fn faults_of_encoding_are_found() {
    let draft = sound();
    let der = draft.template.to_tbs_der().expect("a TBSCertificate");
    let found = |der: &[u8]| -> Vec<&'static str> {
        check(der, &draft.expected).into_iter().map(|finding| finding.lint).collect()
    };

    // GeneralizedTime before 2050: the two UTCTimes become longer by the century.
    let (long, at) = with_generalized_times(&der);
    assert_eq!(long[at], 0x18);
    assert!(found(&long).contains(&"validity-encoding"));

    // version 1 (0) instead of version 3 (2).
    let version = der.windows(5).position(|w| w == [0xa0, 3, 2, 1, 2]).expect("the version");
    let mut first_version = der.clone();
    first_version[version + 4] = 0;
    let first_version = found(&first_version);
    assert!(first_version.contains(&"version") && first_version.contains(&"canonical"), "{first_version:?}");

    // issuerUniqueID between key and extensions.
    let unique = [0x81, 2, 0, 0xaa];
    assert!(found(&insert_before_extensions(&der, &unique)).contains(&"no-unique-identifiers"));

    // `critical` written although it is FALSE, the default: reads the same, isn't DER.
    let spelled_out = with_default_spelled_out(&der);
    let spelled_out = found(&spelled_out);
    assert!(spelled_out.contains(&"canonical") || spelled_out == ["parses"], "{spelled_out:?}");

    assert_eq!(found(&[&der[..], &[0]].concat()), ["parses"]);
    assert_eq!(found(&[]), ["parses"]);
}

#[test]
fn every_lint_has_a_fault_that_it_finds() {
    let by_bytes = ["canonical", "version", "validity-encoding", "no-unique-identifiers"];
    let broken = FIELDS.iter().chain(EXTENSIONS).map(|(lint, _)| *lint).chain(by_bytes);
    let tested: BTreeSet<&str> = broken.collect();
    let lints: BTreeSet<&str> = fields::LINTS.iter().chain(extensions::LINTS).map(|lint| lint.name).collect();
    assert_eq!(tested, lints);
}

/// The SEQUENCE around `body`.
fn sequence(body: &[u8]) -> Vec<u8> {
    let header = der::Header::new(der::Tag::Sequence, der::Length::try_from(body.len()).expect("a length"));
    [header.to_der().expect("a header"), body.to_vec()].concat()
}

/// The content of the outermost SEQUENCE, which is between 256 and 65,535 octets long.
fn content(der: &[u8]) -> &[u8] {
    assert_eq!(der[..2], [0x30, 0x82]);
    &der[4..]
}

fn with_generalized_times(der: &[u8]) -> (Vec<u8>, usize) {
    let body = content(der);
    let start = body.windows(4).position(|w| w == [0x30, 30, 0x17, 13]).expect("the validity");
    let mut validity = vec![0x30, 34];
    for time in [&body[start + 4..start + 17], &body[start + 19..start + 32]] {
        validity.extend([0x18, 15]);
        validity.extend(b"20");
        validity.extend(time);
    }
    let whole = [&body[..start], &validity, &body[start + 32..]].concat();
    let der = sequence(&whole);
    let at = der.len() - whole.len() + start + 2;
    (der, at)
}

fn insert_before_extensions(der: &[u8], inserted: &[u8]) -> Vec<u8> {
    let body = content(der);
    let start = body.windows(2).position(|w| w == [0xa3, 0x82]).expect("the extensions");
    sequence(&[&body[..start], inserted, &body[start..]].concat())
}

/// The first extension that isn't critical with an explicit FALSE.
fn with_default_spelled_out(der: &[u8]) -> Vec<u8> {
    let body = content(der);
    let start = body.windows(2).position(|w| w == [0xa3, 0x82]).expect("the extensions");
    let extensions = content(&body[start + 4..]);
    let oid: ObjectIdentifier = const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;
    let oid = oid.to_der().expect("DER");
    let at = extensions.windows(oid.len()).position(|w| w == oid).expect("the extension");
    let mut spelled = extensions.to_vec();
    spelled[at - 1] += 3;
    spelled.splice(at + oid.len()..at + oid.len(), [1, 1, 0]);
    let inner = sequence(&spelled);
    let length = u16::try_from(inner.len()).expect("short").to_be_bytes();
    sequence(&[&body[..start], &[0xa3, 0x82], &length, &inner].concat())
}
