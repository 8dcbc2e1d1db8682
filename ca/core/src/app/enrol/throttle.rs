//! The failures of the enrolment API by user ID and by source (rule 13). They live in memory: losing them in a restart
//! costs an attacker's wait, never a customer's login.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::domain::{
    ids::UserId,
    throttle::{Throttle, ThrottlePolicy},
};

/// Entries at the most; an attacker with many addresses and made-up IDs fills no memory.
const MAX_ENTRIES: usize = 100_000;

/// The throttles of one node.
#[derive(Debug)]
pub struct Throttles {
    users: ThrottlePolicy,
    sources: ThrottlePolicy,
    entries: Mutex<HashMap<Key, Throttle>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(UserId),
    Source(String),
}

impl Throttles {
    /// Throttles with one policy for user IDs and one for sources: a company's users share an address.
    pub fn new(users: ThrottlePolicy, sources: ThrottlePolicy) -> Self {
        Self { users, sources, entries: Mutex::default() }
    }

    /// Until when an attempt by `user` (`None`: a text that can't be anyone's ID) from `source` isn't looked at.
    pub fn blocked_until(&self, user: Option<&UserId>, source: &str, now: Timestamp) -> Option<Timestamp> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys(user, source)
            .filter_map(|(key, policy)| entries.get(&key)?.blocked_until(policy, now))
            .max()
    }

    /// Counts a failure for both.
    pub fn failed(&self, user: Option<&UserId>, source: &str, now: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() + 2 > MAX_ENTRIES {
            self.make_room(&mut entries, now);
        }
        for (key, policy) in self.keys(user, source) {
            entries.entry(key).or_default().fail(policy, now);
        }
    }

    /// A success ends the user's wait. The source's stays: one account of one's own mustn't pay for guessing others'.
    pub fn succeeded(&self, user: &UserId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&Key::User(user.clone()));
    }

    fn keys(&self, user: Option<&UserId>, source: &str) -> impl Iterator<Item = (Key, &ThrottlePolicy)> {
        let user = user.map(|user| (Key::User(user.clone()), &self.users));
        user.into_iter().chain([(Key::Source(source.to_owned()), &self.sources)])
    }

    fn make_room(&self, entries: &mut HashMap<Key, Throttle>, now: Timestamp) {
        entries.retain(|key, throttle| {
            let policy = if matches!(key, Key::User(_)) { &self.users } else { &self.sources };
            throttle.blocked_until(policy, now).is_some()
        });
        let mut keep = false;
        if entries.len() * 2 > MAX_ENTRIES {
            entries.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).expect("an ID")
    }

    #[test]
    fn user_and_source_wait_apart_and_a_success_frees_only_the_user() {
        let strict = ThrottlePolicy { free_failures: 1, ..ThrottlePolicy::default() };
        let throttles = Throttles::new(strict, strict);
        let now = Timestamp::UNIX_EPOCH;
        let (alice, bob) = (user("alice"), user("robert"));
        let (alice, bob) = (Some(&alice), Some(&bob));
        throttles.failed(alice, "10.0.0.1", now);
        assert_eq!(throttles.blocked_until(alice, "10.0.0.1", now), None);
        throttles.failed(alice, "10.0.0.1", now);
        let until = now + SignedDuration::from_secs(2);
        assert_eq!(throttles.blocked_until(alice, "10.9.9.9", now), Some(until));
        assert_eq!(throttles.blocked_until(bob, "10.0.0.1", now), Some(until));
        assert_eq!(throttles.blocked_until(bob, "10.9.9.9", now), None);
        throttles.succeeded(&user("alice"));
        assert_eq!(throttles.blocked_until(alice, "10.9.9.9", now), None);
        assert_eq!(throttles.blocked_until(bob, "10.0.0.1", now), Some(until));
        assert_eq!(throttles.blocked_until(bob, "10.0.0.1", until), None);
    }

    #[test]
    fn made_up_ids_fill_no_memory() {
        let throttles = Throttles::new(ThrottlePolicy::default(), ThrottlePolicy::default());
        for number in 0..MAX_ENTRIES {
            let made_up = user(&format!("user-{number}"));
            throttles.failed(Some(&made_up), &number.to_string(), Timestamp::UNIX_EPOCH);
            throttles.failed(None, &number.to_string(), Timestamp::UNIX_EPOCH);
        }
        assert!(throttles.entries.lock().expect("no panic").len() <= MAX_ENTRIES);
    }
}
