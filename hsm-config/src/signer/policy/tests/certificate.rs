//! `TBSCertificate`.

use aws_lc_rs::digest;
use ca_x509::{
    SignatureAlgorithm, certificate::CertificateTemplate, extension, key::RsaPublicKey, name::NameBuilder,
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc4519,
        rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH},
        rfc5912::RSA_ENCRYPTION,
    },
};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, Ia5String, OctetString, UintRef},
};
use jiff::SignedDuration;
use proptest::prelude::*;
use signer_protocol::message::{AuditPosition, RefusalCode};
use x509_cert::{
    certificate::TbsCertificate,
    ext::{
        Extension,
        pkix::{KeyUsages, SubjectAltName, name::GeneralName},
    },
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use super::{past, unknown};
use crate::{
    journal::Serial,
    signer::policy::{
        certificate, crl,
        fixtures::{House, POLICY, hours, house, name, now, public_key, put, serial},
        ocsp,
    },
};

use RefusalCode::{Malformed, OutsideProfile, OutsideValidity, SerialReused, TooLarge, WrongIssuer};

fn judge_certificate(house: &House, tbs: &[u8]) -> Result<Serial, RefusalCode> {
    let index = past(house);
    certificate::judge(tbs, &house.issuing, index.key(&house.issuing.label), now())
        .map(|judged| judged.serial)
        .map_err(|refusal| refusal.code)
}

fn spoiled(house: &House, spoil: impl FnOnce(&mut CertificateTemplate)) -> Result<Serial, RefusalCode> {
    let mut template = house.certificate(9);
    spoil(&mut template);
    judge_certificate(house, &template.to_tbs_der().expect("DER"))
}

#[test]
fn what_the_profile_allows_is_allowed() {
    let house = house();
    assert!(spoiled(&house, |_| {}).is_ok());
    assert!(
        spoiled(&house, |t| t.extensions.retain(|e| e.extn_id.to_string() != "2.5.29.19")).is_ok(),
        "no BC"
    );
    assert!(spoiled(&house, |t| t.not_before = now() - SignedDuration::from_mins(10)).is_ok());
    assert!(spoiled(&house, |t| t.not_after = now() + hours(398 * 24)).is_ok());
    assert!(spoiled(&house, |t| set_key(t, rsa(2048, &[1, 0, 1]))).is_ok(), "RSA-2048");
    let renewed = house.responder_certificate(10).to_tbs_der().expect("DER");
    assert!(judge_certificate(&house, &renewed).is_ok(), "its own responder");
}

type Spoil = (&'static str, RefusalCode, fn(&mut CertificateTemplate));

fn refuses_all(cases: &[Spoil]) {
    let house = house();
    for (what, code, spoil) in cases {
        assert_eq!(spoiled(&house, spoil), Err(*code), "{what}");
    }
}

#[test]
fn certificates_for_other_purposes_are_refused() {
    refuses_all(&[
        ("a CA", OutsideProfile, |t| put(&mut t.extensions, extension::certificate_authority(None))),
        ("keyCertSign", OutsideProfile, |t| {
            put(
                &mut t.extensions,
                extension::key_usage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign),
            );
        }),
        ("cRLSign alone", OutsideProfile, |t| {
            put(&mut t.extensions, extension::key_usage(KeyUsages::CRLSign));
        }),
        ("keyUsage not critical", OutsideProfile, |t| {
            let mut usage = extension::key_usage(KeyUsages::DigitalSignature).expect("an extension");
            usage.critical = false;
            put(&mut t.extensions, Ok(usage));
        }),
        ("no keyUsage", OutsideProfile, |t| remove(t, "2.5.29.15")),
        ("no extKeyUsage", OutsideProfile, |t| remove(t, "2.5.29.37")),
        ("no authorityKeyIdentifier", OutsideProfile, |t| remove(t, "2.5.29.35")),
        ("no subjectKeyIdentifier", OutsideProfile, |t| remove(t, "2.5.29.14")),
        ("no certificatePolicies", OutsideProfile, |t| remove(t, "2.5.29.32")),
        ("serverAuth", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[ID_KP_SERVER_AUTH]));
        }),
        ("serverAuth besides", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH]));
        }),
        ("anyExtendedKeyUsage", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[ANY_EXTENDED_KEY_USAGE]));
        }),
        ("OCSPSigning for a customer", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[ID_KP_OCSP_SIGNING]));
        }),
        ("OCSPSigning besides", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING]));
        }),
        ("no usage at all", OutsideProfile, |t| {
            put(&mut t.extensions, extension::extended_key_usage(&[]));
        }),
    ]);
}

