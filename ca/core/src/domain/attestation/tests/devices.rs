//! What a genuine device says, and what policies make of it.

use x509_cert::ext::Extension;

use super::rig::{Maker, SERIAL, arc, ca, claim, honest_slot, rules, slot_saying};
use crate::domain::{
    attestation::{
        Attested, Evidence, Particulars, Rules, challenge_message, verify,
        yubikey::{
            Firmware, FormFactor, PinPolicy, Slot, TouchPolicy, YubiKey, YubiKeyEvidence, YubiKeyRules,
            examine,
        },
    },
    device::{Assurance, DeviceKind},
    fixtures::{device, now, raw_extension, verified_csr},
    key_kind::KEY_KINDS,
    policy::DevicePolicy,
};

#[test]
fn an_honest_device_is_attested_with_everything_it_says() {
    let maker = Maker::new();
    let attested = maker.verdict(maker.evidence(), &YubiKeyRules::default()).expect("attested");
    assert_eq!(attested.assurance, Assurance::AttestedWithPin);
    let decoded = attested.decoded();
    for line in [
        "serial=33064031",
        "firmware=5.7.4",
        "slot=9a",
        "pin_policy=once",
        "touch_policy=cached",
        "form_factor=usb-c-keychain",
        "fips=false",
        "cspn=false",
        "assurance=attested-pin",
    ] {
        assert!(decoded.lines().any(|found| found == line), "{line} is not in\n{decoded}");
    }
}

fn yubikey_of(attested: &Attested) -> YubiKey {
    let Particulars::YubiKey(yubikey) = &attested.particulars else { panic!("{attested:?}") };
    yubikey.clone()
}

/// A policy may want a certified series, a shape, or other kinds of key.
#[test]
fn a_policy_may_want_a_series_a_shape_or_a_kind_of_key() {
    let maker = Maker::new();
    let marked = |oid| {
        let f9 = maker.f9_with([vec![raw_extension(oid, false, &[1])], ca(Some(0))].concat());
        YubiKeyEvidence { f9, ..maker.evidence() }
    };
    let (fips, cspn) = (marked(arc(10)), marked(arc(11)));
    let code = |evidence: &YubiKeyEvidence, rules: &YubiKeyRules| {
        maker.verdict(evidence.clone(), rules).map_or_else(|code| code, |_| "ok")
    };
    let fips_only = YubiKeyRules { fips_only: true, ..YubiKeyRules::default() };
    assert_eq!(code(&fips, &fips_only), "ok");
    assert_eq!(code(&cspn, &fips_only), "evidence-not-of-series");
    let cspn_only = YubiKeyRules { cspn_only: true, ..YubiKeyRules::default() };
    assert_eq!(code(&cspn, &cspn_only), "ok");
    assert_eq!(code(&maker.evidence(), &cspn_only), "evidence-not-of-series");
    let nano = YubiKeyRules { form_factors: Some(vec![FormFactor::UsbCNano]), ..YubiKeyRules::default() };
    assert_eq!(code(&maker.evidence(), &nano), "evidence-form-factor");

    let csr = verified_csr(&maker.key);
    let signature = maker.key.sign(&challenge_message(&[9; 32], csr.public_key_der()));
    let claimed = device(SERIAL);
    let claim = claim(&csr, &claimed, &signature);
    let evidence = Evidence::YubiKeyPiv(maker.evidence());
    let yubikey = YubiKeyRules::default();
    let rsa_only = Rules { algorithms: &KEY_KINDS[2..], ..rules(&yubikey) };
    let refused = verify(&evidence, &claim, &maker.trusted(), rsa_only, now());
    assert_eq!(refused.map_err(|error| error.code()), Err("evidence-algorithm"));
}

