//! Who is who in the tests' bank, and the words that they know.

use ca_core::domain::{
    audit::Actor,
    ids::{ContractNumber, IdempotencyKey, UserId},
    throttle::Rate,
};
use jiff::{SignedDuration, Timestamp};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CONFIRMATION: &str = "staple my revocations";
pub(crate) const MASTER: &str = "hokkai-master";
pub(crate) const GENERAL: &str = "hokkai-01";
/// Where everybody comes from.
pub(crate) const SOURCE: &str = "198.51.100.7";
/// How many passwords of a user are looked at.
pub(crate) const ATTEMPTS: Rate = Rate { at_once: 40, every: SignedDuration::from_secs(6) };

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user ID")
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(&format!("key-for-the-tests-{text}")).expect("an idempotency key")
}

pub(crate) fn contract() -> ContractNumber {
    ContractNumber::parse("1234567").expect("a contract number")
}

pub(crate) fn clerk() -> Actor {
    Actor::Operator("clerk".to_owned())
}
