//! A maker's hierarchy of our own, its devices, and the attacks on them. Genuine devices are tested in
//! `tests/evidence_genuine/`.

use std::sync::LazyLock;

use ca_x509::extension;
use const_oid::ObjectIdentifier;
use x509_cert::ext::{Extension, pkix::KeyUsages};

use super::{
    chain::ChainError,
    yubikey::{YUBICO_PIV, examine},
    *,
};
use crate::domain::{
    fixtures::{Certificate, Request, TestKey, at, common_name, device, now, raw_extension, verified_csr},
    policy::{DevicePolicy, KEY_KINDS},
};

const ROOT: &str = "Maker Root";
const LINK: &str = "Maker Intermediate";
const ISSUER: &str = "Maker PIV Attestation";
const DEVICE: &str = "YubiKey PIV Attestation";

fn arc(last: u32) -> ObjectIdentifier {
    YUBICO_PIV.push_arc(last).expect("an arc")
}

fn ca(path_length: Option<u8>) -> Vec<Extension> {
    vec![
        extension::certificate_authority(path_length).expect("an extension"),
        extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("an extension"),
    ]
}

fn firmware(version: [u8; 3]) -> Extension {
    raw_extension(arc(3), false, &version)
}

/// What a slot's certificate of an honest device says.
fn honest_slot() -> Vec<Extension> {
    vec![
        firmware([5, 7, 4]),
        raw_extension(arc(7), false, &[2, 4, 0x01, 0xf8, 0x84, 0x5f]),
        raw_extension(arc(8), false, &[2, 3]),
        raw_extension(arc(9), false, &[3]),
    ]
}

const SERIAL: &str = "33064031";

/// A maker with a root, a link, a PIV issuer, one device, and the key in that device.
pub(super) struct Maker {
    root: TestKey,
    link: TestKey,
    issuer: TestKey,
    f9: TestKey,
    key: TestKey,
}

impl Maker {
    pub(super) fn new() -> Self {
        let [root, link, issuer, f9, key] = std::array::from_fn(|_| TestKey::p256());
        Self { root, link, issuer, f9, key }
    }

    fn certify(by: (&str, &TestKey), subject: &str, key: &TestKey, extensions: Vec<Extension>) -> Vec<u8> {
        let (issuer, issuer_key) = (common_name(by.0), by.1);
        Certificate {
            issuer,
            issuer_key,
            subject: common_name(subject),
            public_key: key.public_key(),
            extensions,
        }
        .der()
    }

    pub(super) fn root_der(&self) -> Vec<u8> {
        Self::certify((ROOT, &self.root), ROOT, &self.root, ca(Some(3)))
    }

    pub(super) fn link_der(&self) -> Vec<u8> {
        Self::certify((ROOT, &self.root), LINK, &self.link, ca(Some(2)))
    }

    pub(super) fn issuer_der(&self) -> Vec<u8> {
        Self::certify((LINK, &self.link), ISSUER, &self.issuer, ca(Some(1)))
    }

    fn f9_with(&self, extensions: Vec<Extension>) -> Vec<u8> {
        Self::certify((ISSUER, &self.issuer), DEVICE, &self.f9, extensions)
    }

    fn f9_der(&self) -> Vec<u8> {
        self.f9_with([vec![firmware([5, 7, 4])], ca(Some(0))].concat())
    }

    fn slot_with(&self, subject: &str, extensions: Vec<Extension>) -> Vec<u8> {
        Self::certify((DEVICE, &self.f9), subject, &self.key, extensions)
    }

    fn anchors(&self) -> Vec<Anchor> {
        vec![
            Anchor { der: self.root_der(), trust: Trust::Root, purpose: Purpose::Link },
            Anchor { der: self.link_der(), trust: Trust::Intermediate, purpose: Purpose::Link },
            Anchor { der: self.issuer_der(), trust: Trust::Intermediate, purpose: Purpose::PivIssuer },
        ]
    }

    pub(super) fn trusted(&self) -> Anchors {
        Anchors::new(&self.anchors()).expect("anchors")
    }

    pub(super) fn evidence(&self) -> YubiKeyEvidence {
        let slot = self.slot_with("YubiKey PIV Attestation 9a", honest_slot());
        YubiKeyEvidence { slot, f9: self.f9_der(), intermediates: Vec::new() }
    }

    fn with_slot(&self, extensions: Vec<Extension>) -> YubiKeyEvidence {
        YubiKeyEvidence { slot: self.slot_with("YubiKey PIV Attestation 9a", extensions), ..self.evidence() }
    }

    pub(super) fn code(&self, evidence: &YubiKeyEvidence) -> &'static str {
        examine(evidence, &self.trusted(), now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    }

    /// What is made of a slot's certificate whose extension with this arc has this value, and whose subject ends so.
    pub(super) fn saying(&self, last_arc: u32, value: &[u8], subject: &str) -> &'static str {
        let mut extensions = slot_saying(arc(last_arc), value);
        if extensions.iter().all(|extension| extension.extn_id != arc(last_arc)) {
            extensions.push(raw_extension(arc(last_arc), false, value));
        }
        let slot = self.slot_with(&format!("YubiKey PIV Attestation {subject}"), extensions);
        self.code(&YubiKeyEvidence { slot, ..self.evidence() })
    }

    /// A request that carries the evidence as Yubico's tools write it, and that evidence.
    pub(super) fn request_with_evidence(&self) -> (Vec<u8>, YubiKeyEvidence) {
        let carried = self.evidence();
        let parts = [(1, &carried.slot), (2, &carried.f9)];
        let extensions = parts.map(|(last, der)| raw_extension(arc(last), false, der)).to_vec();
        (Request::asking_for(&self.key, extensions).der(), carried)
    }

    /// The whole verdict, with an honest request and challenge.
    fn verdict(&self, evidence: YubiKeyEvidence, policy: &YubiKeyRules) -> Result<Attested, &'static str> {
        let csr = verified_csr(&self.key);
        let signature = self.key.sign(&challenge_message(&[9; 32], csr.public_key_der()));
        let claimed = device(SERIAL);
        let claim = claim(&csr, &claimed, &signature);
        verify(&Evidence::YubiKeyPiv(evidence), &claim, &self.trusted(), rules(policy), now())
            .map_err(|error| error.code())
    }
}

