//! What the last look must find.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::Any;
use der::asn1::BitString;
use jiff::{SignedDuration, Timestamp};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::super::profile;
use super::super::spec::{Lifetime, Subject};
use super::*;
use ca_x509::certificate::CertificateTemplate;
use ca_x509::crl::CrlTemplate;
use ca_x509::{SignatureAlgorithm, extension, key, signed};

/// A key in memory, in place of a token's.
struct SoftKey(EcdsaKeyPair);

impl SoftKey {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    fn public(&self) -> SubjectPublicKeyInfoOwned {
        SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_EC_PUBLIC_KEY,
                parameters: Some(Any::from(SECP_256_R_1)),
            },
            subject_public_key: BitString::from_bytes(self.0.public_key().as_ref()).expect("a point"),
        }
    }

    fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), tbs).expect("signed");
        signed::assemble(tbs, SignatureAlgorithm::EcdsaSha256, signature.as_ref()).expect("assembled")
    }
}

fn spec(profile: Profile) -> CertificateSpec {
    let text = |text: &str| text.to_owned();
    CertificateSpec {
        name: text("x"),
        profile,
        key: text("x"),
        issuer: text("x"),
        subject: Subject {
            country: text("JP"),
            organization: text("Bank"),
            organizational_unit: None,
            common_name: format!("{profile:?}"),
        },
        lifetime: Lifetime::Days(1),
        path_length: match profile {
            Profile::Root => Some(1),
            Profile::OcspResponder => None,
            Profile::Issuing | Profile::StaffIssuing => Some(0),
        },
        policies: Vec::new(),
        crl_url: None,
        ca_issuers_url: None,
        ocsp_url: None,
    }
}

/// A root and an issuing authority as they should be, the latter not signed yet.
struct Pair {
    root_key: SoftKey,
    root: Vec<u8>,
    issuing_key: SoftKey,
    issuing: CertificateTemplate,
}

