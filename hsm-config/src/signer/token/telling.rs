//! When trouble that stays is told again: a token may be tried twice a second for days, and what is new in the log shall be
//! found. Each trouble is told at once when it is new, and then at intervals that grow.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(5);
/// Whoever looks at the last five minutes of the log finds it.
const LONGEST: Duration = Duration::from_mins(4);
/// Troubles that are remembered; with more than so many, each is new again.
const KEPT: usize = 16;

/// What was told since all was well.
#[derive(Debug, Default)]
pub(in crate::signer) struct Telling {
    troubles: HashMap<String, Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    interval: Duration,
    silent: u64,
}

impl Telling {
    /// Whether this trouble is to be told now, and if so, how often it came untold since the last time.
    pub(in crate::signer) fn due(&mut self, trouble: &str, now: Instant) -> Option<u64> {
        if let Some(told) = self.troubles.get_mut(trouble) {
            if now.duration_since(told.at) < told.interval {
                told.silent += 1;
                return None;
            }
            let silent = std::mem::take(&mut told.silent);
            (told.at, told.interval) = (now, (told.interval * 2).min(LONGEST));
            return Some(silent);
        }
        if self.troubles.len() >= KEPT {
            self.troubles.clear();
        }
        self.troubles.insert(trouble.to_owned(), Told { at: now, interval: FIRST, silent: 0 });
        Some(0)
    }

    /// All is well: whatever comes is new.
    pub(in crate::signer) fn over(&mut self) {
        self.troubles.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRY: Duration = Duration::from_millis(500);

    /// At which seconds a trouble is told that comes twice a second for so long.
    fn told(telling: &mut Telling, trouble: &str, began: Instant, lasting: Duration) -> Vec<u64> {
        let tries = u32::try_from(lasting.as_millis() / TRY.as_millis()).expect("not so many");
        let times = (0..tries).map(|number| TRY * number);
        times.filter(|at| telling.due(trouble, began + *at).is_some()).map(|at| at.as_secs()).collect()
    }

    #[tokio::test]
    async fn what_stays_is_told_at_growing_intervals_and_always_within_five_minutes() {
        let (mut telling, began) = (Telling::default(), Instant::now());
        let hour = told(&mut telling, "no key", began, Duration::from_hours(1));
        assert_eq!(hour[..7], [0, 5, 15, 35, 75, 155, 315]);
        assert_eq!(hour.len(), 20, "{hour:?}");
        assert!(hour.windows(2).all(|pair| pair[1] - pair[0] < 300));
        assert_eq!(
            telling.due("no key", began + Duration::from_hours(2)),
            Some(329),
            "how often it wasn't told"
        );
    }

    #[tokio::test]
    async fn what_is_new_is_told_at_once_and_two_that_take_turns_are_no_news() {
        let (mut telling, now) = (Telling::default(), Instant::now());
        assert_eq!(telling.due("no key", now), Some(0));
        assert_eq!(telling.due("no token", now), Some(0));
        assert_eq!((telling.due("no key", now), telling.due("no token", now)), (None, None));
        telling.over();
        assert_eq!(telling.due("no key", now), Some(0), "after it worked");
        for number in 0..10 * KEPT {
            assert_eq!(telling.due(&format!("another {number}"), now), Some(0));
        }
        assert!(telling.troubles.len() <= KEPT);
    }
}
