//! From the device's attestation key to the maker's root: whom a chain may lead over, and what is remembered of it.

use ca_x509::{SignatureAlgorithm, certificate::CertificateTemplate, extension, signed};
use const_oid::ObjectIdentifier;
use x509_cert::ext::{Extension, pkix::KeyUsages};

use super::rig::{DEVICE, ISSUER, LINK, Maker, ROOT, arc, ca, firmware, honest_slot, slot_saying};
use crate::domain::{
    attestation::{
        Anchor, AnchorError, Anchors, ChainError, MakerCertificate, Purpose, Refusal, Trust,
        yubikey::{YubiKeyEvidence, examine},
    },
    fixtures::{Certificate, TestKey, at, common_name, now, raw_extension},
};

#[test]
fn imitations_of_the_maker_are_refused() {
    let (maker, imitation) = (Maker::new(), Maker::new());
    assert_eq!(maker.code(&imitation.evidence()), "evidence-chain-signature", "the same names, other keys");

    let mut whole = imitation.evidence();
    whole.intermediates = vec![imitation.issuer_der(), imitation.link_der(), imitation.root_der()];
    assert_eq!(maker.code(&whole), "evidence-chain-purpose", "what comes along vouches for nothing");

    let stranger = Maker::certify(("Another Maker", &imitation.issuer), DEVICE, &imitation.f9, ca(Some(0)));
    let evidence = YubiKeyEvidence { f9: stranger, ..imitation.evidence() };
    assert_eq!(maker.code(&evidence), "evidence-unknown-issuer");

    let swapped = YubiKeyEvidence { f9: maker.f9_der(), ..imitation.evidence() };
    assert_eq!(maker.code(&swapped), "evidence-slot-not-signed-by-f9");
}

/// The maker's other product lines chain to the same root.
#[test]
fn issuers_for_other_purposes_do_not_vouch() {
    let maker = Maker::new();
    let fido = TestKey::p256();
    let fido_der = Maker::certify((LINK, &maker.link), "Maker FIDO Attestation", &fido, ca(Some(1)));
    let f9 = Maker::certify(("Maker FIDO Attestation", &fido), DEVICE, &maker.f9, ca(Some(0)));
    let offered = YubiKeyEvidence { f9, intermediates: vec![fido_der], ..maker.evidence() };
    assert_eq!(maker.code(&offered), "evidence-chain-purpose");
    // Straight below the root or the link, which aren't PIV issuers either.
    let f9 = Maker::certify((LINK, &maker.link), DEVICE, &maker.f9, ca(Some(0)));
    assert_eq!(maker.code(&YubiKeyEvidence { f9, ..maker.evidence() }), "evidence-chain-purpose");
}

/// A device signs what its owner wants with the keys in its slots: neither such a key nor a slot's certificate may
/// stand where f9 does.
#[test]
fn leaves_are_no_intermediates() {
    let maker = Maker::new();
    let mine = TestKey::p256();
    let forged = Maker::certify(
        ("YubiKey PIV Attestation 9a", &maker.key),
        "YubiKey PIV Attestation 9c",
        &mine,
        honest_slot(),
    );
    let leaf = maker.evidence().slot;
    let evidence =
        YubiKeyEvidence { slot: forged.clone(), f9: leaf.clone(), intermediates: vec![maker.f9_der()] };
    assert_eq!(maker.code(&evidence), "evidence-chain-not-ca");

    // Without the extensions that mark it as a slot's, and with the firmware of the exception.
    let unmarked = maker.slot_with("YubiKey PIV Attestation 9a", vec![firmware([5, 2, 4])]);
    let evidence = YubiKeyEvidence { slot: forged, f9: unmarked, intermediates: vec![maker.f9_der()] };
    assert_eq!(maker.code(&evidence), "evidence-chain-purpose");
}

