//! Attestations: honest ones verify, each lie shows.

use std::path::Path;

use softhsm_tests::{
    openssl,
    probe::Request,
    virtual_yubikey::{Firmware, Misbehaviour, Profile},
};

use crate::{Bench, NEW, sha256};

#[test]
fn only_generated_keys_are_attested() {
    let mut bench = Bench::new(Profile::new(30_000_007, NEW));
    bench.log_in();
    let scalar = "00".repeat(31) + "05";
    bench.tell(&Request::ImportP256 { slot: "9a".into(), scalar });
    bench.refused(&Request::Attest { slot: "9a".into() });
    bench.key.card().misbehave(Misbehaviour::AttestImported);
    let (slot, f9) = bench.attest("9a");
    bench.verdict(&slot, &f9).expect("a lie that verifies");
}

/// What an attestation that tells a lie looks like.
#[test]
fn each_attestation_misbehaviour_shows() {
    let mut bench = Bench::new(Profile::new(30_000_009, NEW));
    bench.log_in();
    bench.generate("9a", "p256");
    let key_of = |slot: &Path| {
        openssl::openssl(&["x509", "-noout", "-pubkey", "-in", &slot.display().to_string()]).expect("a key")
    };
    let dump = |slot: &Path| {
        openssl::openssl(&["asn1parse", "-in", &slot.display().to_string()]).expect("a structure")
    };
    let policies = |slot: &Path| dump(slot).matches("1.3.6.1.4.1.41482.3.8").count();
    let (honest, f9) = bench.attest("9a");
    bench.verdict(&honest, &f9).expect("honest");
    let honest_key = key_of(&honest);
    assert_eq!(policies(&honest), 1);
    assert!(dump(&honest).contains("[HEX DUMP]:050702"), "{}", dump(&honest));
    assert!(dump(&honest).contains("[HEX DUMP]:020401C9C389"), "{}", dump(&honest));

    let mut lie = |misbehaviour: Misbehaviour| {
        bench.key.card().behave();
        bench.key.card().misbehave(misbehaviour);
        let (slot, f9) = bench.attest("9a");
        let verdict = bench.verdict(&slot, &f9);
        (slot, verdict)
    };
    let (slot, verdict) = lie(Misbehaviour::SlotNotSignedByAttestationKey);
    assert!(verdict.is_err(), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestAnotherKey);
    verdict.expect("well signed");
    assert_ne!(key_of(&slot), honest_key);
    let (slot, verdict) = lie(Misbehaviour::AttestedSerial(5));
    verdict.expect("well signed");
    assert!(dump(&slot).contains("[HEX DUMP]:020105"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::NoAttestedSerial);
    verdict.expect("well signed");
    assert!(!dump(&slot).contains("1.3.6.1.4.1.41482.3.7"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestedFirmware(Firmware(4, 3, 1)));
    verdict.expect("well signed");
    assert!(dump(&slot).contains("[HEX DUMP]:040301"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestedSlot(0x9c));
    verdict.expect("well signed");
    assert!(openssl::certificate_text(&slot).expect("text").contains("YubiKey PIV Attestation 9c"));
    let (slot, verdict) = lie(Misbehaviour::PolicyMissing);
    verdict.expect("well signed");
    assert_eq!(policies(&slot), 0);
    let (slot, verdict) = lie(Misbehaviour::PolicyTwice);
    verdict.expect("well signed");
    assert_eq!(policies(&slot), 2);
}

#[test]
fn keys_with_a_bad_factory_do_not_verify() {
    for (misbehaviour, reason) in [
        (Misbehaviour::LookAlikeRoot, "signature failure"),
        (Misbehaviour::ForeignRoot, "unable to get local issuer certificate"),
        (Misbehaviour::AttestationKeyReplaced, "self-signed certificate in certificate chain"),
        (Misbehaviour::AttestationWithoutBasicConstraints, "invalid CA certificate"),
    ] {
        let mut bench = Bench::new(Profile::new(30_000_010, NEW).misbehaving(misbehaviour.clone()));
        bench.log_in();
        bench.generate("9a", "p256");
        let (slot, f9) = bench.attest("9a");
        let error = bench.verdict(&slot, &f9).expect_err("this must not verify");
        assert!(format!("{error:#}").contains(reason), "{misbehaviour:?}: {error:#}");
    }
}

#[test]
fn a_key_that_never_asks_for_the_pin_says_so() {
    let mut bench = Bench::new(Profile::new(30_000_011, NEW).misbehaving(Misbehaviour::PinPolicyNever));
    bench.log_in();
    bench.generate_with("9a", "p256", 3, 0);
    let (slot, _) = bench.attest("9a");
    let text = openssl::openssl(&["asn1parse", "-in", &slot.display().to_string()]).expect("a structure");
    assert!(text.contains("[HEX DUMP]:0101"), "{text}");
    bench.tell(&Request::Open { serial: 30_000_011 });
    assert!(bench.sign("9a", "p256", &sha256(b"order")).is_ok());
}
