//! What makers took back: by their own CRLs, for ever, and for nothing else.

use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_CE_DELTA_CRL_INDICATOR, ID_CE_ISSUING_DISTRIBUTION_POINT},
};
use der::{Decode, Encode};
use x509_cert::{certificate::Raw, crl::TbsCertList, ext::Extension};

use super::rig::{EVERY_SERIAL, ISSUER, LINK, Maker, ROOT, crl};
use crate::domain::{
    attestation::{CrlRefusal, MakerCrl, yubikey::examine},
    fixtures::{TestKey, at, now, raw_extension},
};

const YEAR: (&str, &str) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");

fn read(der: &[u8]) -> MakerCrl {
    MakerCrl::read(der).expect("a CRL")
}

/// A CRL with these extensions besides.
fn extended(by: (&str, &TestKey), more: &[Extension]) -> Vec<u8> {
    let der = crl(by, YEAR, &[&EVERY_SERIAL]);
    let tbs = ca_x509::signed::Signed::parse(&der).expect("a CRL").tbs.to_vec();
    let mut list = TbsCertList::<Raw>::from_der(&tbs).expect("a list");
    list.crl_extensions.get_or_insert_default().extend_from_slice(more);
    by.1.signed(&list.to_der().expect("DER"))
}

#[test]
fn what_a_maker_revoked_is_refused_at_every_step_of_the_chain() {
    let maker = Maker::new();
    let anchors = maker.trusted();
    let code = |der: &[u8]| {
        let (anchors, refused) = anchors.with_crls(&[read(der)]);
        assert_eq!(refused, [], "the CRL counts");
        examine(&maker.evidence(), &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    for (name, key) in [(ISSUER, &maker.issuer), (LINK, &maker.link), (ROOT, &maker.root)] {
        assert_eq!(code(&crl((name, key), YEAR, &[&EVERY_SERIAL])), "evidence-chain-revoked", "{name}");
        assert_eq!(code(&crl((name, key), YEAR, &[&[0x42; 16], &[0x41; 15]])), "ok", "{name}: others");
        assert_eq!(code(&crl((name, key), YEAR, &[])), "ok", "{name}: nobody");
    }
    let outdated =
        crl((ISSUER, &maker.issuer), ("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z"), &[&EVERY_SERIAL]);
    assert_eq!(code(&outdated), "evidence-chain-revoked", "what was revoked stays so");
    let (anchors, _) = anchors.with_crls(&[read(&outdated)]);
    let (anchors, _) = anchors.with_crls(&[]);
    assert!(examine(&maker.evidence(), &anchors, now()).is_ok(), "without CRLs nothing is revoked");
}

#[test]
fn a_crl_is_its_anchors_word_or_nothing() {
    let (maker, imitation) = (Maker::new(), Maker::new());
    let anchors = maker.trusted();
    let refusal = |der: &[u8]| {
        let crls = [MakerCrl::read(der)?];
        let (anchors, refused) = anchors.with_crls(&crls);
        assert!(examine(&maker.evidence(), &anchors, now()).is_ok(), "it revoked something");
        Err::<(), _>(refused.into_iter().next().expect("a refusal").1)
    };
    let refusal = |der: &[u8]| refusal(der).expect_err("refused");
    assert_eq!(refusal(&crl((ISSUER, &imitation.issuer), YEAR, &[&EVERY_SERIAL])), CrlRefusal::Signature);
    assert_eq!(refusal(&crl((ISSUER, &maker.link), YEAR, &[&EVERY_SERIAL])), CrlRefusal::Signature);
    assert_eq!(refusal(&crl(("Somebody", &maker.link), YEAR, &[&EVERY_SERIAL])), CrlRefusal::UnknownIssuer);
    let delta = raw_extension(ID_CE_DELTA_CRL_INDICATOR, true, &[2, 1, 1]);
    let by = (ISSUER, &maker.issuer);
    assert_eq!(refusal(&extended(by, &[delta])), CrlRefusal::Critical(ID_CE_DELTA_CRL_INDICATOR));
    let stranger = ObjectIdentifier::new_unwrap("1.2.3.4");
    assert_eq!(
        refusal(&extended(by, &[raw_extension(stranger, true, &[5, 0])])),
        CrlRefusal::Critical(stranger)
    );
    // [4] indirectCRL TRUE: it would speak of other issuers' certificates.
    let indirect = raw_extension(ID_CE_ISSUING_DISTRIBUTION_POINT, true, &[0x30, 3, 0x84, 1, 0xff]);
    assert_eq!(refusal(&extended(by, &[indirect])), CrlRefusal::Critical(ID_CE_ISSUING_DISTRIBUTION_POINT));
    // [1] onlyContainsUserCerts TRUE: a part of its own.
    let part = raw_extension(ID_CE_ISSUING_DISTRIBUTION_POINT, true, &[0x30, 3, 0x81, 1, 0xff]);
    let (anchors, refused) = anchors.with_crls(&[read(&extended(by, &[part]))]);
    assert_eq!(refused, []);
    assert!(examine(&maker.evidence(), &anchors, now()).is_err());
}

#[test]
fn a_crl_says_when_a_newer_one_is_due_and_takes_the_place_of_older_ones() {
    let maker = Maker::new();
    let by = (ISSUER, &maker.issuer);
    let first = read(&crl(by, YEAR, &[&EVERY_SERIAL]));
    assert_eq!((first.count(), first.issuer_name().as_str()), (1, "CN=Maker PIV Attestation"));
    assert!(!first.is_due(at("2026-12-31T00:00:00Z")));
    assert!(first.is_due(at("2027-01-01T00:00:01Z")));
    let later = read(&crl(by, ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"), &[]));
    assert!(later.succeeds(&first) && !first.succeeds(&later));
    let other = read(&crl((LINK, &maker.link), ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"), &[]));
    assert!(!other.succeeds(&first));
}
