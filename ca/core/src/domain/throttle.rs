//! How often somebody may try. At the enrolment API (rule 13), after failures, a key (a user ID, an address) waits
//! exponentially longer; that knows nothing of the login, so it can't lock anyone out of it. At the portal a user has so
//! many attempts at once and then one at a time, whatever comes of them.

use jiff::{SignedDuration, Timestamp};

/// How throttling grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Failures that cost nothing: people mistype.
    pub free_failures: u32,
    /// The wait after the first failure that costs; it doubles with each further one.
    pub first_wait: SignedDuration,
    /// The longest wait.
    pub longest_wait: SignedDuration,
    /// Without failures for so long, all is forgotten.
    pub forget_after: SignedDuration,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            free_failures: 3,
            first_wait: SignedDuration::from_secs(2),
            longest_wait: SignedDuration::from_mins(15),
            forget_after: SignedDuration::from_hours(24),
        }
    }
}

/// The failures of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    failures: u32,
    last_failure: Option<Timestamp>,
}

impl Throttle {
    /// Until when attempts aren't looked at; `None` when the next one is. An attempt that is turned away counts for
    /// nothing, so hammering prolongs nothing.
    pub fn blocked_until(&self, policy: &ThrottlePolicy, now: Timestamp) -> Option<Timestamp> {
        let last = self.last_failure.filter(|_| !self.is_forgotten(policy, now))?;
        let costly = self.failures.checked_sub(policy.free_failures).filter(|costly| *costly > 0)?;
        let factor = 1_i32.checked_shl(costly - 1).filter(|factor| *factor > 0);
        let wait = factor.and_then(|factor| policy.first_wait.checked_mul(factor));
        let wait = wait.unwrap_or(policy.longest_wait).min(policy.longest_wait);
        let until = last.saturating_add(wait).unwrap_or(Timestamp::MAX);
        (now < until).then_some(until)
    }

    /// Counts a failure.
    pub fn fail(&mut self, policy: &ThrottlePolicy, now: Timestamp) {
        let before = if self.is_forgotten(policy, now) { 0 } else { self.failures };
        *self = Self { failures: before.saturating_add(1), last_failure: Some(now) };
    }

    /// Whether nothing of it matters any more: the owner may drop it.
    pub fn is_forgotten(&self, policy: &ThrottlePolicy, now: Timestamp) -> bool {
        self.last_failure.is_none_or(|last| now.duration_since(last) >= policy.forget_after)
    }
}

/// How often something may be tried, whatever comes of it: so many times at once, and from then on once in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Attempts at once, one at least.
    pub at_once: u32,
    /// After so long there is one more.
    pub every: SignedDuration,
}

impl Default for Rate {
    fn default() -> Self {
        Self { at_once: 20, every: SignedDuration::from_secs(3) }
    }
}

/// What one key has used of a [`Rate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// When all of it is free again.
    until: Option<Timestamp>,
}

impl Used {
    /// Uses one attempt.
    ///
    /// # Errors
    /// When the next attempt is free. This one used nothing, so hammering prolongs nothing.
    pub fn take(&mut self, rate: &Rate, now: Timestamp) -> Result<(), Timestamp> {
        let all = rate.every.saturating_mul(i32::try_from(rate.at_once).unwrap_or(i32::MAX));
        let latest = now.saturating_add(all).unwrap_or(Timestamp::MAX);
        // Never further away than everything used at once: a clock that went back costs nobody more than that.
        let until = self.until.map_or(now, |until| until.clamp(now, latest));
        let until = until.saturating_add(rate.every).unwrap_or(Timestamp::MAX);
        if until > latest {
            return Err(until.saturating_sub(all).unwrap_or(Timestamp::MIN));
        }
        self.until = Some(until);
        Ok(())
    }

    /// Whether nothing is used any more: the owner may drop it.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    /// Rule 13: "Failures of the password at the public enrolment API throttle …; they never lock the login".
    #[test]
    fn rule_13_waits_double_up_to_the_longest_and_end() {
        let policy = ThrottlePolicy::default();
        let mut throttle = Throttle::default();
        let mut waits = Vec::new();
        for _ in 0..16 {
            throttle.fail(&policy, second(0));
            let until = throttle.blocked_until(&policy, second(0)).unwrap_or(second(0));
            waits.push(until.duration_since(second(0)).as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
        assert_eq!(throttle.blocked_until(&policy, second(900)), None, "it always ends by itself");
    }

    #[test]
    fn a_day_without_failures_forgets() {
        let policy = ThrottlePolicy::default();
        let mut throttle = Throttle::default();
        (0..9).for_each(|_| throttle.fail(&policy, second(0)));
        assert!(!throttle.is_forgotten(&policy, second(86_399)));
        assert!(throttle.is_forgotten(&policy, second(86_400)));
        throttle.fail(&policy, second(86_400));
        assert_eq!(throttle.blocked_until(&policy, second(86_400)), None);
    }

    #[test]
    fn a_rate_gives_so_many_at_once_and_then_one_at_a_time() {
        let rate = Rate { at_once: 3, every: SignedDuration::from_secs(10) };
        let mut used = Used::default();
        for _ in 0..3 {
            assert_eq!(used.take(&rate, second(0)), Ok(()));
        }
        for _ in 0..50 {
            assert_eq!(used.take(&rate, second(4)), Err(second(10)), "hammering prolongs nothing");
        }
        assert_eq!(used.take(&rate, second(10)), Ok(()));
        assert_eq!(used.take(&rate, second(10)), Err(second(20)));
        // Half a minute without any, and all of it is there again; a longer pause saves up no more.
        assert!(!used.is_forgotten(second(39)) && used.is_forgotten(second(40)));
        let taken = (0..9).filter(|_| used.take(&rate, second(4_000)).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(used.take(&rate, second(0)), Err(second(10)), "a clock that went back");
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest(failures in 0_u32..5_000, step in 0_i64..100) {
            let policy = ThrottlePolicy::default();
            let mut throttle = Throttle::default();
            let mut now = second(0);
            for _ in 0..failures.min(200) {
                throttle.fail(&policy, now);
                if let Some(until) = throttle.blocked_until(&policy, now) {
                    prop_assert!(until.duration_since(now) <= policy.longest_wait);
                }
                now += SignedDuration::from_secs(step);
            }
        }
    }
}
