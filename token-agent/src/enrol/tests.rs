//! The enrolment against a token and a server in memory: interrupted everywhere, it ends with one certificate.

use ca_wire::problem::Code;
use jiff::Timestamp;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{EnrolError, Failure, Order, Outcome, Person, Place, Question, Records, Step, World, enrol};
use crate::{
    secret::{Pin, PinLength, Secret, SecretError, WeakPin},
    server::{
        ServerError,
        fake::{FakeServer, Loss},
    },
    token::{
        Firmware, ManagementKey, Slot, TokenError,
        fake::{FakeDriver, Pull},
    },
};

/// A person with a PIN and a password who agrees or not.
pub(crate) struct Scripted {
    password: &'static str,
    pub(crate) pins: Vec<&'static str>,
    new_pin: &'static str,
    pub(crate) agrees: bool,
    pub(crate) asked: Vec<Question>,
    pub(crate) told: Vec<Step>,
    /// How often the PIN was asked for.
    pub(crate) pin_asked: usize,
}

impl Scripted {
    fn new() -> Self {
        Self {
            password: "right",
            pins: vec!["862915"],
            new_pin: "862915",
            agrees: false,
            asked: Vec::new(),
            told: Vec::new(),
            pin_asked: 0,
        }
    }
}

impl Person for Scripted {
    fn password(&mut self) -> Result<Secret, SecretError> {
        Ok(Secret::new(Zeroizing::new(self.password.to_owned())))
    }

    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
        Ok(None)
    }

    fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError> {
        self.pin_asked += 1;
        if wrong.is_some() {
            self.pins.remove(0);
        }
        Ok(self.pins.first().and_then(|pin| Pin::new(pin)))
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        Pin::chosen(self.new_pin, PinLength::default()).map_err(EnrolError::WeakPin)
    }

    fn agrees(&mut self, question: &Question) -> bool {
        self.asked.push(question.clone());
        self.agrees
    }

    fn tell(&mut self, step: Step) {
        self.told.push(step);
    }
}

pub(crate) struct Bench {
    pub(crate) driver: FakeDriver,
    pub(crate) server: FakeServer,
    pub(crate) folder: TempDir,
    pub(crate) person: Scripted,
    pub(crate) order: Order,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            driver: FakeDriver::fresh(Firmware::new(5, 7, 2)),
            server: FakeServer::new(),
            folder: tempfile::tempdir().expect("a folder"),
            person: Scripted::new(),
            order: Order {
                user_id: "hokkai-01".to_owned(),
                token: None,
                slot: None,
                algorithm: None,
                management_key: None,
                start_over: false,
                renews: None,
            },
        }
    }

    pub(crate) fn run(&mut self) -> Result<Outcome, Failure> {
        let mut world = World {
            driver: &self.driver,
            api: &self.server,
            person: &mut self.person,
            records: &Records::new(self.folder.path()),
            now: Timestamp::now,
        };
        enrol(&mut world, &self.order)
    }

    pub(crate) fn records(&self) -> usize {
        let folder = std::fs::read_dir(self.folder.path().join("enrolments")).expect("a folder");
        folder
            .filter(|entry| entry.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "json")))
            .count()
    }

    /// Exactly one certificate exists, it is on the token beside its key, confirmed, and nothing is left over.
    fn assert_done(&self, outcome: &Outcome, when: &str) {
        let card = self.driver.card();
        assert_eq!(self.server.issued.get(), 1, "{when}: one certificate");
        assert_eq!(self.server.confirmed(), 1, "{when}: confirmed");
        assert_eq!(
            card.certificates.get(&slot_of(outcome)),
            Some(&outcome.certificate),
            "{when}: on the token"
        );
        assert_eq!(card.pin, b"862915", "{when}: the PIN is the person's");
        assert_ne!(card.puk, b"12345678", "{when}: the PUK is not the factory's");
        assert!(card.management_key.is_some(), "{when}: the management key is not the factory's");
        assert_eq!(card.kept_key, card.management_key, "{when}: the management key is kept");
        assert!(!card.identifiers.is_empty(), "{when}: Windows notices");
        assert_eq!(self.records(), 0, "{when}: no record is left");
    }
}