#[test]
fn stored_evidence_is_what_it_was() {
    let evidence = Evidence::YubiKeyPiv(Maker::new().evidence());
    assert_eq!(Evidence::from_parts(evidence.format(), &evidence.parts()), Some(evidence.clone()));
    assert_eq!(Evidence::from_parts("yubikey-piv", &evidence.parts()[..1]), None);
    assert_eq!(Evidence::from_parts("asserted", &[]), Some(Evidence::Asserted));
    assert_eq!(Evidence::from_parts("asserted", &evidence.parts()), None);
    assert_eq!(Evidence::from_parts("smoke-signals", &[]), None);
}

#[test]
fn fips_and_cspn_are_read_from_f9_and_form_factor() {
    let maker = Maker::new();
    let marks = vec![raw_extension(arc(10), false, &[1]), raw_extension(arc(11), false, &[1])];
    let f9 = maker.f9_with([marks, ca(Some(0))].concat());
    let marked = maker.verdict(YubiKeyEvidence { f9, ..maker.evidence() }, &YubiKeyRules::default());
    let marked = yubikey_of(&marked.expect("attested"));
    assert!(marked.fips && marked.cspn);
    let octet = maker.verdict(maker.with_slot(slot_saying(arc(9), &[0x81])), &YubiKeyRules::default());
    let octet = yubikey_of(&octet.expect("attested"));
    assert!(octet.fips && !octet.cspn);
    assert_eq!(octet.form_factor, Some(FormFactor::UsbAKeychain));
}

#[test]
fn the_devices_own_extensions_must_be_there_once_and_well_formed() {
    let maker = Maker::new();
    let without =
        |oid| honest_slot().into_iter().filter(|e: &Extension| e.extn_id != oid).collect::<Vec<_>>();
    for oid in [arc(3), arc(7), arc(8)] {
        assert_eq!(maker.code(&maker.with_slot(without(oid))), "evidence-extension-missing", "{oid}");
    }
    for oid in [arc(3), arc(7), arc(8), arc(9)] {
        let again = honest_slot().into_iter().find(|e| e.extn_id == oid);
        let twice = honest_slot().into_iter().chain(again).collect();
        assert_eq!(maker.code(&maker.with_slot(twice)), "evidence-extension-twice", "{oid}");
        assert_eq!(
            maker.code(&maker.with_slot(slot_saying(oid, &[]))),
            "evidence-extension-malformed",
            "{oid}"
        );
    }
    for (oid, value) in [
        (arc(7), &[2, 1, 0][..]),         // serial 0
        (arc(7), &[2, 1, 0xff]),          // serial -1
        (arc(7), &[2, 5, 1, 0, 0, 0, 0]), // more than 32 bits
        (arc(7), &[2, 2, 0, 7]),          // not in its shortest form
        (arc(7), &[2, 1, 7, 0]),          // something after it
        (arc(7), &[4, 1, 7]),             // octets
        (arc(3), &[5, 7]),
        (arc(3), &[5, 7, 4, 0]),
        (arc(9), &[3, 3]),
        (arc(8), &[0, 1]), // no such PIN policy
        (arc(8), &[2, 9]), // no such touch policy
        (arc(8), &[4, 2, 2, 1]),
    ] {
        assert_eq!(maker.code(&maker.with_slot(slot_saying(oid, value))), "evidence-extension-malformed");
    }
    assert_eq!(maker.code(&maker.with_slot(slot_saying(arc(3), &[5, 7, 2]))), "evidence-firmware-mismatch");
    for subject in
        ["YubiKey PIV Attestation f9", "YubiKey PIV Attestation", "9a", "YubiKey PIV Attestation 9a "]
    {
        let evidence = YubiKeyEvidence { slot: maker.slot_with(subject, honest_slot()), ..maker.evidence() };
        assert_eq!(maker.code(&evidence), "evidence-no-slot", "{subject}");
    }
}

