//! What the last look must find.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::Any;
use der::asn1::BitString;
use jiff::{SignedDuration, Timestamp};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::super::profile;
use super::super::spec::{Issued, Lifetime, Subject, SubjectKey};
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

fn spec(profile: Profile) -> Issued {
    Issued {
        subject_key: SubjectKey::OnToken("x".to_owned()),
        issuer: "x".to_owned(),
        subject: Some(Subject {
            country: "JP".to_owned(),
            organization: "Bank".to_owned(),
            organizational_unit: None,
            user_id: None,
            common_name: format!("{profile:?}"),
        }),
        lifetime: Some(Lifetime::Days(1)),
        policies: Vec::new(),
        crl_url: None,
        ca_issuers_url: None,
        ocsp_url: None,
        renews: None,
        attestation: None,
    }
}

fn name(profile: Profile) -> x509_cert::name::Name {
    profile::name(spec(profile).subject.as_ref().expect("a subject")).expect("a name")
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
            issuer: name(Profile::Root),
            subject: name(profile),
            not_before: begin,
            not_after: begin + SignedDuration::from_hours(24),
            public_key: key.public(),
            extensions: profile::extensions(
                profile,
                &spec(profile),
                &key.public(),
                key::identifier(&root_key.public()).expect("an identifier"),
                None,
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
        certificate(Profile::Issuing, &der, &self.root, &self.issuing_key.public())
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
    assert_eq!(certificate(Profile::Root, &pair.root, &pair.root, &pair.root_key.public()), Ok(()));
    assert_eq!(pair.verdict_by(&pair.root_key), Ok(()));
}

#[test]
fn a_signature_by_another_key_or_a_corrupt_one_is_found() {
    let pair = Pair::new();
    assert!(pair.verdict_by(&SoftKey::new()).expect_err("another key").contains("signature is wrong"));
    let mut der = pair.root_key.sign(&pair.issuing.to_tbs_der().expect("TBS"));
    *der.last_mut().expect("a byte") ^= 1;
    let verdict = certificate(Profile::Issuing, &der, &pair.root, &pair.issuing_key.public());
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
        let expected = CrlExpected { number: 1, entries: 0 };
        crl(&key.sign(&template.to_tbs_der().expect("TBS")), &pair.root, expected)
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
    let made = Provenance::Made(Leaving::Never);
    assert_eq!(protection(&protected(), made), Ok(()));
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
        assert!(protection(&attributes, made).is_err(), "{attributes:?}");
    }
    let wrapped = Provenance::Made(Leaving::Wrapped);
    assert!(protection(&protected(), wrapped).is_err(), "a key that was to be wrapped and can't be");
    let mut leaves = protected();
    (leaves.extractable, leaves.never_extractable) = (Some(true), Some(false));
    assert_eq!(protection(&leaves, wrapped), Ok(()));
    assert!(protection(&leaves, made).is_err(), "it leaves");
    (leaves.local, leaves.always_sensitive) = (Some(false), Some(false));
    assert_eq!(protection(&leaves, Provenance::Copied(Leaving::Wrapped)), Ok(()));
}

#[test]
fn a_key_that_leaves_under_trusted_keys_alone_must_say_so() {
    let mut leaves = protected();
    (leaves.extractable, leaves.never_extractable) = (Some(true), Some(false));
    let (made, copied) =
        (Provenance::Made(Leaving::WrappedTrusted), Provenance::Copied(Leaving::WrappedTrusted));
    for unconfined in [None, Some(false)] {
        leaves.wrap_with_trusted = unconfined;
        for provenance in [made, copied] {
            let fault = protection(&leaves, provenance).expect_err("any key of the user's wraps it");
            assert!(fault.contains("CKA_WRAP_WITH_TRUSTED"), "{fault}");
        }
    }
    leaves.wrap_with_trusted = Some(true);
    for provenance in [made, copied] {
        assert_eq!(protection(&leaves, provenance), Ok(()));
    }
    assert!(whereabouts(&leaves).contains("for keys alone that the security officer trusts"));
}

#[test]
fn what_a_keys_attributes_mean_is_said_of_each_mode() {
    let never = protected();
    assert!(whereabouts(&never).contains("can never leave"));
    let leaves = KeyAttributes { extractable: Some(true), never_extractable: Some(false), ..never.clone() };
    assert!(
        whereabouts(&leaves).contains("was made on this token") && whereabouts(&leaves).contains("C_WrapKey")
    );
    let copied = KeyAttributes { local: Some(false), ..leaves.clone() };
    assert!(whereabouts(&copied).contains("came to this token encrypted"));
    for text in [whereabouts(&leaves), whereabouts(&copied)] {
        assert!(text.contains("CKA_WRAP_WITH_TRUSTED is not set"), "{text}");
    }
    let untold = KeyAttributes { never_extractable: None, ..never };
    assert!(whereabouts(&untold).contains("doesn't say"));
}
