//! Renewal against a token and a server in memory: interrupted everywhere, there is a working certificate at every moment
//! and one renewal in the end.

use ca_wire::problem::Code;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};

use super::{Candidate, Fate, GRACE, Once, Readiness, Retirement, Terms, candidates, finish};
use crate::{
    enrol::{
        EnrolError, Failure, Outcome, Predecessor, Records, Step,
        tests::{Bench, slot, slot_of},
    },
    server::fake::Loss,
    token::{Firmware, Slot, fake::Pull},
};

const ORIGIN: &str = "https://bank.example";

/// A person with a certificate in 9a that is to be renewed.
struct Renewal {
    bench: Bench,
    old: Outcome,
}

impl Renewal {
    fn new() -> Self {
        let mut bench = Bench::new();
        let old = bench.run().expect("a certificate");
        bench.order.renews = Some(Predecessor::read(&old.certificate).expect("readable"));
        Self { bench, old }
    }

    /// Forgets what was done so far, so that operations and requests count from here.
    fn count_anew(&mut self) {
        self.bench.driver.card().operations = 0;
        self.bench.server.requests.set(0);
    }

    fn old_serial(&self) -> String {
        Predecessor::read(&self.old.certificate).expect("readable").serial
    }

    fn holds(&self, slot: Slot, certificate: &[u8]) -> bool {
        let card = self.bench.driver.card();
        let spki = Predecessor::read(certificate).expect("readable").spki;
        let key = card.keys.get(&slot).is_some_and(|key| {
            use rcgen::PublicKeyData;
            key.subject_public_key_info() == spki
        });
        key && card.certificates.get(&slot).is_some_and(|stored| stored == certificate)
    }

    fn somewhere(&self, certificate: &[u8]) -> bool {
        Slot::all().any(|slot| self.holds(slot, certificate))
    }

    /// The old certificate is where it was and is not superseded, or a successor is on the token.
    fn assert_a_working_certificate(&self, when: &str) {
        let superseded = self.bench.server.superseded.borrow().contains(&self.old_serial());
        if superseded {
            let stored: Vec<Vec<u8>> = self.bench.driver.card().certificates.values().cloned().collect();
            let successor =
                stored.iter().any(|other| *other != self.old.certificate && self.somewhere(other));
            assert!(successor, "{when}: the new certificate works");
        } else {
            assert!(self.somewhere(&self.old.certificate), "{when}: the old certificate works");
        }
    }

    fn assert_renewed(&self, outcome: &Outcome, when: &str) {
        assert_eq!(self.bench.server.issued.get(), 2, "{when}: one renewal");
        assert!(self.bench.server.superseded.borrow().contains(&self.old_serial()), "{when}: confirmed");
        assert!(self.holds(slot_of(outcome), &outcome.certificate), "{when}: the new one is on the token");
        assert!(self.somewhere(&self.old.certificate), "{when}: the old one stays for its grace");
        assert_eq!(self.bench.records(), 0, "{when}: no renewal is under way");
        assert_eq!(self.retired(), 1, "{when}: the old one is remembered");
        assert_eq!(self.bench.driver.card().generated, 2, "{when}: one new key");
    }

    fn records(&self) -> Records {
        Records::new(self.bench.folder.path())
    }

    fn retired(&self) -> usize {
        self.records().retired().expect("readable").len()
    }

    fn finish_after(&mut self, hours: i64, come_home: bool) -> Result<Vec<Retirement>, EnrolError> {
        let terms = Terms { grace: GRACE, come_home, only: None, management_key: None };
        let now = Timestamp::now() + SignedDuration::from_hours(hours);
        let records = self.records();
        let mut person = Once::new(&mut self.bench.person);
        finish(&self.bench.driver, None, &mut person, &records, &terms, now)
    }

    fn finish(&mut self) -> Result<Vec<Retirement>, EnrolError> {
        self.finish_after(73, true)
    }

    fn candidates(&self, now: Timestamp) -> Vec<Candidate> {
        candidates(&self.bench.driver, None, &self.records(), ORIGIN, None, now).expect("read")
    }
}

#[test]
fn rule_1_the_new_key_lives_beside_the_old_one_which_is_superseded_with_the_confirmation() {
    let mut renewal = Renewal::new();
    renewal.bench.person.pin_asked = 0;
    let outcome = renewal.bench.run().expect("renewed");
    assert_eq!(slot_of(&outcome), slot("9c"));
    renewal.assert_renewed(&outcome, "at once");
    assert_eq!(renewal.bench.person.pin_asked, 1, "the PIN is asked for once");
    assert!(renewal.bench.person.asked.is_empty(), "nothing is overwritten");
    let retired = outcome.retired.expect("remembered");
    assert_eq!((retired.old.place.as_str(), retired.new.place.as_str()), ("9a", "9c"));
}

