//! Hostile and honest requests; rcgen and OpenSSL are the second opinions on what a request is.

use ca_x509::{extension, name::NameBuilder};
use const_oid::db::rfc5280::{ID_KP_CODE_SIGNING, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH};
use der::{
    Any, Tag,
    asn1::{BitString, UintRef},
};
use num_bigint::BigUint;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    fixtures::{Request, TestKey, attribute, raw_extension},
    ids::UserId,
};

fn user() -> UserId {
    UserId::parse("hokkai-01").expect("an ID")
}

fn code(der: &[u8]) -> &'static str {
    verify(der, &user()).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

fn asking(key: &TestKey, extensions: Vec<Extension>) -> &'static str {
    code(&Request::asking_for(key, extensions).der())
}

#[test]
fn every_accepted_kind_of_key_passes() {
    for (key, kind) in [
        (TestKey::p256(), KeyKind::P256),
        (TestKey::p384(), KeyKind::P384),
        (TestKey::rsa_2048(), KeyKind::Rsa { bits: 2048 }),
    ] {
        let csr = verify(&Request::plain(&key).der(), &user()).expect("a request");
        assert_eq!(csr.key_kind(), kind);
        assert_eq!(*csr.public_key(), key.public_key());
        assert_eq!(Ok(csr.public_key_sha256()), key::sha256(&key.public_key()));
    }
}

#[test]
fn requests_by_rcgen_pass() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "hokkai-01");
    let request = params.serialize_request(&key).expect("a request");
    assert_eq!(code(request.der()), "accepted");
}

/// Another user's name; also the own one beside something else.
#[test]
fn a_subject_must_be_empty_or_the_users_id() {
    let key = TestKey::p256();
    let with = |subject: NameBuilder| {
        code(&Request { subject: subject.build().expect("a name"), ..Request::plain(&key) }.der())
    };
    assert_eq!(with(NameBuilder::new()), "accepted");
    assert_eq!(with(NameBuilder::new().common_name("hokkai-01")), "accepted");
    assert_eq!(with(NameBuilder::new().user_id("hokkai-01").common_name("hokkai-01")), "accepted");
    for bad in [
        NameBuilder::new().common_name("hokkai-02"),
        NameBuilder::new().common_name("hokkai-01\0"),
        NameBuilder::new().common_name("hokkai-01\r\n"),
        NameBuilder::new().common_name("\u{202e}10-iakkoh"),
        NameBuilder::new().common_name("HOKKAI-01"),
        NameBuilder::new().user_id("hokkai-01").common_name("hokkai-02"),
        NameBuilder::new().organization("hokkai-01"),
        NameBuilder::new().country("JP").common_name("hokkai-01"),
    ] {
        assert_eq!(with(bad.clone()), "csr-subject", "{bad:?}");
    }
}

#[test]
fn what_a_request_may_not_ask_for() {
    let key = TestKey::p256();
    let usage =
        |usages: der::flagset::FlagSet<KeyUsages>| vec![extension::key_usage(usages).expect("an extension")];
    let extended =
        |oid| vec![extension::extended_key_usage(&[ID_KP_CLIENT_AUTH, oid]).expect("an extension")];
    let ca = || extension::certificate_authority(None).expect("an extension");
    let end_entity = || extension::end_entity().expect("an extension");
    let any_usage = ObjectIdentifier::new_unwrap("2.5.29.37.0");
    let san = |value: &[u8]| vec![raw_extension(ID_CE_SUBJECT_ALT_NAME, false, value)];

    assert_eq!(asking(&key, vec![ca()]), "csr-ca-rights");
    assert_eq!(asking(&key, usage(KeyUsages::KeyCertSign.into())), "csr-ca-rights");
    assert_eq!(asking(&key, usage(KeyUsages::DigitalSignature | KeyUsages::CRLSign)), "csr-ca-rights");
    assert_eq!(asking(&key, usage(KeyUsages::KeyAgreement.into())), "csr-key-usage");
    for oid in [ID_KP_SERVER_AUTH, ID_KP_OCSP_SIGNING, ID_KP_CODE_SIGNING, any_usage] {
        assert_eq!(asking(&key, extended(oid)), "csr-extended-key-usage");
    }
    // dNSName, rfc822Name, and a user principal name as otherName.
    assert_eq!(asking(&key, san(b"\x30\x06\x82\x04evil")), "csr-other-names");
    assert_eq!(asking(&key, san(b"\x30\x06\x81\x04a@bc")), "csr-other-names");
    assert_eq!(asking(&key, san(b"\x30\x00")), "csr-other-names");
    assert_eq!(asking(&key, vec![end_entity(), end_entity()]), "csr-duplicate-extension");
    let policies = extension::certificate_policies(&[any_usage]).expect("an extension");
    assert_eq!(asking(&key, vec![policies]), "csr-extension");
    assert_eq!(asking(&key, vec![raw_extension(ID_CE_KEY_USAGE, true, b"junk")]), "csr-malformed");

    let attestation = YUBICO_PIV.push_arc(1).expect("an arc");
    let harmless = [
        vec![end_entity(), raw_extension(attestation, false, b"anything")],
        usage(KeyUsages::DigitalSignature.into()),
        vec![extension::extended_key_usage(&[ID_KP_CLIENT_AUTH]).expect("an extension")],
    ];
    for extensions in harmless {
        assert_eq!(asking(&key, extensions), "accepted");
    }
}

