//! Virtual YubiKeys that lie, each in one way.

use ca_wire::problem::Code;
use softhsm_tests::{
    bank::{Bank, Desk, Enrolment, SoftToken},
    probe::Request,
    virtual_yubikey::{Algorithm, Firmware, FormFactor, Misbehaviour, Profile},
};

use crate::rig::{House, NEW, NEWEST, OLD};

#[test]
fn every_lie_is_found_for_what_it_is() {
    use Misbehaviour as M;
    const EVIDENCE: Code = Code::EvidenceRefused;
    let house = House::open("lies");
    let lies = [
        ("a look-alike root", NEW, M::LookAlikeRoot, (EVIDENCE, "evidence-chain-signature")),
        ("one of the second hierarchy", NEWEST, M::LookAlikeRoot, (EVIDENCE, "evidence-chain-signature")),
        ("a foreign root", NEW, M::ForeignRoot, (EVIDENCE, "evidence-unknown-issuer")),
        ("somebody's own key in f9", NEW, M::AttestationKeyReplaced, (EVIDENCE, "evidence-unknown-issuer")),
        (
            "a slot certificate by another key than f9's",
            NEW,
            M::SlotNotSignedByAttestationKey,
            (EVIDENCE, "evidence-slot-not-signed-by-f9"),
        ),
        ("an attestation of another key", NEW, M::AttestAnotherKey, (EVIDENCE, "evidence-key-mismatch")),
        ("another serial", NEW, M::AttestedSerial(1_234_567), (Code::WrongDevice, "evidence-wrong-device")),
        ("no serial", NEW, M::NoAttestedSerial, (EVIDENCE, "evidence-extension-missing")),
        (
            "other firmware than f9's",
            NEW,
            M::AttestedFirmware(Firmware(5, 7, 4)),
            (EVIDENCE, "evidence-firmware-mismatch"),
        ),
        ("PIN policy never", NEW, M::PinPolicyNever, (EVIDENCE, "evidence-pin-policy")),
        ("another slot", NEW, M::AttestedSlot(0x9d), (EVIDENCE, "evidence-wrong-slot")),
        ("the attestation key's slot", NEW, M::AttestedSlot(0xf9), (EVIDENCE, "evidence-no-slot")),
        ("no policy extension", NEW, M::PolicyMissing, (EVIDENCE, "evidence-extension-missing")),
        ("two policy extensions", NEW, M::PolicyTwice, (EVIDENCE, "evidence-extension-twice")),
        (
            "an f9 that is no CA's",
            NEW,
            M::AttestationWithoutBasicConstraints,
            (EVIDENCE, "evidence-chain-not-ca"),
        ),
    ];
    for (serial, (what, firmware, lie, expected)) in (40_000_000..).zip(lies) {
        let token = house.token(Profile::new(serial, firmware).misbehaving(lie));
        let (user, key) = (house.user(serial), format!("evidence-key-{serial}"));
        let opened = house.opened(&user, &token, &key);
        let certify = token.certify(&opened).expect("evidence");
        house.refused(what, (&user, &key), &opened, &certify, expected);

        // The liar's owner is none the worse: an honest device of that number is certified.
        if serial == 40_000_000 {
            let honest = house.token(Profile::new(serial, firmware));
            let certified = house.client.enroll(&user, &honest, "an-honest-enrolment").expect("an answer");
            certified.expect("a certificate");
        }
    }
    assert_eq!(house.signatures(), 1);
}

/// No lie, and yet not acceptable: what genuine devices of these kinds say of themselves.
#[test]
fn honest_devices_below_the_policy_are_refused() {
    let house = House::open("honest");
    let cases = [
        ("P-256 below 5.7", OLD, Algorithm::P256, (Code::EvidenceRefused, "evidence-firmware-too-old")),
        (
            "firmware 4",
            Firmware(4, 4, 5),
            Algorithm::Rsa2048,
            (Code::EvidenceRefused, "evidence-extension-missing"),
        ),
        ("a key that isn't certified", NEW, Algorithm::Ed25519, (Code::CsrRefused, "csr-key-kind")),
    ];
    for (serial, (what, firmware, algorithm, expected)) in (40_100_000..).zip(cases) {
        let profile = Profile::new(serial, firmware);
        let token = SoftToken::with_algorithm(&house.bank, profile, algorithm).expect("a token");
        let (user, key) = (house.user(serial), format!("evidence-key-{serial}"));
        let opened = house.opened(&user, &token, &key);
        let certify = token.certify(&opened).expect("evidence");
        house.refused(what, (&user, &key), &opened, &certify, expected);
    }
    assert_eq!(house.signatures(), 0);
}