fn claim<'a>(csr: &'a Csr, device: &'a Device, challenge_signature: &'a [u8]) -> Claim<'a> {
    Claim { csr, device, is_inventoried: false, ak_name: None, challenge: &[9; 32], challenge_signature }
}

fn rules(yubikey: &YubiKeyRules) -> Rules<'_> {
    static TPM: LazyLock<TpmRules> = LazyLock::new(TpmRules::default);
    Rules { kinds: &[DeviceKind::YubiKeyPiv], algorithms: &KEY_KINDS, yubikey, tpm: &TPM }
}

/// The slot's extensions with another value for one of them.
fn slot_saying(oid: ObjectIdentifier, value: &[u8]) -> Vec<Extension> {
    let replaced = raw_extension(oid, false, value);
    honest_slot().into_iter().map(|e| if e.extn_id == oid { replaced.clone() } else { e }).collect()
}

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
        (arc(8), &[0, 1]),                // no such PIN policy
        (arc(8), &[2, 9]),                // no such touch policy
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
    assert_eq!(code(signature_slot.clone(), &policy), "evidence-wrong-slot");
    let both = YubiKeyRules { slots: vec![Slot::AUTHENTICATION, Slot::SIGNATURE], ..policy.clone() };
    assert_eq!(code(signature_slot, &both), "ok");
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

/// As `yubico-piv-tool` writes it, as it once did, and broken.
#[test]
fn evidence_is_read_out_of_requests() {
    let maker = Maker::new();
    let (request, carried) = maker.request_with_evidence();
    assert_eq!(YubiKeyEvidence::in_request(&request), Ok(carried.clone()));
    let found = |parts: &[(u32, &[u8])]| {
        let extensions = parts.iter().map(|(last, der)| raw_extension(arc(*last), false, der)).collect();
        YubiKeyEvidence::in_request(&Request::asking_for(&maker.key, extensions).der())
    };
    let (slot, f9) = (carried.slot.as_slice(), carried.f9.as_slice());
    assert_eq!(found(&[(11, slot), (2, f9)]), Ok(carried.clone()));
    assert_eq!(found(&[(11, b"older"), (1, slot), (2, f9)]), Ok(carried.clone()), "the newer one counts");
    let code = |parts: &[(u32, &[u8])]| found(parts).map_or_else(|refusal| refusal.code(), |_| "ok");
    assert_eq!(code(&[]), "evidence-extension-missing");
    assert_eq!(code(&[(1, slot)]), "evidence-extension-missing");
    assert_eq!(code(&[(2, f9)]), "evidence-extension-missing");
    assert_eq!(code(&[(1, slot), (1, slot), (2, f9)]), "evidence-extension-twice");
    assert_eq!(code(&[(1, slot), (2, f9), (2, f9)]), "evidence-extension-twice");
    let plain = YubiKeyEvidence::in_request(&Request::plain(&maker.key).der());
    assert_eq!(plain.expect_err("none").code(), "evidence-extension-missing");
}

/// Attested key A with CSR key B; a replayed challenge; another device than claimed.
#[test]
fn evidence_request_and_challenge_are_of_one_key() {
    let maker = Maker::new();
    let other = TestKey::p256();
    let policy = YubiKeyRules::default();
    let code = |key: &TestKey, signer: &TestKey, signed: [u8; 32], serial: &str| {
        let csr = verified_csr(key);
        let signature = signer.sign(&challenge_message(&signed, csr.public_key_der()));
        let claimed = device(serial);
        let claim = claim(&csr, &claimed, &signature);
        let evidence = Evidence::YubiKeyPiv(maker.evidence());
        verify(&evidence, &claim, &maker.trusted(), rules(&policy), now())
            .map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(&maker.key, &maker.key, [9; 32], SERIAL), "ok");
    assert_eq!(code(&other, &other, [9; 32], SERIAL), "evidence-key-mismatch");
    assert_eq!(code(&maker.key, &other, [9; 32], SERIAL), "evidence-challenge-signature");
    assert_eq!(
        code(&maker.key, &maker.key, [8; 32], SERIAL),
        "evidence-challenge-signature",
        "an older challenge"
    );
    assert_eq!(code(&maker.key, &maker.key, [9; 32], "33064032"), "evidence-wrong-device");
}

#[test]
fn agent_and_authority_sign_and_check_the_same_message() {
    assert_eq!(CHALLENGE_PREFIX, ca_wire::enrolment::CHALLENGE_PREFIX);
    let wire = ca_wire::enrolment::challenge_message(&[9; 32], b"key");
    assert_eq!(challenge_message(&[9; 32], b"key"), wire);
    assert_eq!(wire, b"inro-enrolment-challenge-v1\0\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09key");
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

proptest::proptest! {
    #[test]
    fn arbitrary_evidence_never_panics(slot: Vec<u8>, f9: Vec<u8>) {
        let maker = Maker::new();
        let evidence = YubiKeyEvidence { slot, f9, intermediates: Vec::new() };
        proptest::prop_assert!(examine(&evidence, &maker.trusted(), now()).is_err());
    }
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