#[test]
fn pulled_out_at_every_operation_a_certificate_works_and_the_renewal_resumes() {
    let operations = {
        let mut renewal = Renewal::new();
        renewal.count_anew();
        renewal.bench.run().expect("renewed");
        renewal.bench.driver.card().operations
    };
    assert!(operations > 20, "{operations}");
    for number in 0..operations {
        for pull in [Pull::Before(number), Pull::After(number)] {
            let mut renewal = Renewal::new();
            renewal.count_anew();
            renewal.bench.driver.card().pull = Some(pull);
            let failure = renewal.bench.run().expect_err("pulled out");
            assert!(failure.error.is_interruption() && failure.resumable, "{pull:?}: {failure:?}");
            renewal.assert_a_working_certificate(&format!("{pull:?}"));
            let outcome = renewal.bench.run().unwrap_or_else(|failure| panic!("{pull:?}: {failure:?}"));
            renewal.assert_renewed(&outcome, &format!("{pull:?}"));
        }
    }
}

#[test]
fn cut_off_at_every_request_a_certificate_works_and_the_renewal_resumes() {
    for number in 0..4 {
        for loss in [Loss::Request(number), Loss::Answer(number)] {
            let mut renewal = Renewal::new();
            renewal.count_anew();
            renewal.bench.server.loss.set(Some(loss));
            renewal.bench.run().expect_err("cut off");
            renewal.assert_a_working_certificate(&format!("{loss:?}"));
            let outcome = renewal.bench.run().unwrap_or_else(|failure| panic!("{loss:?}: {failure:?}"));
            renewal.assert_renewed(&outcome, &format!("{loss:?}"));
        }
    }
}

#[test]
fn the_old_one_stays_for_its_grace_then_goes_and_the_new_one_comes_home() {
    let mut renewal = Renewal::new();
    let outcome = renewal.bench.run().expect("renewed");
    let early = renewal.finish_after(71, true).expect("looked at");
    assert!(matches!(early[0].fate, Fate::Waits { .. }), "{early:?}");
    assert!(renewal.holds(slot("9a"), &renewal.old.certificate));
    let done = renewal.finish().expect("erased");
    assert_eq!(done[0].fate, Fate::Erased { successor: "9a".to_owned() });
    assert!(renewal.holds(slot("9a"), &outcome.certificate) && !renewal.somewhere(&renewal.old.certificate));
    let card = renewal.bench.driver.card();
    assert_eq!((card.keys.len(), card.certificates.len()), (1, 1), "nothing else is left");
    drop(card);
    assert!(renewal.finish().expect("nothing to do").is_empty());
}

#[test]
fn older_firmware_and_those_who_ask_for_it_leave_the_new_one_where_it_is() {
    for old_firmware in [true, false] {
        let mut renewal = Renewal::new();
        let outcome = renewal.bench.run().expect("renewed");
        if old_firmware {
            renewal.bench.driver.card().firmware = Firmware::new(5, 4, 3);
        }
        let done = renewal.finish_after(73, old_firmware).expect("erased");
        assert_eq!(done[0].fate, Fate::Erased { successor: "9c".to_owned() });
        assert!(renewal.holds(slot("9c"), &outcome.certificate));
        assert!(!renewal.somewhere(&renewal.old.certificate));
    }
}

#[test]
fn erasing_and_coming_home_pulled_out_at_every_operation_leave_a_working_certificate() {
    let mut number = 0;
    loop {
        let mut ended = true;
        for pull in [Pull::Before(number), Pull::After(number)] {
            let mut renewal = Renewal::new();
            let outcome = renewal.bench.run().expect("renewed");
            renewal.count_anew();
            renewal.bench.driver.card().pull = Some(pull);
            let first = renewal.finish();
            ended &= first.is_ok();
            assert!(renewal.somewhere(&outcome.certificate), "{pull:?}: the new certificate works");
            if first.is_err() {
                let done = renewal.finish().unwrap_or_else(|error| panic!("{pull:?}: {error:?}"));
                assert!(matches!(done[0].fate, Fate::Erased { .. }), "{pull:?}: {done:?}");
            }
            assert!(renewal.holds(slot("9a"), &outcome.certificate), "{pull:?}: it came home");
            let card = renewal.bench.driver.card();
            assert_eq!((card.keys.len(), card.certificates.len()), (1, 1), "{pull:?}: nothing else is left");
        }
        if ended {
            break;
        }
        number += 1;
    }
    assert!(number > 15, "{number}");
}