#[test]
fn attributes_other_than_one_extension_request_are_refused() {
    let key = TestKey::p256();
    let password = attribute("1.2.840.113549.1.9.7", Any::new(Tag::Utf8String, *b"secret").expect("a value"));
    let request = Request { attributes: vec![password], ..Request::plain(&key) };
    assert_eq!(code(&request.der()), "csr-attribute");
    let mut request = Request::asking_for(&key, vec![extension::end_entity().expect("an extension")]);
    let mut again =
        Request::asking_for(&key, vec![extension::certificate_authority(None).expect("an extension")]);
    request.attributes.append(&mut again.attributes);
    assert!(["csr-attribute", "csr-ca-rights"].contains(&code(&request.der())));
}

#[test]
fn proof_of_possession_is_over_the_original_bytes() {
    let (key, other) = (TestKey::p256(), TestKey::p256());
    let request = Request::plain(&key);
    assert_eq!(code(&other.signed(&request.info())), "csr-signature", "signed by another key");

    let honest = request.der();
    let mut flipped = honest.clone();
    *flipped.last_mut().expect("octets") ^= 1;
    assert_eq!(code(&flipped), "csr-signature");

    // The right signature under an algorithm that isn't the key's.
    let rsa = ca_x509::SignatureAlgorithm::RsaSha256;
    let mislabelled =
        ca_x509::signed::assemble(&request.info(), rsa, &key.sign(&request.info())).expect("DER");
    assert_eq!(code(&mislabelled), "csr-algorithm");
}

#[test]
fn sizes_nesting_and_encodings_are_bounded() {
    let honest = Request::plain(&TestKey::p256()).der();
    let trailing = [&honest[..], &[0]].concat();
    assert_eq!(code(&trailing), "csr-malformed");
    assert_eq!(code(&vec![0x30; 10_000_000]), "csr-too-large");
    assert_eq!(code(&vec![0x30; MAX_BYTES]), "csr-malformed");
    assert_eq!(code(&[0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0]), "csr-malformed", "indefinite length");
    assert_eq!(code(&honest[..honest.len() - 1]), "csr-malformed");
    assert_eq!(code(&[]), "csr-malformed");
    // The version INTEGER 0, not in its shortest form.
    let long_zero = {
        let info = Request::plain(&TestKey::p256()).info();
        let body = [&[0x02, 0x02, 0x00, 0x00], &info[5..]].concat();
        [&[0x30, body.len().to_le_bytes()[0]], &body[..]].concat()
    };
    assert_eq!(code(&TestKey::p256().signed(&long_zero)), "csr-malformed");
}

fn with_rsa_key(modulus: &BigUint, exponent: u32) -> &'static str {
    let modulus = modulus.to_bytes_be();
    let exponent = BigUint::from(exponent).to_bytes_be();
    let key = ca_x509::key::RsaPublicKey {
        modulus: UintRef::new(&modulus).expect("a modulus"),
        public_exponent: UintRef::new(&exponent).expect("an exponent"),
    };
    let mut public_key = TestKey::rsa_2048().public_key();
    public_key.subject_public_key = BitString::from_bytes(&key.to_der().expect("DER")).expect("bits");
    let info = CertReqInfo {
        version: x509_cert::request::Version::V1,
        subject: Name::default(),
        public_key,
        attributes: x509_cert::attr::Attributes::default(),
    };
    let tbs = info.to_der().expect("DER");
    let rsa = ca_x509::SignatureAlgorithm::RsaSha256;
    code(&ca_x509::signed::assemble(&tbs, rsa, &[1; 256]).expect("DER"))
}

#[test]
fn rsa_keys_must_be_of_a_known_size_and_exponent() {
    let honest = TestKey::rsa_2048().public_key();
    let honest = ca_x509::key::RsaPublicKey::from_der(honest.subject_public_key.raw_bytes())
        .map(|key| BigUint::from_bytes_be(key.modulus.as_bytes()));
    let honest = honest.expect("an RSA key");
    assert_eq!(with_rsa_key(&honest, 65_537), "csr-signature", "the key itself is good");
    assert_eq!(with_rsa_key(&honest, 1), "csr-key-exponent");
    assert_eq!(with_rsa_key(&honest, 3), "csr-key-exponent");
    assert_eq!(with_rsa_key(&(&honest + 1_u32), 65_537), "csr-key-small-factor", "an even modulus");
    for bits in [512_u32, 1024, 2047, 2049, 8192] {
        let modulus = (BigUint::from(1_u32) << (bits - 1)) + 1_u32;
        assert_eq!(with_rsa_key(&modulus, 65_537), "csr-key-kind", "{bits} bits");
    }
}

#[test]
fn curves_and_points_must_be_right() {
    let key = TestKey::p256();
    let mut info = CertReqInfo::from_der(&Request::plain(&key).info()).expect("a request");
    let mut point = info.public_key.subject_public_key.raw_bytes().to_vec();
    *point.last_mut().expect("octets") ^= 1;
    info.public_key.subject_public_key = BitString::from_bytes(&point).expect("bits");
    assert_eq!(code(&key.signed(&info.to_der().expect("DER"))), "csr-key-off-curve");

    // Ed25519, which the profile doesn't know.
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let request = rcgen::CertificateParams::default().serialize_request(&ed25519).expect("a request");
    assert_eq!(code(request.der()), "csr-key-kind");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        prop_assert!(verify(&bytes, &user()).is_err());
    }

    #[test]
    fn a_changed_request_is_never_accepted(position in 0_usize..1_000, bit in 0_u8..8) {
        let mut der = Request::plain(&TestKey::p256()).der();
        let position = position % der.len();
        der[position] ^= 1 << bit;
        prop_assert!(verify(&der, &user()).is_err(), "bit {bit} of octet {position}");
    }
}