#[test]
fn extensions_outside_the_profile_are_refused() {
    refuses_all(&[
        ("a foreign policy", OutsideProfile, |t| {
            let other = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.9");
            put(&mut t.extensions, extension::certificate_policies(&[POLICY, other]));
        }),
        ("a policy twice", OutsideProfile, |t| {
            put(&mut t.extensions, extension::certificate_policies(&[POLICY, POLICY]));
        }),
        ("no revocation checking", OutsideProfile, |t| put(&mut t.extensions, extension::ocsp_no_check())),
        ("an unknown critical extension", OutsideProfile, |t| t.extensions.push(unknown(true))),
        ("an unknown extension", OutsideProfile, |t| t.extensions.push(unknown(false))),
        ("an extension twice", Malformed, |t| {
            let first = t.extensions[0].clone();
            t.extensions.push(first);
        }),
        ("an e-mail address", OutsideProfile, |t| {
            put_alternative(t, GeneralName::Rfc822Name(Ia5String::new("ceo@example.co.jp").expect("text")));
        }),
        ("a DNS name", OutsideProfile, |t| {
            put_alternative(t, GeneralName::DnsName(Ia5String::new("bank.example").expect("text")));
        }),
        ("CRLs by https", OutsideProfile, |t| {
            put(&mut t.extensions, extension::crl_distribution_point("https://crl.example"));
        }),
    ]);
}

#[test]
fn foreign_names_times_and_keys_are_refused() {
    refuses_all(&[
        ("another's subjectKeyIdentifier", OutsideProfile, |t| {
            put(
                &mut t.extensions,
                extension::subject_key_identifier(OctetString::new([1; 20]).expect("octets")),
            );
        }),
        ("another's authorityKeyIdentifier", WrongIssuer, |t| {
            put(
                &mut t.extensions,
                extension::authority_key_identifier(OctetString::new([1; 20]).expect("octets")),
            );
        }),
        ("another issuer", WrongIssuer, |t| t.issuer = name("Root CA")),
        ("an issuer of the same look in another encoding", WrongIssuer, |t| {
            let der = t.issuer.to_der().expect("DER");
            // PrintableString becomes UTF8String: the same text, other octets.
            let country = der.iter().position(|octet| *octet == 0x13).expect("countryName");
            let mut other = der.clone();
            other[country] = 0x0c;
            t.issuer = x509_cert::name::Name::from_der(&other).expect("a name");
        }),
        ("an empty subject", OutsideProfile, |t| t.subject = x509_cert::name::Name::default()),
        ("a control character", OutsideProfile, |t| t.subject = name("taro\r\nCN=jiro")),
        ("the issuer's own name", OutsideProfile, |t| t.subject = t.issuer.clone()),
        ("another algorithm", OutsideProfile, |t| t.algorithm = SignatureAlgorithm::EcdsaSha384),
        ("a short serial number", OutsideProfile, |t| t.serial = vec![1, 2, 3, 4, 5, 6, 7]),
        ("a known serial number", SerialReused, |t| t.serial = serial(3)),
        ("backdating", OutsideValidity, |t| t.not_before = now() - SignedDuration::from_secs(601)),
        ("postdating", OutsideValidity, |t| t.not_before = now() + SignedDuration::from_secs(601)),
        ("too long", OutsideValidity, |t| {
            t.not_after = now() + hours(398 * 24) + SignedDuration::from_secs(1);
        }),
        ("no time at all", OutsideValidity, |t| t.not_after = t.not_before),
        ("RSA-1024", OutsideProfile, |t| set_key(t, rsa(1024, &[1, 0, 1]))),
        ("RSA with e=1", OutsideProfile, |t| set_key(t, rsa(2048, &[1]))),
        ("RSA with e=3", OutsideProfile, |t| set_key(t, rsa(2048, &[3]))),
        ("RSA without NULL", Malformed, |t| {
            let mut key = rsa(2048, &[1, 0, 1]);
            key.algorithm.parameters = None;
            set_key(t, key);
        }),
        ("a point off the curve", OutsideProfile, |t| {
            let mut octets = t.public_key.subject_public_key.raw_bytes().to_vec();
            octets[64] ^= 1;
            let mut key = t.public_key.clone();
            key.subject_public_key = BitString::from_bytes(&octets).expect("bits");
            set_key(t, key);
        }),
    ]);
}