#[test]
fn what_stands_in_the_place_of_the_old_or_the_new_one_is_never_touched() {
    // Somebody enrolled over the old one meanwhile.
    let mut renewal = Renewal::new();
    let outcome = renewal.bench.run().expect("renewed");
    let strange = std::sync::Arc::new(rcgen::KeyPair::generate().expect("a key"));
    renewal.bench.driver.card().keys.insert(slot("9a"), strange);
    renewal.bench.driver.card().certificates.insert(slot("9a"), b"another".to_vec());
    let done = renewal.finish().expect("looked at");
    assert_eq!(done[0].fate, Fate::Erased { successor: "9c".to_owned() }, "nothing is left to erase");
    assert_eq!(renewal.bench.driver.card().certificates[&slot("9a")], b"another");
    assert!(renewal.holds(slot("9c"), &outcome.certificate));

    // The new one was erased by hand.
    let mut renewal = Renewal::new();
    renewal.bench.run().expect("renewed");
    renewal.bench.driver.card().keys.remove(&slot("9c"));
    renewal.bench.driver.card().certificates.remove(&slot("9c"));
    let done = renewal.finish().expect("looked at");
    assert_eq!(done[0].fate, Fate::Kept);
    assert!(renewal.somewhere(&renewal.old.certificate));
}

#[test]
fn year_after_year_slots_alternate_or_come_home() {
    for come_home in [true, false] {
        let mut renewal = Renewal::new();
        for year in 0..4 {
            let outcome = renewal.bench.run().unwrap_or_else(|failure| panic!("{year}: {failure:?}"));
            let expected = if come_home || year % 2 == 0 { "9c" } else { "9a" };
            assert_eq!(slot_of(&outcome), slot(expected), "year {year}");
            renewal.finish_after(73, come_home).unwrap_or_else(|error| panic!("{year}: {error:?}"));
            assert!(renewal.somewhere(&outcome.certificate));
            assert_eq!(renewal.bench.driver.card().keys.len(), 1, "year {year}");
            renewal.bench.order.renews = Some(Predecessor::read(&outcome.certificate).expect("readable"));
        }
        assert!(renewal.bench.person.asked.is_empty(), "nothing is overwritten");
    }
}

/// The bank counts the slot in which the predecessor's key was made. Since it came home, it stands in the only slot that the
/// bank offers.
#[test]
fn a_predecessor_makes_way_where_only_its_own_slot_is_permitted() {
    let operations = {
        let mut renewal = Renewal::new();
        renewal.bench.server.slots.replace(vec!["9a".to_owned()]);
        renewal.count_anew();
        let outcome = renewal.bench.run().expect("renewed");
        assert_eq!(slot_of(&outcome), slot("9a"));
        assert!(renewal.holds(slot("9c"), &renewal.old.certificate), "it went out of the way");
        renewal.assert_renewed(&outcome, "at once");
        let operations = renewal.bench.driver.card().operations;
        renewal.finish().expect("erased");
        assert_eq!(renewal.bench.driver.card().keys.len(), 1);
        operations
    };
    for number in 0..operations {
        for pull in [Pull::Before(number), Pull::After(number)] {
            let mut renewal = Renewal::new();
            renewal.bench.server.slots.replace(vec!["9a".to_owned()]);
            renewal.count_anew();
            renewal.bench.driver.card().pull = Some(pull);
            renewal.bench.run().expect_err("pulled out");
            renewal.assert_a_working_certificate(&format!("{pull:?}"));
            let outcome = renewal.bench.run().unwrap_or_else(|failure| panic!("{pull:?}: {failure:?}"));
            renewal.assert_renewed(&outcome, &format!("{pull:?}"));
            assert_eq!(renewal.bench.driver.card().certificates.len(), 2, "{pull:?}: nothing else is left");
        }
    }
    let mut renewal = Renewal::new();
    renewal.bench.server.slots.replace(vec!["9a".to_owned()]);
    renewal.bench.server.algorithms.replace(vec!["rsa2048".to_owned()]);
    renewal.bench.driver.card().firmware = Firmware::new(5, 4, 3);
    let failure = renewal.bench.run().expect_err("this firmware moves no keys");
    assert!(matches!(failure.error, EnrolError::NoOtherSlot { .. }), "{failure:?}");
}

