//! When a certificate is renewed, and what the old key's word is worth.

use super::*;
use crate::domain::{
    certificate::CertificateState,
    fixtures::{Certificate as TestCertificate, TestKey, at, common_name, device, record},
    revocation::RevocationReason,
};

const NOT_AFTER: &str = "2027-11-22T23:59:59+09:00";
const IN_TIME: &str = "2027-11-01T03:00:00+09:00";

fn issued(serial: u8, confirmed: bool) -> CertificateRecord {
    let issued_at = at("2026-11-22T10:00:00+09:00");
    let confirmed_at = confirmed.then_some(issued_at);
    record(serial, NOT_AFTER, CertificateState::Issued { der: vec![0x30, 0], at: issued_at, confirmed_at })
}

fn renewal_of(predecessor: &CertificateRecord, serial: u8, confirmed: bool) -> CertificateRecord {
    CertificateRecord {
        renews: Some(predecessor.intent),
        not_before: at("2027-10-31T10:00:00+09:00"),
        ..issued(serial, confirmed)
    }
}

fn judge(certificates: &[CertificateRecord], now: &str) -> Result<SerialNumber, RenewalRefusal> {
    let renewed = renewable(certificates, issued(1, true).intent, &device("33064031"), at(now));
    renewed.map(|record| record.serial.clone())
}

/// Rule 5: "更新 opens 40 days before expiry and stays open to notAfter." Rule 3: "Renewal … not bound to hours."
#[test]
fn rule_5_a_certificate_is_renewed_in_its_last_forty_days_at_any_hour() {
    let valid = issued(1, true);
    let serial = valid.serial.clone();
    let all = [valid];
    for hour in ["2027-10-13T00:00:00+09:00", IN_TIME, NOT_AFTER] {
        assert_eq!(judge(&all, hour), Ok(serial.clone()), "{hour}");
    }
    let opens_at = at("2027-10-13T00:00:00+09:00");
    assert_eq!(judge(&all, "2027-10-12T23:59:59+09:00"), Err(RenewalRefusal::NotYet { opens_at }));
    assert_eq!(judge(&all, "2027-11-23T00:00:00+09:00"), Err(RenewalRefusal::Expired { serial }));
}

/// Rule 1: "plus at most one *unconfirmed renewal* in another permitted slot of the token … unconfirmed after 72 hours it
/// is revoked and the old one stays."
#[test]
fn rule_1_one_unconfirmed_renewal_stands_in_the_way_of_another() {
    let valid = issued(1, false);
    assert!(
        judge(std::slice::from_ref(&valid), IN_TIME).is_ok(),
        "a first certificate needs no confirmation"
    );
    let pending = renewal_of(&valid, 2, false);
    let lapses_at = at("2027-11-03T10:00:00+09:00");
    assert_eq!(super::lapses_at(&pending), lapses_at);
    let refused = Err(RenewalRefusal::Pending { serial: pending.serial.clone(), lapses_at });
    assert_eq!(judge(&[pending.clone(), valid.clone()], IN_TIME), refused);
    let intended = CertificateRecord { state: CertificateState::Intended, ..pending.clone() };
    assert_eq!(
        judge(&[intended, valid.clone()], IN_TIME),
        refused,
        "an open intent may be signed any moment"
    );
    let lapsed = CertificateState::Revoked {
        der: None,
        at: lapses_at,
        reason: RevocationReason::CessationOfOperation,
    };
    let lapsed = CertificateRecord { state: lapsed, ..pending };
    assert!(judge(&[lapsed, valid], IN_TIME).is_ok());
}

#[test]
fn only_the_users_valid_certificate_on_this_token_is_renewed() {
    let valid = issued(1, true);
    assert_eq!(judge(&[], IN_TIME), Err(RenewalRefusal::NotValid));
    let superseded = CertificateState::Revoked {
        der: Some(vec![0x30, 0]),
        at: at(IN_TIME),
        reason: RevocationReason::Superseded,
    };
    for state in [CertificateState::Intended, CertificateState::Abandoned, superseded] {
        let gone = CertificateRecord { state, ..valid.clone() };
        assert_eq!(judge(&[gone], IN_TIME), Err(RenewalRefusal::NotValid));
    }
    let unconfirmed = CertificateRecord { renews: Some(issued(9, true).intent), ..issued(1, false) };
    assert_eq!(judge(&[unconfirmed], IN_TIME), Err(RenewalRefusal::NotValid), "it isn't the user's yet");
    let elsewhere = CertificateRecord { device: device("33064032"), ..valid.clone() };
    let serial = valid.serial.clone();
    assert_eq!(judge(&[elsewhere], IN_TIME), Err(RenewalRefusal::OtherDevice { serial: serial.clone() }));

    let all = [valid];
    assert!(named(&all, &serial, &device("33064031")).is_some());
    assert!(named(&all, &serial, &device("33064032")).is_none());
    assert!(named(&all, &issued(2, true).serial, &device("33064031")).is_none());
}

/// A signature of the old key counts for one challenge and one new key.
#[test]
fn the_old_key_speaks_for_one_new_key_in_one_enrolment() {
    for old in [TestKey::p256(), TestKey::p384(), TestKey::rsa_2048()] {
        let predecessor = TestCertificate {
            issuer: common_name("Issuer"),
            issuer_key: &old,
            subject: common_name("hokkai-01"),
            public_key: old.public_key(),
            extensions: Vec::new(),
        };
        let predecessor = predecessor.der();
        let (challenge, new) = ([7; 32], b"the new key's SPKI".as_slice());
        let signature = old.sign(&renewal_message(&challenge, new));
        let check = |challenge: &[u8; 32], new: &[u8], signature: Option<&[u8]>| {
            check_signature(&predecessor, challenge, new, signature)
        };
        assert_eq!(check(&challenge, new, Some(&signature)), Ok(()));
        assert_eq!(check(&challenge, new, None), Err(SignatureRefusal::Missing));
        let other = TestKey::p256().sign(&renewal_message(&challenge, new));
        let for_enrolment = old.sign(&crate::domain::attestation::challenge_message(&challenge, new));
        for (challenge, new, signature) in [
            ([8; 32], new, &signature),
            (challenge, b"another key".as_slice(), &signature),
            (challenge, new, &other),
            (challenge, new, &for_enrolment),
            (challenge, new, &Vec::new()),
        ] {
            assert_eq!(check(&challenge, new, Some(signature)), Err(SignatureRefusal::Wrong));
        }
        assert_eq!(
            check_signature(b"no certificate", &challenge, new, Some(&signature)),
            Err(SignatureRefusal::Wrong)
        );
    }
}

#[test]
fn the_slot_of_the_old_key_is_left_alone() {
    let slot = |text: &str| Slot::parse(text).expect("a slot");
    let (a, b) = (slot("9a"), slot("82"));
    let (old, new) = (Firmware::new(5, 4, 3), Firmware::new(5, 7, 0));
    assert_eq!(slots_for(&[a, b], Some(a), Some(old)), [b]);
    assert_eq!(slots_for(&[a, b], Some(b), Some(old)), [a]);
    assert_eq!(slots_for(&[a, b], Some(a), Some(new)), [b, a], "the key may have been moved away");
    assert_eq!(slots_for(&[a], Some(a), Some(old)), []);
    assert_eq!(slots_for(&[a, b], None, Some(old)), [a, b]);
    assert_eq!(slot_of("device=yubikey-piv\nslot=9a\npin=once"), Some(a));
    assert_eq!(slot_of("device=tpm"), None);
}
