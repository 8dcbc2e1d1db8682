//! The failures at the enrolment API (rule 13): of a user ID at an address, of the ID wherever they come from, and of the
//! address whatever the IDs. None of the three keeps anybody else out: what others did with an ID holds up only who failed
//! with it as well, and what others did at an address holds up nobody who got in from there before.

use jiff::{SignedDuration, Timestamp};

use super::kept::Kept;
use crate::domain::{
    ids::UserId,
    throttle::{Throttle, ThrottlePolicy},
};

/// So long an address is remembered as one of the user's own after the last success there.
const ACQUAINTED_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How each of the three kinds of key waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicies {
    /// One ID at one address: somebody who mistypes, or guesses.
    pub user_at_source: ThrottlePolicy,
    /// One ID at all addresses together: guesses from many.
    pub user: ThrottlePolicy,
    /// One address, all IDs together, also made-up ones: one password tried with everybody's ID.
    pub source: ThrottlePolicy,
}

impl Default for ThrottlePolicies {
    /// A company's users share an address, and it waits a minute at the most.
    fn default() -> Self {
        let one = ThrottlePolicy::default();
        let many = ThrottlePolicy { free_failures: one.free_failures * 10, ..one };
        let source = ThrottlePolicy { longest_wait: SignedDuration::from_mins(1), ..many };
        Self { user_at_source: one, user: many, source }
    }
}

/// The throttles of one node.
#[derive(Debug, Default)]
pub struct Throttles {
    policies: ThrottlePolicies,
    failures: Kept<Key, Throttle>,
    /// When a user last got in from an address.
    acquainted: Kept<(UserId, String), Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    UserAtSource(UserId, String),
    User(UserId),
    Source(String),
}

impl Throttles {
    /// Throttles with these policies.
    pub fn new(policies: ThrottlePolicies) -> Self {
        Self { policies, failures: Kept::default(), acquainted: Kept::default() }
    }

    /// Until when an attempt by `user` (`None`: a text that can't be anyone's ID) from `source` isn't looked at.
    pub fn blocked_until(&self, user: Option<&UserId>, source: &str, now: Timestamp) -> Option<Timestamp> {
        let here = user.map(|user| Key::UserAtSource(user.clone(), source.to_owned()));
        let acquainted = user.is_some_and(|user| self.is_acquainted(user, source, now));
        self.failures.look(|failures| {
            let wait = |key: &Key| failures.get(key)?.blocked_until(self.policy(key), now);
            let has_failed = |key: &Key| {
                failures.get(key).is_some_and(|failed| !failed.is_forgotten(self.policy(key), now))
            };
            let everywhere = user.filter(|_| here.as_ref().is_some_and(has_failed));
            let others =
                [everywhere.map(|user| Key::User(user.clone())), Some(Key::Source(source.to_owned()))];
            let others = others.into_iter().flatten().filter(|_| !acquainted);
            here.clone().into_iter().chain(others).filter_map(|key| wait(&key)).max()
        })
    }

    /// Counts a failure for all three.
    pub fn failed(&self, user: Option<&UserId>, source: &str, now: Timestamp) {
        let of_user =
            user.map(|user| [Key::UserAtSource(user.clone(), source.to_owned()), Key::User(user.clone())]);
        let keys = of_user.into_iter().flatten().chain([Key::Source(source.to_owned())]);
        let matters =
            |key: &Key, throttle: &Throttle| throttle.blocked_until(self.policy(key), now).is_some();
        self.failures.change(3, matters, |failures| {
            for key in keys {
                let policy = self.policy(&key);
                failures.entry(key).or_default().fail(policy, now);
            }
        });
    }

    /// A success ends the user's wait at this address, and acquaints the two. The address's own wait stays, for one account
    /// of one's own mustn't pay for guessing others', and so does that of who guesses from elsewhere.
    pub fn succeeded(&self, user: &UserId, source: &str, now: Timestamp) {
        let here = Key::UserAtSource(user.clone(), source.to_owned());
        self.failures.change(0, |_, _| true, |failures| failures.remove(&here));
        self.acquainted.change(
            1,
            |_, at| is_recent(*at, now),
            |known| known.insert((user.clone(), source.to_owned()), now),
        );
    }

    fn is_acquainted(&self, user: &UserId, source: &str, now: Timestamp) -> bool {
        let pair = (user.clone(), source.to_owned());
        self.acquainted.look(|known| known.get(&pair).is_some_and(|at| is_recent(*at, now)))
    }

