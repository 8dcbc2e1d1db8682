//! Credentials that a TPM was asked to activate: swtpm 0.7.1 (libtpms) gave back the secret of each of these, and of fresh
//! ones for the templates L-1, L-2, H-1, H-3 and H-6. The end-to-end tests ask it again each time.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};

use super::*;
use crate::domain::attestation::tpm::fixtures::{Area, SoftTpm, sized};

/// The Name of a key in that TPM.
const NAME: &str = "000b24efbb72b6865e7db230e6e05069f48b670a3673d8780b4837e9a85a2054c970";
const SECRET: [u8; 32] = [0x5a; 32];
const RANDOM: [u8; 48] = [0x33; 48];

/// P-256, SHA-256, AES-128: the endorsement key with the scalar 0x1111..11.
const P256_BLOB: &str = concat!(
    "00206b61a3987ee9135be1ba75aa569902208a2dbac53110aa01cd0d69127dd136d98d3f96209642a9292c61fee882dd",
    "c46c71e11efa5afaf64bdc174be4160b1723d86a",
);
const P256_ENCRYPTED: &str = concat!(
    "002051a7580833898ea1b183cbd7350a4099078c6ef1c1e18e970cd7683035f25e7d00200110522712b0b5a7cff08168",
    "5486984a94e6831edac46e7360fa9d834a7a81a1",
);

/// P-384, SHA-384, AES-256: template H-3.
const P384_AREA: &str = concat!(
    "0023000c000300f20030b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba096996",
    "46150f9fc000f3f80e120006010000430010000400100030fad9804dcb4cbd40ac28af4c27aa57bc486aae7715d240b3",
    "eafbf7df07fc5e14f71ae528d8eb8cfa704d42cd8b8ab209003006f4b966a702d696ebf7b9bb823aa7099295103ae1f5",
    "41a68724e92aafc50ed933c6db11fcb728ae91b2e3158296b2ce",
);
const P384_BLOB: &str = concat!(
    "00301290754eb02212de7add9fd6328417111c40d6534073734991822f79ae07103d4ab7755f2e06d0696730da0e53ae",
    "6b1fb63a8186f555b0478215f61b1d8bd9a3b7ee8218105fe992f6cac7d122f9a5830550",
);
const P384_ENCRYPTED: &str = concat!(
    "0030b34b8c0631557021dd5da7964b0f645443a969a1af9e0e33c1ebd1e9123d329ed7f07b9e37d6b24997351da3656d",
    "e5320030be1d328e70005c0e759f93320dbbcc0b64c0c6d5d7c2122fa3649f20eef05795c070247bc87d81aedba6b03c",
    "f244ddd3",
);

/// RSA-2048, SHA-256, AES-128: what doesn't depend on OAEP's own random octets.
const RSA_BLOB: &str = concat!(
    "0020818998fb9e8a1b3de375a4d7e72ae87fc8f2f81d8c7c888e3c03f3b8b092a274cd2dba0c2b30b59296f3bf7a4072",
    "cd6a640f620b9580c7867e458d510f501148cfb9",
);

fn octets(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal digits")
}

fn made(area: &[u8]) -> Credential {
    let ek = EndorsementKey::parse(area).expect("an endorsement key");
    make_credential(&ek, &octets(NAME), &SECRET, &Zeroizing::new(RANDOM)).expect("a credential")
}

#[test]
fn elliptic_curves_match_what_a_tpm_activated() {
    let p256 = made(&Area::of_ek(&SoftTpm::with_ek(&[0x11; 32]).ek()).octets());
    assert_eq!(p256.credential_blob, octets(P256_BLOB));
    assert_eq!(p256.encrypted_secret, octets(P256_ENCRYPTED));
    let p384 = made(&octets(P384_AREA));
    assert_eq!(p384.credential_blob, octets(P384_BLOB));
    assert_eq!(p384.encrypted_secret, octets(P384_ENCRYPTED));
}

#[test]
fn rsa_wraps_the_seed_with_its_label() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
    let spki = key.public_key().as_der().expect("DER");
    let modulus = modulus_of(spki.as_ref());
    // Template L-1: attributes, PolicyA, AES-128 in CFB mode, no scheme, 2048 bits, the default exponent.
    let policy = octets("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa");
    let head = octets("0001000b000300b2");
    let parameters = octets("0006008000430010080000000000");
    let area = [head, sized(&policy), parameters, sized(&modulus)].concat();
    let credential = made(&area);
    assert_eq!(credential.credential_blob, octets(RSA_BLOB));

    let key = OaepPrivateDecryptingKey::new(key).expect("a key");
    let mut seed = vec![0; key.min_output_size()];
    let mut opened = |label: &[u8]| {
        let opened =
            key.decrypt(&OAEP_SHA256_MGF1SHA256, &credential.encrypted_secret, &mut seed, Some(label));
        opened.ok().map(|seed| seed.to_vec())
    };
    assert_eq!(opened(b"IDENTITY\0").as_deref(), Some(&RANDOM[..32]));
    assert_eq!(opened(b"IDENTITY"), None, "the zero belongs to the label");
}

#[test]
fn random_octets_that_are_no_scalar_are_refused() {
    let area = Area::of_ek(&SoftTpm::new().ek()).octets();
    let ek = EndorsementKey::parse(&area).expect("an endorsement key");
    for random in [[0; 48], [0xff; 48]] {
        assert_eq!(make_credential(&ek, &octets(NAME), &SECRET, &Zeroizing::new(random)), Err(NotMade));
    }
}

fn modulus_of(spki: &[u8]) -> Vec<u8> {
    use der::Decode;
    let spki = x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(spki).expect("an SPKI");
    let key = ca_x509::key::RsaPublicKey::from_der(spki.subject_public_key.raw_bytes()).expect("an RSA key");
    key.modulus.as_bytes().to_vec()
}
