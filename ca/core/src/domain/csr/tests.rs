//! Hostile and honest requests; rcgen and OpenSSL are the second opinions on what a request is.

use ca_x509::{extension, name::NameBuilder};
use const_oid::db::{
    rfc5280::{ID_KP_CODE_SIGNING, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH},
    rfc5912::ID_EC_PUBLIC_KEY,
};
use der::{
    Tag,
    asn1::{BitString, SetOfVec, UintRef},
};
use num_bigint::BigUint;
use proptest::prelude::*;
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{RdnSequence, RelativeDistinguishedName},
    spki::AlgorithmIdentifierOwned,
};

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

/// A request that `key` signed, with its public key written otherwise.
fn respelled(key: &TestKey, change: impl FnOnce(&mut SubjectPublicKeyInfoOwned)) -> &'static str {
    let mut info = CertReqInfo::from_der(&Request::plain(key).info()).expect("a request");
    change(&mut info.public_key);
    code(&key.signed(&info.to_der().expect("DER")))
}

/// A key is known in the ledger by the hash of its `SubjectPublicKeyInfo`: written in a second way it would seem to be
/// another, certified for nobody and revoked for nothing.
#[test]
fn a_key_is_written_in_one_way() {
    let (rsa, ec) = (TestKey::rsa_2048(), TestKey::p256());
    assert_eq!(respelled(&rsa, |_| {}), "accepted");
    for parameters in
        [None, Some(Any::from(ID_EC_PUBLIC_KEY)), Some(Any::new(Tag::Sequence, []).expect("empty"))]
    {
        assert_eq!(respelled(&rsa, |key| key.algorithm.parameters = parameters), "csr-malformed");
    }
    let point = ec.public_key().subject_public_key.raw_bytes().to_vec();
    let compressed = [&[2 + (point[64] & 1)][..], &point[1..33]].concat();
    let hybrid = [&[6 + (point[64] & 1)][..], &point[1..]].concat();
    for other in [compressed, hybrid, vec![0], [&point[..], &[0]].concat(), Vec::new()] {
        let bits = BitString::from_bytes(&other).expect("bits");
        assert_eq!(respelled(&ec, |key| key.subject_public_key = bits), "csr-malformed", "{other:02x?}");
    }
    // The last bit declared unused, where it is zero.
    let even = std::iter::repeat_with(TestKey::p256)
        .find(|key| key.public_key().subject_public_key.raw_bytes()[64] & 1 == 0)
        .expect("a key");
    let point = even.public_key().subject_public_key.raw_bytes().to_vec();
    let bits = BitString::new(1, point).expect("bits");
    assert_eq!(respelled(&even, |key| key.subject_public_key = bits), "csr-malformed");
}

#[test]
fn curves_and_points_must_be_right() {
    let key = TestKey::p256();
    let mut point = key.public_key().subject_public_key.raw_bytes().to_vec();
    *point.last_mut().expect("octets") ^= 1;
    let off = BitString::from_bytes(&point).expect("bits");
    assert_eq!(respelled(&key, |key| key.subject_public_key = off), "csr-key-off-curve");
    let beyond = BitString::from_bytes(&[&[4][..], &[0xff; 64]].concat()).expect("bits");
    assert_eq!(respelled(&key, |key| key.subject_public_key = beyond), "csr-key-off-curve");

    // P-192, P-224, P-521, secp256k1, brainpoolP256r1: named, with whatever point.
    for curve in
        ["1.2.840.10045.3.1.1", "1.3.132.0.33", "1.3.132.0.35", "1.3.132.0.10", "1.3.36.3.3.2.8.1.1.7"]
    {
        let named = Any::from(ObjectIdentifier::new_unwrap(curve));
        let found = respelled(&key, |key| key.algorithm.parameters = Some(named));
        assert_eq!(found, "csr-key-kind", "{curve}");
    }
    // Parameters spelled out (RFC 5480, 2.1.1 forbids them: CVE-2020-0601), inherited, or none.
    let spelled = Any::new(Tag::Sequence, [2, 1, 1]).expect("a value");
    for parameters in [Some(spelled), Some(Any::null()), None] {
        assert_eq!(respelled(&key, |key| key.algorithm.parameters = parameters), "csr-malformed");
    }

    // Ed25519, which the profile doesn't know.
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let request = rcgen::CertificateParams::default().serialize_request(&ed25519).expect("a request");
    assert_eq!(code(request.der()), "csr-key-kind");
    // RSA under the identifiers of PSS and OAEP.
    for restricted in ["1.2.840.113549.1.1.10", "1.2.840.113549.1.1.7"] {
        let oid = ObjectIdentifier::new_unwrap(restricted);
        assert_eq!(respelled(&TestKey::rsa_2048(), |key| key.algorithm.oid = oid), "csr-key-kind");
    }
}