#[test]
fn the_device_policy_is_applied() {
    let maker = Maker::new();
    let policy = YubiKeyRules::default();
    let code =
        |evidence, policy: &YubiKeyRules| maker.verdict(evidence, policy).map_or_else(|code| code, |_| "ok");
    assert_eq!(code(maker.with_slot(slot_saying(arc(8), &[1, 2])), &policy), "evidence-pin-policy");
    for pin in 2..=5 {
        assert_eq!(code(maker.with_slot(slot_saying(arc(8), &[pin, 1])), &policy), "ok", "PIN policy {pin}");
    }
    let slot = maker.slot_with("YubiKey PIV Attestation 9c", honest_slot());
    let signature_slot = YubiKeyEvidence { slot, ..maker.evidence() };
    assert_eq!(code(signature_slot.clone(), &policy), "ok");
    let one = YubiKeyRules { slots: vec![Slot::AUTHENTICATION], ..policy.clone() };
    assert_eq!(code(signature_slot, &one), "evidence-wrong-slot");
    let touch = YubiKeyRules { touch_policies: vec![TouchPolicy::Always], ..policy.clone() };
    assert_eq!(code(maker.evidence(), &touch), "evidence-touch-policy");

    let lenient = YubiKeyRules { pin_policies: vec![PinPolicy::Never, PinPolicy::Once], ..policy };
    let without_pin =
        maker.verdict(maker.with_slot(slot_saying(arc(8), &[1, 2])), &lenient).expect("attested");
    assert_eq!(without_pin.assurance, Assurance::Attested, "what was proven is less");
}

/// EC from 5.7.0 (EUCLEAK), RSA-2048 from 5.0.0, older refused.
#[test]
fn firmware_floors_depend_on_the_kind_of_key() {
    let policy = YubiKeyRules::default();
    let devices = DevicePolicy::default();
    let kinds = |version| devices.keys_for(DeviceKind::YubiKeyPiv, Firmware::parse(version));
    assert_eq!(kinds("4.3.7"), []);
    assert_eq!(kinds("4.9.9"), []);
    assert_eq!(kinds("5.0.0"), [ca_x509::KeyKind::Rsa { bits: 2048 }]);
    assert_eq!(kinds("5.6.9"), [ca_x509::KeyKind::Rsa { bits: 2048 }]);
    assert_eq!(kinds("5.7.0").len(), 5);

    let maker = Maker::new();
    let f9 = maker.f9_with(ca(Some(0)));
    let old = YubiKeyEvidence { f9, ..maker.with_slot(slot_saying(arc(3), &[5, 6, 9])) };
    assert_eq!(maker.verdict(old, &policy), Err("evidence-firmware-too-old"));
}

/// No policy accepts RSA keys of firmware that makes weak ones, however low it sets its floor.
#[test]
fn rsa_keys_of_the_roca_range_are_refused_by_every_policy() {
    let none = Firmware::new(0, 0, 0);
    let lenient = YubiKeyRules {
        lowest_for_ec: none,
        lowest_for_rsa_2048: none,
        lowest_for_larger_rsa: none,
        ..YubiKeyRules::default()
    };
    let maker = Maker::new();
    let code = |version: [u8; 3], key| {
        let evidence = YubiKeyEvidence {
            f9: maker.f9_with(ca(Some(0))),
            ..maker.with_slot(slot_saying(arc(3), &version))
        };
        let statement = examine(&evidence, &maker.trusted(), now()).expect("a statement");
        statement.judge(key, &lenient).map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    for bits in [2048, 4096] {
        let rsa = ca_x509::KeyKind::Rsa { bits };
        for version in [[4, 2, 6], [4, 3, 0], [4, 3, 4]] {
            assert_eq!(code(version, rsa), "evidence-firmware-too-old", "{version:?}");
            assert_eq!(code(version, ca_x509::KeyKind::P256), "ok", "{version:?}");
        }
        for version in [[4, 2, 5], [4, 3, 5], [5, 4, 3]] {
            assert_eq!(code(version, rsa), "ok", "{version:?}");
        }
    }
}
