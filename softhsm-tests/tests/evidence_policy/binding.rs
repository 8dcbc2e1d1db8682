//! Rule 12, 紐付け: what binds a user to a token is the contract's to say.

use ca_wire::problem::Code;
use softhsm_tests::{bank::Bank, virtual_yubikey::Profile};

use crate::rig::{House, NEW};

/// 先着: "First-come binding exists, per contract, off by default", and only for a user's first certificate.
#[test]
fn the_first_token_to_come_binds_where_the_contract_says_so() {
    let house = House::open("policy-first-come");
    let users = [house.contract("1000001", None), house.contract("2000001", None)];
    house.set("first-come", 1, "algorithms = [\"p256\"]\nbinding = [\"assigned-serial\", \"first-come\"]");
    house.assign("1000001", "first-come");

    let other = house.token(Profile::new(61_000_002, NEW));
    let problem = house.client.open(&users[1], &other, "policy-first-come-no").expect("an answer");
    assert_eq!(problem.err().expect("it was opened").code, Code::AuthenticationFailed);
    assert_eq!(house.why("enrolment.refused", &users[1]), "binding-nothing-assigned");

    house.in_force("1000001", 61_000_009, |opened| opened.key.algorithms == ["p256"]);
    let token = house.token(Profile::new(61_000_001, NEW));
    let enrolled = house.client.enroll(&users[0], &token, "policy-first-come-yes").expect("an answer");
    let certified = enrolled.unwrap_or_else(|problem| panic!("{problem:?}"));
    let opened = house.bank.audit_rows("enrolment.opened").expect("rows");
    assert_eq!(opened.last().expect("a row")["details"]["binding"], "first-come");

    // Whoever learns the password can't have the next one on a token of their own.
    let serial = Bank::serial_of(&certified.certificate.0).expect("a serial");
    house.bank.operator(&["certificate", "revoke", &serial, "--reason", "keyCompromise"]).expect("revoked");
    let thief = house.token(Profile::new(61_000_003, NEW));
    let problem = house.client.open(&users[0], &thief, "policy-first-come-thief").expect("an answer");
    assert_eq!(problem.err().expect("it was opened").code, Code::AuthenticationFailed);
    assert_eq!(house.why("enrolment.refused", &users[0]), "binding-not-first");
}