pub(crate) fn slot_of(outcome: &Outcome) -> Slot {
    let Place::Card { slot, .. } = &outcome.place else { panic!("not on a card") };
    *slot
}

pub(crate) fn slot(name: &str) -> Slot {
    Slot::parse(name).expect("a slot")
}

#[test]
fn a_fresh_token_is_prepared_and_gets_its_certificate() {
    let mut bench = Bench::new();
    let outcome = bench.run().expect("a certificate");
    bench.assert_done(&outcome, "at once");
    assert!(!outcome.resumed);
    assert_eq!((slot_of(&outcome), bench.driver.card().generated), (slot("9a"), 1));
}

#[test]
fn pulled_out_at_every_operation_it_resumes_to_one_certificate() {
    let operations = {
        let mut bench = Bench::new();
        bench.run().expect("a certificate");
        bench.driver.card().operations
    };
    assert!(operations > 15, "{operations}");
    for number in 0..operations {
        for pull in [Pull::Before(number), Pull::After(number)] {
            let mut bench = Bench::new();
            bench.driver.card().pull = Some(pull);
            let failure = bench.run().expect_err("pulled out");
            assert!(matches!(failure.error, EnrolError::Token(TokenError::Removed)), "{pull:?}: {failure:?}");
            assert!(failure.resumable, "{pull:?}");
            let outcome = bench.run().unwrap_or_else(|failure| panic!("{pull:?}: {failure:?}"));
            assert!(outcome.resumed, "{pull:?}");
            bench.assert_done(&outcome, &format!("{pull:?}"));
            assert_eq!(bench.driver.card().generated, 1, "{pull:?}: one key");
        }
    }
}

#[test]
fn cut_off_at_every_request_it_resumes_to_one_certificate() {
    for number in 0..4 {
        for loss in [Loss::Request(number), Loss::Answer(number)] {
            let mut bench = Bench::new();
            bench.server.loss.set(Some(loss));
            let failure = bench.run().expect_err("cut off");
            assert!(failure.error.is_interruption(), "{loss:?}: {failure:?}");
            let outcome = bench.run().unwrap_or_else(|failure| panic!("{loss:?}: {failure:?}"));
            bench.assert_done(&outcome, &format!("{loss:?}"));
        }
    }
}

#[test]
fn an_occupied_slot_is_left_alone_without_consent() {
    let mut bench = Bench::new();
    bench.driver.card().certificates.insert(slot("9a"), b"somebody's".to_vec());
    let failure = bench.run().expect_err("refused");
    assert!(matches!(failure.error, EnrolError::Occupied { .. }), "{failure:?}");
    assert_eq!(bench.driver.card().certificates[&slot("9a")], b"somebody's");
    assert_eq!((bench.driver.card().generated, bench.server.issued.get()), (0, 0));
    assert_eq!(bench.person.asked.len(), 1);

    bench.order.slot = Some(slot("9c"));
    let outcome = bench.run().expect("another slot");
    assert_eq!(slot_of(&outcome), slot("9c"));
    assert_eq!(bench.driver.card().certificates[&slot("9a")], b"somebody's");
}

#[test]
fn overwriting_with_consent_resumes_to_a_new_key_at_every_operation() {
    let operations = 30;
    for number in 0..operations {
        let mut bench = Bench::new();
        bench.run().expect("a certificate");
        let old = bench.driver.card().keys[&slot("9a")].serialize_der();
        bench.server = FakeServer::new();
        bench.person.agrees = true;
        let done = bench.driver.card().operations;
        bench.driver.card().pull = Some(Pull::After(done + number));
        let first = bench.run();
        let outcome =
            first.or_else(|_| bench.run()).unwrap_or_else(|failure| panic!("{number}: {failure:?}"));
        bench.assert_done(&outcome, &format!("operation {number}"));
        assert_ne!(
            bench.driver.card().keys[&slot("9a")].serialize_der(),
            old,
            "{number}: the old key is gone"
        );
    }
}

#[test]
fn an_old_agent_stops_before_the_token() {
    let mut bench = Bench::new();
    bench.server.lowest.set("99.0.0");
    let failure = bench.run().expect_err("too old");
    assert!(matches!(failure.error, EnrolError::AgentTooOld { .. }), "{failure:?}");
    assert_eq!(bench.driver.card().operations, 0);
}

