//! From the draft to the renewed certificate, and when it is time for it.

use super::*;
use crate::domain::{
    audit::AuditPosition,
    fixtures::{Certificate, TestKey, at, common_name, issuer, issuer_until, now, signer_name},
    issuance::SignatureError,
    receipt::{IntentReceipt, JournalPosition, JournaledSignature},
    serial,
};

const RECEIPT: IntentReceipt = IntentReceipt { audit_head: AuditPosition { sequence: 3, hash: [3; 32] } };
const POSITION: JournalPosition = JournalPosition { sequence: 1, hash: [4; 32] };

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn policy() -> ResponderPolicy {
    ResponderPolicy::new(days(30), days(10)).expect("a policy")
}

struct House {
    issuing: TestKey,
    responding: TestKey,
    issuer: Issuer,
}

impl House {
    fn new() -> Self {
        let issuing = TestKey::p256();
        Self { responding: TestKey::p256(), issuer: issuer(&issuing), issuing }
    }

    /// A responder as a ceremony makes it.
    fn responder(&self, not_before: &str, not_after: &str) -> Responder {
        let certificate = Certificate {
            issuer: self.issuer.name().clone(),
            issuer_key: &self.issuing,
            subject: common_name("Customer OCSP 1"),
            public_key: self.responding.public_key(),
            extensions: extensions(&self.issuer, &self.responding.public_key()).expect("extensions"),
        };
        let der = certificate.der_between(not_before, not_after);
        Responder::from_certificate(&der, &self.issuer).expect("a responder")
    }

    fn draft(&self, current: &Responder, now: Timestamp) -> Result<Draft, DraftError> {
        draft(&Order {
            intent: EnrolmentId(uuid::Uuid::from_u128(1)),
            issuer: &self.issuer,
            current,
            policy: &policy(),
            signer: &signer_name(),
            serial: &serial::from_random([5; 16]),
            now,
        })
    }
}

#[test]
fn a_renewed_certificate_keeps_name_and_key_and_its_answers_are_accepted() {
    let house = House::new();
    let current = house.responder("2026-09-01T00:00:00Z", "2026-11-30T00:00:00Z");
    let linted = house.draft(&current, now()).expect("a draft").lint().expect("no findings");
    let recorded = linted.recorded(RECEIPT);
    let signature = house.issuing.sign(&recorded.record().tbs);
    let signed = recorded.signed(JournaledSignature { signature, position: POSITION });
    let issued = signed.verify(&house.issuer).expect("the issuer's");
    let renewed = Responder::from_certificate(issued.der(), &house.issuer).expect("a responder");
    assert_eq!((renewed.name(), renewed.public_key()), (current.name(), current.public_key()));
    assert_eq!(renewed.not_before(), now() - BACKDATED);
    assert_eq!(renewed.not_after().duration_since(renewed.not_before()), days(30));
    assert_eq!(renewed.serial().as_ref(), Some(&issued.record().serial));
    assert_eq!(issued.position(), POSITION);
}

#[test]
fn another_ones_signature_goes_no_further() {
    let house = House::new();
    let current = house.responder("2026-09-01T00:00:00Z", "2026-11-30T00:00:00Z");
    let recorded = house.draft(&current, now()).expect("a draft").lint().expect("no findings");
    let recorded = recorded.recorded(RECEIPT);
    let signature = house.responding.sign(&recorded.record().tbs);
    let signed = recorded.signed(JournaledSignature { signature, position: POSITION });
    assert!(matches!(signed.verify(&house.issuer), Err(SignatureError::Wrong(_))));
}