/// FIPS, CSPN and Bio devices are as good as others, and what they are is kept with the verdict.
#[test]
fn marks_of_the_device_are_kept_with_the_verdict() {
    let house = House::open("marks");
    let profiles = [
        (Profile { fips: true, ..Profile::new(40_200_001, NEW) }, "fips=true"),
        (Profile { cspn: true, ..Profile::new(40_200_002, NEW) }, "cspn=true"),
        (
            Profile { form_factor: FormFactor::UsbCBio, ..Profile::new(40_200_003, NEW) },
            "form_factor=usb-c-bio",
        ),
    ];
    for (profile, mark) in profiles {
        let (serial, token) = (profile.serial, house.token(profile));
        let user = house.user(serial);
        let key = format!("evidence-key-{serial}");
        let certified = house.client.enroll(&user, &token, &key).expect("an answer").expect("a certificate");
        let number = Bank::serial_of(&certified.certificate.0).expect("a serial");
        let shown = house.bank.operator(&["evidence", "show", &number]).expect("the evidence");
        let decoded = shown["decoded"].as_array().expect("lines");
        assert!(decoded.iter().any(|line| line == mark), "{mark} is not in {shown}");
    }
}

/// A key that was loaded into the card: it has no attestation, and the agent takes no such key unless it may overwrite
/// it by one of its own.
#[test]
fn an_imported_key_is_not_certified() {
    let house = House::open("imported");
    let desk =
        Desk::new(&house.scratch.join("desk"), house.bank.attestation(), vec![Profile::new(40_300_001, NEW)])
            .expect("a desk");
    let mut probe = desk.pcscd.probe().expect("a probe");
    probe.tell(&Request::Open { serial: 40_300_001 }).expect("opened");
    probe.tell(&Request::VerifyPin { pin: "123456".into() }).expect("the factory's PIN");
    probe.tell(&Request::Authenticate { protected: false }).expect("the factory's key");
    let scalar = hex::encode([0x5a; 32]);
    probe.tell(&Request::ImportP256 { slot: "9a".into(), scalar }).expect("imported");
    assert!(probe.ask_bytes(&Request::Attest { slot: "9a".into() }).is_err(), "an imported key was attested");
    drop(probe);

    let user = house.user(40_300_001);
    let before = house.state(&user);
    let attempt = Enrolment { user: &user, token: 40_300_001, more: &[] };
    let output = desk.try_enroll(&house.bank, &attempt).expect("inro-agent runs");
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((house.state(&user), house.signatures()), (before, 0.into()));
    let attempt = Enrolment { more: &["--overwrite"], ..attempt };
    let output = desk.try_enroll(&house.bank, &attempt).expect("inro-agent runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(house.signatures(), 1);
}

/// Both of Yubico's hierarchies, through the agent and real pcscd; a lying card is told apart at the desk.
#[test]
fn both_hierarchies_enrol_and_a_liar_does_not() {
    let house = House::open("desk");
    let lie = Misbehaviour::AttestedSerial(43_999_999);
    let profiles = vec![
        Profile::new(43_000_001, OLD),
        Profile::new(43_000_002, NEWEST),
        Profile::new(43_000_003, NEW).misbehaving(lie),
    ];
    let desk = Desk::new(&house.scratch.join("desk"), house.bank.attestation(), profiles).expect("a desk");
    for token in [43_000_001, 43_000_002] {
        let user = house.user(token);
        desk.enroll(&house.bank, &user, token).expect("a certificate");
    }
    let user = house.user(43_000_003);
    let attempt = Enrolment { user: &user, token: 43_000_003, more: &[] };
    let output = desk.try_enroll(&house.bank, &attempt).expect("inro-agent runs");
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(house.why(&user), "evidence-wrong-device");
    assert_eq!(house.signatures(), 2);
}