#[test]
fn certificate_authorities_must_be_allowed_to_be_ones() {
    let maker = Maker::new();
    let with =
        |extensions| maker.code(&YubiKeyEvidence { f9: maker.f9_with(extensions), ..maker.evidence() });
    let usage = || extension::key_usage(KeyUsages::DigitalSignature).expect("an extension");
    let unknown = raw_extension(ObjectIdentifier::new_unwrap("2.5.29.30"), true, &[0x30, 0]);
    assert_eq!(with(vec![]), "evidence-chain-not-ca");
    assert_eq!(
        with(vec![firmware([5, 2, 4])]),
        "evidence-chain-not-ca",
        "the exception is for roots' own issue"
    );
    assert_eq!(with(vec![extension::end_entity().expect("an extension")]), "evidence-chain-not-ca");
    assert_eq!(with(vec![ca(None).remove(0), usage()]), "evidence-chain-not-ca");
    assert_eq!(with([ca(None), ca(None)].concat()), "evidence-chain-not-ca");
    assert_eq!(with([ca(None), vec![unknown]].concat()), "evidence-chain-critical-extension");
    assert_eq!(with(ca(None)), "ok");
}

/// f9 certificates of firmware 4.3.7 to 5.2.4 lack `basicConstraints`.
#[test]
fn the_exception_for_old_f9_certificates_is_narrow() {
    let maker = Maker::new();
    let root = Maker::certify((ROOT, &maker.root), ROOT, &maker.root, ca(Some(1)));
    let anchors = Anchors::new(&[Anchor { der: root, trust: Trust::Root, purpose: Purpose::PivIssuer }]);
    let anchors = anchors.expect("anchors");
    let code = |version: [u8; 3], mut f9: Vec<Extension>| {
        f9.push(firmware(version));
        let evidence = YubiKeyEvidence {
            f9: Maker::certify((ROOT, &maker.root), DEVICE, &maker.f9, f9),
            ..maker.with_slot(slot_saying(arc(3), &version))
        };
        examine(&evidence, &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    for version in [[4, 3, 7], [4, 4, 5], [5, 2, 4]] {
        assert_eq!(code(version, vec![]), "ok", "{version:?}");
    }
    for version in [[4, 3, 6], [5, 2, 5], [5, 4, 3]] {
        assert_eq!(code(version, vec![]), "evidence-chain-not-ca", "{version:?}");
    }
    let says_no = extension::end_entity().expect("an extension");
    assert_eq!(code([5, 2, 4], vec![says_no]), "evidence-chain-not-ca");
    let usage = extension::key_usage(KeyUsages::DigitalSignature).expect("an extension");
    assert_eq!(code([5, 2, 4], vec![usage]), "evidence-chain-not-ca");
}

#[test]
fn chains_and_certificates_are_bounded() {
    let maker = Maker::new();
    let hundred = YubiKeyEvidence { intermediates: vec![maker.link_der(); 100], ..maker.evidence() };
    assert_eq!(maker.code(&hundred), "evidence-too-many-certificates");
    let huge = maker.with_slot(vec![raw_extension(arc(3), false, &[0; 5_000])]);
    assert_eq!(maker.code(&huge), "evidence-too-large");
    let trailing = YubiKeyEvidence { slot: [maker.evidence().slot, vec![0]].concat(), ..maker.evidence() };
    assert_eq!(maker.code(&trailing), "evidence-malformed");

    // A maker with one level too many: root, four links, f9, slot are seven.
    let keys: [TestKey; 4] = std::array::from_fn(|_| TestKey::p256());
    let names = ["1", "2", "3", "4"];
    let mut anchors = vec![Anchor { der: maker.root_der(), trust: Trust::Root, purpose: Purpose::Link }];
    anchors[0].der = Maker::certify((ROOT, &maker.root), ROOT, &maker.root, ca(None));
    for level in 0..4 {
        let by = if level == 0 { (ROOT, &maker.root) } else { (names[level - 1], &keys[level - 1]) };
        let der = Maker::certify(by, names[level], &keys[level], ca(None));
        anchors.push(Anchor { der, trust: Trust::Intermediate, purpose: Purpose::PivIssuer });
    }
    let code = |level: usize| {
        let f9 = Maker::certify((names[level], &keys[level]), DEVICE, &maker.f9, ca(None));
        let anchors = Anchors::new(&anchors).expect("anchors");
        let evidence = YubiKeyEvidence { f9, ..maker.evidence() };
        examine(&evidence, &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!((code(2), code(3)), ("ok", "evidence-chain-too-long"));
}

#[test]
fn path_lengths_and_validity_hold() {
    let maker = Maker::new();
    let mut anchors = maker.anchors();
    anchors[0].der = Maker::certify((ROOT, &maker.root), ROOT, &maker.root, ca(Some(2)));
    let short = Anchors::new(&anchors).expect("anchors");
    let refusal = examine(&maker.evidence(), &short, now()).expect_err("a path too long");
    assert_eq!(refusal, Refusal::Untrusted(ChainError::PathLength));
    for moment in ["2024-11-30T23:59:59Z", "2050-01-01T00:00:00Z"] {
        let refusal = examine(&maker.evidence(), &maker.trusted(), at(moment)).expect_err("not valid");
        assert_eq!(refusal.code(), "evidence-chain-not-valid-now", "{moment}");
    }
}

/// The way is found in whatever order the certificates come, round no circle, and by name and key together.
#[test]
fn what_comes_along_is_in_any_order_and_may_go_round_in_circles() {
    let maker = Maker::new();
    let stranger = TestKey::p256();
    let mut anchors = maker.anchors();
    anchors.remove(1);
    let anchors = Anchors::new(&anchors).expect("anchors");
    let code = |intermediates: &[&Vec<u8>]| {
        let intermediates = intermediates.iter().map(|der| (*der).clone()).collect();
        let evidence = YubiKeyEvidence { intermediates, ..maker.evidence() };
        examine(&evidence, &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    let (link, issuer) = (maker.link_der(), maker.issuer_der());
    let crossed = Maker::certify(("Elsewhere", &stranger), LINK, &maker.link, ca(None));
    let back = Maker::certify((LINK, &maker.link), "Elsewhere", &stranger, ca(None));
    let itself = Maker::certify((LINK, &maker.link), LINK, &maker.link, ca(None));
    assert_eq!(code(&[]), "evidence-unknown-issuer");
    assert_eq!(code(&[&link]), "ok");
    assert_eq!(code(&[&issuer, &link]), "ok");
    assert_eq!(code(&[&crossed, &back, &link]), "ok", "the circle first");
    assert_eq!(code(&[&itself, &crossed, &link]), "ok");
    for circle in [&[&crossed, &back][..], &[&itself], &[&itself, &crossed, &back]] {
        assert_ne!(code(circle), "ok");
    }
    let misnamed = Maker::certify((ROOT, &maker.root), "Maker Intermediate 2", &maker.link, ca(Some(2)));
    assert_eq!(code(&[&misnamed]), "evidence-unknown-issuer", "the right key under another name");
    let imitated = Maker::certify((ROOT, &maker.root), LINK, &stranger, ca(Some(2)));
    assert_eq!(code(&[&imitated]), "evidence-chain-signature", "the right name with another key");
    let short = Maker::certify((ROOT, &maker.root), LINK, &maker.link, ca(Some(0)));
    assert_eq!(code(&[&short]), "evidence-chain-path-length");
    assert_eq!(code(&[&short, &link]), "ok", "another certificate of the same key allows it");
}

/// Each certificate of the evidence by itself, before its time and after it.
#[test]
fn every_certificate_must_be_valid_at_the_time() {
    let maker = Maker::new();
    let within = ("2024-12-01T00:00:00Z", "2049-12-31T23:59:59Z");
    let certificate = |is_f9: bool, (from, to): (&str, &str)| {
        let (by, subject, key, extensions) = if is_f9 {
            ((ISSUER, &maker.issuer), DEVICE, &maker.f9, ca(Some(0)))
        } else {
            ((DEVICE, &maker.f9), "YubiKey PIV Attestation 9a", &maker.key, honest_slot())
        };
        let certificate = Certificate {
            issuer: common_name(by.0),
            issuer_key: by.1,
            subject: common_name(subject),
            public_key: key.public_key(),
            extensions,
        };
        certificate.der_between(from, to)
    };
    let code = |slot, f9| {
        let (slot, f9) = (certificate(false, slot), certificate(true, f9));
        maker.code(&YubiKeyEvidence { slot, f9, intermediates: Vec::new() })
    };
    assert_eq!(code(within, within), "ok");
    for wrong in [
        ("2024-12-01T00:00:00Z", "2026-11-24T00:59:59Z"),
        ("2026-11-24T01:00:01Z", "2049-12-31T23:59:59Z"),
        ("2049-12-31T23:59:59Z", "2024-12-01T00:00:00Z"),
    ] {
        assert_eq!(code(wrong, within), "evidence-chain-not-valid-now", "the slot's, {wrong:?}");
        assert_eq!(code(within, wrong), "evidence-chain-not-valid-now", "f9's, {wrong:?}");
    }
    let last_second = ("2026-11-24T01:00:00Z", "2026-11-24T01:00:00Z");
    assert_eq!(code(last_second, last_second), "ok", "both ends are included");
}

#[test]
fn anchors_must_make_sense() {
    let maker = Maker::new();
    let anchors = maker.anchors();
    assert_eq!(Anchors::new(&[]).expect_err("nothing"), AnchorError::None("root"));
    assert_eq!(Anchors::new(&anchors[1..]).expect_err("no root"), AnchorError::None("root"));
    assert!(matches!(Anchors::new(&anchors[..2]), Err(AnchorError::None(_))), "no PIV issuer");
    let wrong = Anchor { trust: Trust::Root, ..anchors[1].clone() };
    assert!(matches!(Anchors::new(&[wrong]), Err(AnchorError::Unfit { number: 1, .. })), "not self-signed");
    let leaf = Anchor { der: maker.evidence().slot, trust: Trust::Intermediate, purpose: Purpose::PivIssuer };
    assert!(matches!(Anchors::new(&[anchors[0].clone(), leaf]), Err(AnchorError::Unfit { number: 2, .. })));
    assert_eq!(Anchors::new(&vec![anchors[0].clone(); 4097]).expect_err("4097"), AnchorError::TooMany);
}

/// What was verified once isn't verified again; everything else is judged each time, and nothing near it is believed.
#[test]
fn a_way_to_the_root_is_remembered_for_the_same_certificates_only() {
    let (maker, imitation) = (Maker::new(), Maker::new());
    let (anchors, evidence) = (maker.trusted(), maker.evidence());
    let code = |evidence: &YubiKeyEvidence, moment| {
        examine(evidence, &anchors, moment).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!(code(&imitation.evidence(), now()), "evidence-chain-signature", "and isn't remembered");
    for _ in 0..2 {
        assert_eq!(code(&evidence, now()), "ok");
    }
    assert_eq!(code(&evidence, at("2050-01-01T00:00:00Z")), "evidence-chain-not-valid-now");
    assert_eq!(code(&imitation.evidence(), now()), "evidence-chain-signature");
    let mut forged = evidence.clone();
    *forged.f9.last_mut().expect("a signature") ^= 1;
    assert_eq!(code(&forged, now()), "evidence-chain-signature");

    let mut narrower = maker.anchors();
    narrower[2].purpose = Purpose::Link;
    narrower[1].purpose = Purpose::PivIssuer;
    let narrower = Anchors::new(&narrower).expect("anchors");
    for _ in 0..2 {
        let refusal = examine(&evidence, &narrower, now()).expect_err("not for PIV");
        assert_eq!(refusal.code(), "evidence-chain-purpose");
    }
}

/// Some makers' roots have keys on P-521: they vouch for others, by SHA-512 alone, and are never a device's own.
#[test]
fn roots_on_p521_vouch_for_tpms() {
    let key = TestKey::p521();
    let below = TestKey::p256();
    let certified = |subject: &str, public_key, algorithm| {
        let template = CertificateTemplate {
            serial: vec![0x41; 16],
            issuer: common_name(ROOT),
            subject: common_name(subject),
            not_before: at("2024-12-01T00:00:00Z"),
            not_after: at("2049-12-31T23:59:59Z"),
            public_key,
            extensions: ca(Some(1)),
            algorithm,
        };
        let tbs = template.to_tbs_der().expect("a TBSCertificate");
        signed::assemble(&tbs, algorithm, &key.sign(&tbs)).expect("a certificate")
    };
    let anchor = |der, trust| Anchor { der, trust, purpose: Purpose::TpmMaker };
    let root = certified(ROOT, key.public_key(), SignatureAlgorithm::EcdsaSha512);
    Anchors::new(&[anchor(root.clone(), Trust::Root)]).expect("a root on P-521");
    let above = MakerCertificate::read(&root).expect("a certificate");
    above.check_ca().expect("signed by itself");
    let issued = |algorithm| {
        let der = certified(ISSUER, below.public_key(), algorithm);
        MakerCertificate::read(&der).expect("a certificate").is_issued_by(&above)
    };
    assert!(issued(SignatureAlgorithm::EcdsaSha512));
    assert!(!issued(SignatureAlgorithm::EcdsaSha256), "it says so, and isn't");
}