impl Pair {
    fn new() -> Self {
        let (root_key, issuing_key) = (SoftKey::new(), SoftKey::new());
        let begin = Timestamp::from_second(1_800_000_000).expect("a time");
        let template = |profile, key: &SoftKey| CertificateTemplate {
            serial: vec![1],
            issuer: profile::name(&spec(Profile::Root).subject).expect("a name"),
            subject: profile::name(&spec(profile).subject).expect("a name"),
            not_before: begin,
            not_after: begin + SignedDuration::from_hours(24),
            public_key: key.public(),
            extensions: profile::extensions(
                &spec(profile),
                &key.public(),
                key::identifier(&root_key.public()).expect("an identifier"),
            )
            .expect("extensions"),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        let root = root_key.sign(&template(Profile::Root, &root_key).to_tbs_der().expect("TBS"));
        let issuing = template(Profile::Issuing, &issuing_key);
        Self { root_key, root, issuing_key, issuing }
    }

    /// Signs the issuing authority's certificate with `signer` and looks at it.
    fn verdict_by(&self, signer: &SoftKey) -> Result<(), String> {
        let der = signer.sign(&self.issuing.to_tbs_der().expect("TBS"));
        certificate(&spec(Profile::Issuing), &der, &self.root, &self.issuing_key.public())
    }

    fn fault(&self) -> String {
        self.verdict_by(&self.root_key).expect_err("a fault")
    }

    fn replace(&mut self, new: Extension) {
        let place = self.issuing.extensions.iter_mut().find(|old| old.extn_id == new.extn_id);
        *place.expect("the extension") = new;
    }
}

#[test]
fn a_right_pair_passes() {
    let pair = Pair::new();
    assert_eq!(certificate(&spec(Profile::Root), &pair.root, &pair.root, &pair.root_key.public()), Ok(()));
    assert_eq!(pair.verdict_by(&pair.root_key), Ok(()));
}

#[test]
fn a_signature_by_another_key_or_a_corrupt_one_is_found() {
    let pair = Pair::new();
    assert!(pair.verdict_by(&SoftKey::new()).expect_err("another key").contains("signature is wrong"));
    let mut der = pair.root_key.sign(&pair.issuing.to_tbs_der().expect("TBS"));
    *der.last_mut().expect("a byte") ^= 1;
    let verdict = certificate(&spec(Profile::Issuing), &der, &pair.root, &pair.issuing_key.public());
    assert!(verdict.is_err(), "a flipped bit");
}

#[test]
fn every_break_in_the_chain_is_found() {
    let mut other_key = Pair::new();
    other_key.issuing.public_key = SoftKey::new().public();
    assert!(other_key.fault().contains("another key"));

    let mut other_issuer = Pair::new();
    other_issuer.issuing.issuer = other_issuer.issuing.subject.clone();
    assert!(other_issuer.fault().contains("issuer name"));

    let mut too_long = Pair::new();
    too_long.issuing.not_after += SignedDuration::from_secs(1);
    assert!(too_long.fault().contains("outside its issuer's validity"));

    let mut other_identifier = Pair::new();
    let own = key::identifier(&other_identifier.issuing_key.public()).expect("an identifier");
    other_identifier.replace(extension::authority_key_identifier(own).expect("extension"));
    assert!(other_identifier.fault().contains("authority key identifier"));

    let mut deeper = Pair::new();
    deeper.replace(extension::certificate_authority(Some(3)).expect("extension"));
    assert!(deeper.fault().contains("path length"));

    let mut no_authority = Pair::new();
    no_authority.replace(extension::end_entity().expect("extension"));
    assert!(no_authority.fault().contains("basic constraints"));
}

#[test]
fn a_crl_with_the_wrong_identifier_number_or_signature_is_found() {
    let pair = Pair::new();
    let begin = pair.issuing.not_before;
    let template = CrlTemplate {
        issuer: pair.issuing.issuer.clone(),
        issuer_key_identifier: key::identifier(&pair.root_key.public()).expect("an identifier"),
        this_update: begin,
        next_update: begin + SignedDuration::from_hours(24),
        number: 1,
        entries: Vec::new(),
        algorithm: SignatureAlgorithm::EcdsaSha256,
    };
    let verdict = |template: &CrlTemplate, key: &SoftKey| {
        crl(&key.sign(&template.to_tbs_der().expect("TBS")), &pair.root)
    };
    assert_eq!(verdict(&template, &pair.root_key), Ok(()));
    assert!(verdict(&template, &pair.issuing_key).is_err(), "another key");
    let second = CrlTemplate { number: 2, ..template.clone() };
    assert!(verdict(&second, &pair.root_key).is_err(), "number 2");
    let identifier = key::identifier(&pair.issuing_key.public()).expect("an identifier");
    let foreign = CrlTemplate { issuer_key_identifier: identifier, ..template };
    assert!(verdict(&foreign, &pair.root_key).expect_err("identifier").contains("authority key identifier"));
}

fn protected() -> KeyAttributes {
    let yes = Some(true);
    KeyAttributes {
        token: yes,
        private: yes,
        sensitive: yes,
        always_sensitive: yes,
        extractable: Some(false),
        never_extractable: yes,
        local: yes,
        sign: yes,
        decrypt: Some(false),
        ..KeyAttributes::default()
    }
}

#[test]
fn a_key_is_refused_for_each_attribute_that_is_wrong_or_untold() {
    assert_eq!(protection(&protected()), Ok(()));
    let spoiled: [fn(&mut KeyAttributes); 7] = [
        |a| a.sensitive = Some(false),
        |a| a.extractable = Some(true),
        |a| a.never_extractable = None,
        |a| a.always_sensitive = Some(false),
        |a| a.local = Some(false),
        |a| a.unwrap = Some(true),
        |a| a.derive = Some(true),
    ];
    for spoil in spoiled {
        let mut attributes = protected();
        spoil(&mut attributes);
        assert!(protection(&attributes).is_err(), "{attributes:?}");
    }
}