    fn policy(&self, key: &Key) -> &ThrottlePolicy {
        match key {
            Key::UserAtSource(..) => &self.policies.user_at_source,
            Key::User(_) => &self.policies.user,
            Key::Source(_) => &self.policies.source,
        }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < ACQUAINTED_FOR
}

#[cfg(test)]
mod tests {
    use super::{super::kept::MAX_KEYS, *};

    fn user(id: &str) -> UserId {
        UserId::parse(id).expect("an ID")
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const OFFICE: &str = "10.0.0.1";
    const ELSEWHERE: &str = "10.9.9.9";

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    /// Each kind waits from the second failure on, for two seconds first.
    fn strict() -> Throttles {
        let strict = ThrottlePolicy { free_failures: 1, ..ThrottlePolicy::default() };
        Throttles::new(ThrottlePolicies { user_at_source: strict, user: strict, source: strict })
    }

    #[test]
    fn who_fails_waits_with_this_id_and_at_this_address() {
        let throttles = strict();
        let (alice, bob) = (user("alice"), user("robert"));
        throttles.failed(Some(&alice), OFFICE, NOW);
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), None);
        throttles.failed(Some(&alice), OFFICE, NOW);
        for id in [Some(&alice), Some(&bob), None] {
            assert_eq!(throttles.blocked_until(id, OFFICE, NOW), Some(after(2)), "{id:?}");
        }
        assert_eq!(throttles.blocked_until(Some(&bob), OFFICE, after(2)), None);
        throttles.succeeded(&alice, OFFICE, NOW);
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), None);
        assert_eq!(
            throttles.blocked_until(Some(&bob), OFFICE, NOW),
            Some(after(2)),
            "not the address's wait"
        );
    }

    #[test]
    fn a_stranger_elsewhere_holds_up_nobody_who_has_not_failed_and_waits_with_the_others_who_guess() {
        let throttles = strict();
        let alice = user("alice");
        for n in 0..9 {
            throttles.failed(Some(&alice), &format!("192.0.2.{n}"), NOW);
        }
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), None);
        let guessing = throttles.blocked_until(Some(&alice), "192.0.2.1", NOW);
        assert!(
            guessing.is_some_and(|until| until > after(60)),
            "one failure here, nine in all: {guessing:?}"
        );
        // A slip of one's own among them counts with theirs, unless one got in from here before.
        throttles.failed(Some(&alice), OFFICE, NOW);
        assert!(throttles.blocked_until(Some(&alice), OFFICE, NOW).is_some());
        throttles.succeeded(&alice, OFFICE, NOW);
        throttles.failed(Some(&alice), OFFICE, NOW);
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), None);
        assert_eq!(throttles.blocked_until(Some(&alice), "192.0.2.1", NOW), Some(after(900)));
    }

    #[test]
    fn who_got_in_from_an_address_is_not_held_up_by_what_others_do_there() {
        let throttles = strict();
        let (alice, bob) = (user("alice"), user("robert"));
        throttles.succeeded(&alice, OFFICE, NOW);
        for n in 0..20 {
            throttles.failed(Some(&user(&format!("sprayed-{n}"))), OFFICE, NOW);
        }
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), None);
        assert!(throttles.blocked_until(Some(&bob), OFFICE, NOW).is_some());
        assert_eq!(throttles.blocked_until(Some(&bob), ELSEWHERE, NOW), None);
        // Being known there is no licence to guess.
        throttles.failed(Some(&alice), OFFICE, NOW);
        throttles.failed(Some(&alice), OFFICE, NOW);
        assert_eq!(throttles.blocked_until(Some(&alice), OFFICE, NOW), Some(after(2)));
        // Nor does it last for ever.
        let later = NOW + ACQUAINTED_FOR;
        for _ in 0..9 {
            throttles.failed(Some(&bob), OFFICE, later);
        }
        assert!(throttles.blocked_until(Some(&alice), OFFICE, later).is_some());
    }

    #[test]
    fn an_address_that_many_share_waits_a_minute_at_the_most() {
        let throttles = Throttles::default();
        for n in 0..500 {
            throttles.failed(Some(&user(&format!("user-{n}"))), OFFICE, NOW);
        }
        assert_eq!(throttles.blocked_until(Some(&user("robert")), OFFICE, NOW), Some(after(60)));
    }

    #[test]
    fn made_up_ids_fill_no_memory() {
        let throttles = Throttles::default();
        for number in 0..MAX_KEYS / 2 {
            let made_up = user(&format!("user-{number}"));
            throttles.failed(Some(&made_up), &number.to_string(), NOW);
            throttles.failed(None, &number.to_string(), NOW);
        }
        assert!(throttles.failures.look(std::collections::HashMap::len) <= MAX_KEYS);
    }
}