#[test]
fn the_houses_own_keys_and_limits_are_respected() {
    let house = house();
    let own = house.issuing.identity.public_key.clone();
    assert_eq!(spoiled(&house, |t| set_key(t, own)), Err(OutsideProfile), "the CA's own key");
    let responders = house.responder.identity.public_key.clone();
    assert_eq!(spoiled(&house, |t| set_key(t, responders)), Err(OutsideProfile), "the responder's key");

    let mut short = house.clone();
    short.issuing.identity.not_after = now() + hours(24);
    assert_eq!(spoiled(&short, |_| {}), Err(OutsideValidity), "past the issuer's own notAfter");

    let responder = |spoil: fn(&mut CertificateTemplate)| {
        let mut template = house.responder_certificate(9);
        spoil(&mut template);
        judge_certificate(&house, &template.to_tbs_der().expect("DER"))
    };
    assert_eq!(responder(|t| remove(t, "1.3.6.1.5.5.7.48.1.5")), Err(OutsideProfile), "without nocheck");
    assert_eq!(responder(|t| t.not_after = now() + hours(46 * 24)), Err(OutsideValidity), "too long");
    assert_eq!(responder(|t| t.subject = name("Another")), Err(OutsideProfile), "another name");
    assert_eq!(responder(|t| set_key(t, public_key())), Err(OutsideProfile), "another key");
}

#[test]
fn only_strict_der_of_this_structure_is_read() {
    let house = house();
    let tbs = house.certificate(9).to_tbs_der().expect("DER");
    let digest = digest::digest(&digest::SHA256, &tbs);
    assert_eq!(judge_certificate(&house, digest.as_ref()), Err(Malformed), "a digest");
    assert_eq!(judge_certificate(&house, &[]), Err(Malformed), "nothing");
    assert_eq!(judge_certificate(&house, &[&tbs[..], &[0]].concat()), Err(Malformed), "an octet behind");
    assert_eq!(judge_certificate(&house, &tbs[..tbs.len() - 1]), Err(Malformed), "an octet missing");
    let indefinite = [&[0x30, 0x80], &tbs[4..], &[0, 0]].concat();
    assert_eq!(judge_certificate(&house, &indefinite), Err(Malformed), "indefinite length");
    assert_eq!(
        judge_certificate(&house, &house.crl(9, &[2]).to_tbs_der().expect("DER")),
        Err(Malformed),
        "a CRL"
    );
    assert_eq!(judge_certificate(&house, &vec![0x30; 17 * 1024]), Err(TooLarge), "too much");
    let nested = [0x30, 0x80].repeat(5000);
    assert!(judge_certificate(&house, &nested).is_err(), "deep nesting");

    // notAfter in 2031 as GeneralizedTime: RFC 5280, 4.1.2.5 demands UTCTime.
    let parsed = TbsCertificate::from_der(&tbs).expect("parses");
    let utc = parsed.validity().not_after.to_der().expect("DER");
    let date = parsed.validity().not_after.to_date_time();
    let general = der::asn1::GeneralizedTime::from_date_time(date).to_der().expect("DER");
    let position = tbs.windows(utc.len()).position(|window| window == utc).expect("notAfter");
    let mut other = [&tbs[..position], &general, &tbs[position + utc.len()..]].concat();
    grow(&mut other, 2);
    let validity = position - utc.len() - 1;
    other[validity] += 2;
    assert_eq!(judge_certificate(&house, &other), Err(Malformed), "GeneralizedTime before 2050");
}