#[test]
fn a_wrong_password_changes_nothing_and_leaves_no_record() {
    let mut bench = Bench::new();
    bench.person.password = "wrong";
    let failure = bench.run().expect_err("refused");
    assert!(matches!(failure.error, EnrolError::Server(ServerError::Refused(_))) && !failure.resumable);
    assert_eq!((bench.driver.card().operations, bench.records()), (0, 0));
}

#[test]
fn an_expired_challenge_is_renewed_and_a_final_refusal_begins_anew_with_the_same_key() {
    let mut bench = Bench::new();
    bench.server.refuse.set(Some(Code::ChallengeExpired));
    let outcome = bench.run().expect("a certificate");
    bench.assert_done(&outcome, "after an expired challenge");

    let mut bench = Bench::new();
    bench.server.refuse.set(Some(Code::AlreadyCertified));
    bench.run().expect_err("refused");
    let outcome = bench.run().expect("a certificate");
    bench.assert_done(&outcome, "after a final refusal");
    assert_eq!(bench.driver.card().generated, 1);
}

#[test]
fn a_key_that_vanished_is_said_and_start_over_helps() {
    let mut bench = Bench::new();
    bench.server.loss.set(Some(Loss::Request(3)));
    bench.run().expect_err("cut off before the confirmation");
    bench.driver.card().keys.clear();
    bench.driver.card().certificates.clear();
    let failure = bench.run().expect_err("gone");
    assert!(matches!(failure.error, EnrolError::KeyGone(_)), "{failure:?}");
    bench.order.start_over = true;
    bench.run().expect("the fake issues again");
}

#[test]
fn the_last_pin_try_is_the_person_s_own() {
    let mut bench = Bench::new();
    bench.run().expect("a prepared token");
    bench.person.pins = vec!["000001", "000002", "000003"];
    bench.order.user_id = "hokkai-02".to_owned();
    let failure = bench.run().expect_err("wrong");
    assert!(
        matches!(failure.error, EnrolError::Token(TokenError::PinWrong { tries_left: 1 })),
        "{failure:?}"
    );
    assert_eq!(bench.driver.card().pin_tries, 1);
}

#[test]
fn a_weak_pin_is_refused_before_the_token_changes() {
    let mut bench = Bench::new();
    bench.person.new_pin = "123456";
    let failure = bench.run().expect_err("weak");
    assert!(matches!(failure.error, EnrolError::WeakPin(WeakPin::Factory)), "{failure:?}");
    assert_eq!(bench.driver.card().pin, b"123456");
}

#[test]
fn a_management_key_of_the_company_stays_and_must_be_given() {
    let mut bench = Bench::new();
    bench.driver.card().management_key = Some(vec![9; 24]);
    let failure = bench.run().expect_err("unknown");
    assert!(matches!(failure.error, EnrolError::Token(TokenError::ManagementKeyUnknown)), "{failure:?}");
    bench.order.management_key = Some(ManagementKey::of_24(&[9; 24]));
    bench.run().expect("a certificate");
    let card = bench.driver.card();
    assert_eq!((card.management_key.as_deref(), card.kept_key.as_deref()), (Some([9; 24].as_slice()), None));
}

#[test]
fn rules_of_the_server_are_kept() {
    let mut bench = Bench::new();
    bench.order.slot = Some(slot("9e"));
    let failure = bench.run().expect_err("not permitted");
    assert!(matches!(failure.error, EnrolError::SlotNotPermitted { .. }), "{failure:?}");

    let mut bench = Bench::new();
    bench.driver.card().firmware = Firmware::new(5, 4, 3);
    bench.server.algorithms.replace(vec!["p256".to_owned()]);
    let failure = bench.run().expect_err("no safe algorithm");
    assert!(matches!(failure.error, EnrolError::NoAlgorithm { .. }), "{failure:?}");

    let mut bench = Bench::new();
    bench.driver.card().firmware = Firmware::new(4, 3, 5);
    let failure = bench.run().expect_err("too old");
    assert!(matches!(failure.error, EnrolError::FirmwareTooOld(_)), "{failure:?}");
}