/// One algorithm for each kind of key, and no parameters that say otherwise.
#[test]
fn the_signature_algorithm_is_the_keys_own() {
    let mislabelled = |key: &TestKey, oid: &str, parameters: Option<Any>| {
        let info = Request::plain(key).info();
        let algorithm = AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters };
        let signature = BitString::from_bytes(&key.sign(&info)).expect("bits");
        let parts = [info, algorithm.to_der().expect("DER"), signature.to_der().expect("DER")].concat();
        code(&Any::new(Tag::Sequence, parts).expect("a value").to_der().expect("DER"))
    };
    let (ec, rsa) = (TestKey::p256(), TestKey::rsa_2048());
    let (ecdsa, pkcs1) = ("1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11");
    assert_eq!(mislabelled(&ec, ecdsa, None), "accepted");
    assert_eq!(mislabelled(&rsa, pkcs1, Some(Any::null())), "accepted");
    assert_eq!(mislabelled(&ec, ecdsa, Some(Any::null())), "csr-algorithm");
    assert_eq!(mislabelled(&rsa, pkcs1, Some(Any::from(ID_EC_PUBLIC_KEY))), "csr-algorithm");
    // SHA-1, SHA-384, SHA-512 and "recommended" under ECDSA; MD5, SHA-1 and PSS under RSA; Ed25519; each other's.
    for oid in [
        "1.2.840.10045.4.1",
        "1.2.840.10045.4.3.3",
        "1.2.840.10045.4.3.4",
        "1.2.840.10045.4.2",
        "1.3.101.112",
        pkcs1,
    ] {
        assert_eq!(mislabelled(&ec, oid, None), "csr-algorithm", "{oid}");
    }
    for oid in ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.10", ecdsa] {
        assert_eq!(mislabelled(&rsa, oid, Some(Any::null())), "csr-algorithm", "{oid}");
    }
}

/// What else can be wrong with a signature that is right.
#[test]
fn a_signature_is_written_in_one_way() {
    let key = TestKey::p256();
    let info = Request::plain(&key).info();
    let with = |signature: &[u8]| {
        let algorithm = SignatureAlgorithm::EcdsaSha256;
        code(&ca_x509::signed::assemble(&info, algorithm, signature).expect("DER"))
    };
    let honest = key.sign(&info);
    assert_eq!(with(&honest), "accepted");
    assert_eq!(with(&[&honest[..], &[0]].concat()), "csr-signature", "trailing zeros");
    assert_eq!(with(&[]), "csr-signature");
    assert_eq!(with(&[0x30, 6, 2, 1, 0, 2, 1, 0]), "csr-signature", "r = s = 0");
    let long_length = [&[0x30, 0x81, honest[1]][..], &honest[2..]].concat();
    assert_eq!(with(&long_length), "csr-signature", "BER");
    assert_eq!(with(&[0; 64]), "csr-signature", "not DER at all");
}

/// Booleans, critical marks, empty lists and strings of other types.
#[test]
fn extensions_are_read_strictly() {
    let key = TestKey::p256();
    let stranger = ObjectIdentifier::new_unwrap("1.2.3.4");
    assert_eq!(asking(&key, vec![raw_extension(stranger, true, &[5, 0])]), "csr-extension");
    assert_eq!(asking(&key, vec![raw_extension(stranger, false, &[5, 0])]), "csr-extension");
    let constraints = |value: &[u8]| asking(&key, vec![raw_extension(ID_CE_BASIC_CONSTRAINTS, true, value)]);
    assert_eq!(constraints(&[0x30, 0]), "accepted");
    assert_eq!(constraints(&[0x30, 3, 1, 1, 0xff]), "csr-ca-rights");
    assert_eq!(constraints(&[0x30, 3, 1, 1, 1]), "csr-malformed", "TRUE is 0xff");
    assert_eq!(constraints(&[0x30, 3, 2, 1, 0]), "csr-ca-rights", "a path length makes no end entity");
    assert_eq!(constraints(&[0x30, 0, 0]), "csr-malformed", "trailing");
    let usage = |value: &[u8]| asking(&key, vec![raw_extension(ID_CE_KEY_USAGE, true, value)]);
    assert_eq!(usage(&[3, 2, 7, 0x80]), "accepted");
    assert_ne!(usage(&[3, 1, 0]), "accepted", "no usage at all");
    assert_eq!(usage(&[3, 2, 1, 0x86]), "csr-ca-rights");
    let purposes = |value: &[u8]| asking(&key, vec![raw_extension(ID_CE_EXT_KEY_USAGE, false, value)]);
    assert_eq!(purposes(&[0x30, 4, 6, 2, 0x2a, 3]), "csr-extended-key-usage");
    assert_eq!(purposes(&[4, 0]), "csr-malformed");
    // The user's own ID in a string of another type is the user's ID still; anything else isn't.
    for (tag, value, expected) in [
        (Tag::BmpString, &b"\0h\0o\0k\0k\0a\0i"[..], "csr-subject"),
        (Tag::TeletexString, b"hokkai-01", "accepted"),
        (Tag::Utf8String, "hokkai\u{200b}-01".as_bytes(), "csr-subject"),
        (Tag::Utf8String, "hokkai\u{2066}-01".as_bytes(), "csr-subject"),
        (Tag::Utf8String, "ｈｏｋｋａｉ-01".as_bytes(), "csr-subject"),
        (Tag::Utf8String, &[b'a'; 4000], "csr-subject"),
    ] {
        let pair = AttributeTypeAndValue { oid: COMMON_NAME, value: Any::new(tag, value).expect("a value") };
        let rdn = RelativeDistinguishedName::from(SetOfVec::try_from(vec![pair]).expect("a set"));
        let subject = Name::hazmat_from_rdn_sequence(RdnSequence::from(vec![rdn]));
        assert_eq!(code(&Request { subject, ..Request::plain(&key) }.der()), expected, "{tag:?}");
    }
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
