//! Evidence, request and challenge: of one key, and inside a request.

use super::rig::{Maker, SERIAL, arc, claim, rules};
use crate::domain::{
    attestation::{
        CHALLENGE_PREFIX, Evidence, challenge_message, verify,
        yubikey::{YubiKeyEvidence, YubiKeyRules},
    },
    fixtures::{Request, TestKey, device, now, raw_extension, verified_csr},
};

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