/// Adds to the outer SEQUENCE's length, which takes two octets here.
fn grow(der: &mut [u8], by: u16) {
    let length = u16::from_be_bytes([der[2], der[3]]) + by;
    der[2..4].copy_from_slice(&length.to_be_bytes());
}

#[test]
fn a_negative_serial_number_is_refused() {
    let house = house();
    let mut tbs = house.certificate(9).to_tbs_der().expect("DER");
    let position = tbs.windows(9).position(|window| window == serial(9)).expect("the serial number");
    tbs[position] = 0x91;
    let refused = judge_certificate(&house, &tbs).expect_err("negative");
    assert!(matches!(refused, Malformed | OutsideProfile), "{refused:?}");
}

fn remove(template: &mut CertificateTemplate, oid: &str) {
    template.extensions.retain(|extension| extension.extn_id.to_string() != oid);
}

fn put_alternative(template: &mut CertificateTemplate, name: GeneralName) {
    let value = SubjectAltName(vec![name]).to_der().expect("DER");
    let extn_id = ObjectIdentifier::new_unwrap("2.5.29.17");
    let extn_value = OctetString::new(value).expect("octets");
    put(&mut template.extensions, Ok(Extension { extn_id, critical: false, extn_value }));
}

fn set_key(template: &mut CertificateTemplate, key: SubjectPublicKeyInfoOwned) {
    let identifier = ca_x509::key::identifier(&key).expect("an identifier");
    put(&mut template.extensions, extension::subject_key_identifier(identifier));
    template.public_key = key;
}

/// An RSA key that nobody has, of this size.
fn rsa(bits: usize, exponent: &[u8]) -> SubjectPublicKeyInfoOwned {
    let modulus = vec![0xc3; bits / 8];
    let key = RsaPublicKey {
        modulus: UintRef::new(&modulus).expect("a number"),
        public_exponent: UintRef::new(exponent).expect("a number"),
    };
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) },
        subject_public_key: BitString::from_bytes(&key.to_der().expect("DER")).expect("bits"),
    }
}

proptest! {
    /// Whatever a captured front end changes: no panic, and what is still signed is an end entity under our name.
    #[test]
    fn a_changed_structure_never_becomes_more_than_an_end_entity(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let house = house();
        let mut tbs = house.certificate(9).to_tbs_der().expect("DER");
        for (position, octet) in changes {
            let position = position.index(tbs.len());
            tbs[position] = octet;
        }
        if judge_certificate(&house, &tbs).is_ok() {
            let parsed = TbsCertificate::from_der(&tbs).expect("parses");
            prop_assert_eq!(parsed.issuer().to_der().expect("DER"), house.issuing.identity.name_der);
            let constraints = parsed.get_extension::<x509_cert::ext::pkix::BasicConstraints>().expect("reads");
            prop_assert!(!constraints.is_some_and(|(_, constraints)| constraints.ca));
        }
    }

    #[test]
    fn arbitrary_octets_are_refused_everywhere(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let house = house();
        prop_assert!(judge_certificate(&house, &octets).is_err());
        prop_assert!(crl::parse(&octets, &house.issuing, now()).is_err());
        prop_assert!(ocsp::parse(&octets, &house.responder, now()).is_err());
    }
}