#[test]
fn what_the_builder_got_wrong_is_found() {
    let house = House::new();
    let current = house.responder("2026-09-01T00:00:00Z", "2026-11-30T00:00:00Z");
    let findings = |change: &dyn Fn(&mut Expected)| -> Vec<&'static str> {
        let mut draft = house.draft(&current, now()).expect("a draft");
        change(&mut draft.expected);
        draft.lint().err().map_or_else(Vec::new, |failure| failure.0.iter().map(|f| f.lint).collect())
    };
    assert_eq!(findings(&|_| {}), [""; 0]);
    let other = TestKey::p256().public_key();
    let swapped = |expected: &mut Expected| expected.public_key = other.clone();
    assert_eq!(findings(&swapped), ["public-key", "key-identifiers"]);
    let renamed = |expected: &mut Expected| expected.subject = common_name("Somebody");
    assert_eq!(findings(&renamed), ["subject"]);
    let renumbered = |expected: &mut Expected| expected.serial = serial::from_random([6; 16]);
    assert_eq!(findings(&renumbered), ["serial"]);
    let prolonged = |expected: &mut Expected| expected.not_after = at("2027-01-01T00:00:00Z");
    assert_eq!(findings(&prolonged), ["validity"]);
    let elsewhere = |expected: &mut Expected| expected.issuer = issuer(&TestKey::p384());
    assert_eq!(findings(&elsewhere), ["signature-algorithm", "key-identifiers"]);
}

#[test]
fn it_is_renewed_before_its_end_and_never_beyond_the_issuers() {
    let house = House::new();
    let current = house.responder("2026-09-01T00:00:00Z", "2026-11-30T00:00:00Z");
    let due = |text: &str, issuer: &Issuer, current: &Responder| policy().is_due(current, issuer, at(text));
    assert!(!due("2026-11-19T23:59:59Z", &house.issuer, &current));
    assert!(due("2026-11-20T00:00:01Z", &house.issuer, &current));
    assert!(due("2027-01-01T00:00:00Z", &house.issuer, &current), "also when it is too late");
    assert_eq!(policy().renewal_of(&current), at("2026-11-20T00:00:00Z"));

    // A renewed one ends with the issuer; then there is nothing to be gained by another.
    let ending = issuer_until(&house.issuing, "2026-12-05T00:00:00Z");
    assert!(due("2026-11-25T00:00:00Z", &ending, &current));
    let last = house.responder("2026-11-25T00:00:00Z", "2026-12-05T00:00:00Z");
    assert!(!due("2026-11-26T00:00:00Z", &ending, &last));
    assert!(!due("2027-01-01T00:00:00Z", &ending, &last));
    let ended = House { issuer: ending, ..House::new() };
    let refused = ended.draft(&last, at("2027-01-01T00:00:00Z")).expect_err("nothing");
    assert!(matches!(refused, DraftError::IssuerExpires(_)), "{refused:?}");
}

#[test]
fn of_several_the_newest_that_is_valid_is_in_use() {
    let house = House::new();
    let first = house.responder("2026-09-01T00:00:00Z", "2026-12-31T00:00:00Z");
    let renewed = house.responder("2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z");
    let chosen = |text: &str| {
        let both = [&first, &renewed].map(|responder| (responder.not_before(), responder.clone()));
        in_use(both, at(text)).expect("one").not_before()
    };
    assert_eq!(chosen("2026-11-19T00:00:00Z"), first.not_before(), "the other hasn't begun");
    assert_eq!(chosen("2026-11-21T00:00:00Z"), renewed.not_before());
    assert_eq!(chosen("2026-12-25T00:00:00Z"), first.not_before(), "the newer one has ended");
    assert_eq!(chosen("2027-01-25T00:00:00Z"), first.not_before(), "both have: the last to end");
    assert!(in_use([], now()).is_none());
}

/// A ceremony and a renewal within minutes: the renewed certificate is dated back, and the newer one all the same.
#[test]
fn what_was_issued_later_is_newer_even_if_it_begins_earlier() {
    let house = House::new();
    let first = house.responder("2026-11-24T00:59:00Z", "2026-11-25T01:00:00Z");
    let renewed = house.responder("2026-11-24T00:55:00Z", "2026-12-24T00:55:00Z");
    let candidates = [(now(), renewed.clone()), (first.not_before(), first)];
    assert_eq!(in_use(candidates, now()), Some(renewed));
}

#[test]
fn a_policy_leaves_time_to_renew() {
    for (validity, renew_before, fits) in [(30, 10, true), (30, 15, true), (30, 16, false), (30, 0, false)] {
        let policy = ResponderPolicy::new(days(validity), days(renew_before));
        assert_eq!(policy.is_some(), fits, "{validity} {renew_before}");
    }
}