#[test]
fn an_occupied_slot_is_not_overwritten_without_asking() {
    let mut renewal = Renewal::new();
    renewal.bench.driver.card().certificates.insert(slot("9c"), b"somebody's".to_vec());
    let failure = renewal.bench.run().expect_err("refused");
    assert!(matches!(failure.error, EnrolError::Occupied { .. }), "{failure:?}");
    assert_eq!(renewal.bench.driver.card().certificates[&slot("9c")], b"somebody's");
    assert_eq!(renewal.bench.server.issued.get(), 1);
    renewal.bench.person.agrees = true;
    let outcome = renewal.bench.run().expect("renewed");
    renewal.assert_renewed(&outcome, "with consent");
}

#[test]
fn a_predecessor_that_is_gone_or_in_the_ordered_slot_is_said_before_anything_is_issued() {
    let mut renewal = Renewal::new();
    renewal.bench.order.slot = Some(slot("9a"));
    let failure = renewal.bench.run().expect_err("refused");
    assert!(matches!(failure.error, EnrolError::NoOtherSlot { .. }), "{failure:?}");
    renewal.bench.order.slot = None;
    renewal.bench.driver.card().keys.clear();
    let failure = renewal.bench.run().expect_err("refused");
    assert!(matches!(failure.error, EnrolError::PredecessorGone), "{failure:?}");
    assert_eq!(renewal.bench.server.issued.get(), 1);
}

#[test]
fn a_key_that_the_bank_does_not_take_is_replaced_in_its_slot_without_asking() {
    let mut renewal = Renewal::new();
    renewal.bench.server.refuse.set(Some(Code::DeviceInUse));
    let failure = renewal.bench.run().expect_err("refused");
    assert!(failure.resumable, "{failure:?}");
    let outcome = renewal.bench.run().expect("renewed");
    assert_eq!((slot_of(&outcome), renewal.bench.driver.card().generated), (slot("9c"), 3));
    assert!(renewal.bench.person.asked.is_empty());
}

#[test]
fn a_renewal_that_lapsed_begins_anew_in_its_slot_by_itself() {
    let mut renewal = Renewal::new();
    renewal.count_anew();
    renewal.bench.server.loss.set(Some(Loss::Request(3)));
    renewal.bench.run().expect_err("cut off before the confirmation");
    renewal.bench.server.lapse();
    let outcome = renewal.bench.run().expect("renewed");
    assert!(renewal.bench.person.told.contains(&Step::BeginningAnew));
    assert_eq!((slot_of(&outcome), renewal.bench.driver.card().generated), (slot("9c"), 3));
    assert!(renewal.holds(slot("9c"), &outcome.certificate) && renewal.somewhere(&renewal.old.certificate));
    assert!(renewal.bench.person.asked.is_empty(), "its own key is no other's");
}

#[test]
fn what_can_be_renewed_is_told_apart() {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let state = |renewal: &Renewal, days: i64| -> Vec<(String, Readiness)> {
        let now = Timestamp::now() + SignedDuration::from_hours(24 * days);
        let found = renewal.candidates(now).into_iter();
        found.map(|candidate| (candidate.spot.label(), candidate.readiness)).collect()
    };
    let mut renewal = {
        let mut bench = Bench::new();
        bench.server.validity.set(Some((today - 1.day(), today + 100.days())));
        let old = bench.run().expect("a certificate");
        bench.order.renews = Some(Predecessor::read(&old.certificate).expect("readable"));
        Renewal { bench, old }
    };
    assert!(matches!(state(&renewal, 0)[..], [(_, Readiness::NotYet { .. })]));
    assert_eq!(state(&renewal, 70), [("9a".to_owned(), Readiness::Open)]);
    assert_eq!(state(&renewal, 101), [("9a".to_owned(), Readiness::Expired)]);

    renewal.bench.server.validity.set(Some((today, today + 400.days())));
    renewal.count_anew();
    renewal.bench.server.loss.set(Some(Loss::Request(3)));
    let failure: Failure = renewal.bench.run().expect_err("cut off before the confirmation");
    assert!(failure.resumable);
    assert_eq!(state(&renewal, 101)[0], ("9a".to_owned(), Readiness::UnderWay), "also when it has expired");
    renewal.bench.run().expect("renewed");
    let both = state(&renewal, 70);
    assert_eq!(both[0], ("9a".to_owned(), Readiness::Superseded));
    assert!(matches!(both[1], (_, Readiness::NotYet { .. })), "{both:?}");
    for retired in renewal.records().retired().expect("readable") {
        renewal.records().forget_retired(&retired).expect("forgotten");
    }
    assert_eq!(state(&renewal, 70)[0].1, Readiness::Succeeded, "what stands beside it tells as much");
}