#[test]
fn a_subject_is_plain_text_in_known_attributes_one_by_one() {
    use const_oid::db::rfc3280::EMAIL_ADDRESS;
    use der::{Tag, asn1::SetOfVec};
    use x509_cert::{attr::AttributeTypeAndValue, name::Name};

    let attribute = |oid, tag, octets: &[u8]| AttributeTypeAndValue {
        oid,
        value: Any::new(tag, octets).expect("a value"),
    };
    let house = house();
    let judged = |relative_names: Vec<Vec<AttributeTypeAndValue>>| {
        let sets: Vec<SetOfVec<AttributeTypeAndValue>> =
            relative_names.into_iter().map(|set| SetOfVec::try_from(set).expect("a set")).collect();
        let der = sets.to_der().expect("DER");
        let Ok(subject) = Name::from_der(&der) else { return Err(Malformed) };
        spoiled(&house, |t| t.subject = subject)
    };
    let common_name = |tag, octets: &[u8]| vec![attribute(rfc4519::CN, tag, octets)];
    assert!(judged(vec![common_name(Tag::Utf8String, "北洋 太郎".as_bytes())]).is_ok());
    assert!(judged(vec![common_name(Tag::PrintableString, b"Taro Hokuyo")]).is_ok());
    let refused = [
        ("no attribute", vec![vec![]]),
        ("two attributes in one", {
            let other = attribute(rfc4519::UID, Tag::Utf8String, b"7");
            vec![[common_name(Tag::Utf8String, b"Taro"), vec![other]].concat()]
        }),
        ("an e-mail address", vec![vec![attribute(EMAIL_ADDRESS, Tag::Ia5String, b"ceo@example.co.jp")]]),
        ("a domain", vec![vec![attribute(rfc4519::DC, Tag::Ia5String, b"bank")]]),
        ("not printable", vec![common_name(Tag::PrintableString, b"a@b")]),
        ("not UTF-8", vec![common_name(Tag::Utf8String, &[0xff])]),
        ("Latin-1", vec![common_name(Tag::TeletexString, b"Taro")]),
        ("UTF-16", vec![common_name(Tag::BmpString, &[0x5c, 0x71])]),
        ("octets", vec![common_name(Tag::OctetString, b"Taro")]),
        ("a number", vec![common_name(Tag::Integer, &[7])]),
        ("white space", vec![common_name(Tag::Utf8String, "\u{3000} ".as_bytes())]),
        ("a NUL", vec![common_name(Tag::Utf8String, b"Taro\0")]),
        ("right to left", vec![common_name(Tag::Utf8String, "a\u{202e}b".as_bytes())]),
        ("zero width", vec![common_name(Tag::Utf8String, "a\u{200b}b".as_bytes())]),
    ];
    for (what, relative_names) in refused {
        let code = judged(relative_names).expect_err(what);
        assert!(matches!(code, OutsideProfile | Malformed), "{what}: {code:?}");
    }
}

#[test]
fn a_name_of_the_house_is_recognised_however_it_is_written() {
    refuses_all(&[
        ("another string type", OutsideProfile, |t| {
            t.subject = NameBuilder::new()
                .attribute(rfc4519::C, "JP")
                .organization("印籠銀行")
                .common_name("Customer Issuing CA")
                .build()
                .expect("a name");
        }),
        ("other letters and spaces", OutsideProfile, |t| t.subject = name("CUSTOMER  issuing ca ")),
        ("the responder's", OutsideProfile, |t| t.subject = name("customer ocsp")),
        ("the root's", OutsideProfile, |t| t.subject = name("root ca")),
    ]);
}

#[test]
fn a_certificate_is_not_older_than_its_issuer() {
    let mut house = house();
    house.issuing.identity.not_before = now();
    assert!(spoiled(&house, |_| {}).is_ok());
    assert_eq!(
        spoiled(&house, |t| t.not_before = now() - SignedDuration::from_secs(1)),
        Err(OutsideValidity)
    );
}

#[test]
fn a_serial_number_that_was_revoked_before_is_not_signed() {
    let house = house();
    let mut index = past(&house);
    let revocation =
        super::RevocationEntry { serial: serial(9), not_after: now() - hours(24), ..super::revoked(9) };
    let key = house.issuing.label.clone();
    index.take(
        now() - hours(1),
        &super::EntryBody::Revocation { key, audit_head: AuditPosition::START, revocation },
    );
    let tbs = house.certificate(9).to_tbs_der().expect("DER");
    let refused = certificate::judge(&tbs, &house.issuing, index.key(&house.issuing.label), now());
    assert_eq!(refused.expect_err("revoked").code, SerialReused);
}
