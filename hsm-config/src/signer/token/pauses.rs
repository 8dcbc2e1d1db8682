//! How long the next start of a worker waits. A token that stays away isn't stormed with logins, and one that works again
//! is used within moments: of all that recovery takes, this is the part that is ours to bound.
//!
//! The worst that one fault costs is a worker that is lost and a start that then fails: two pauses and two starts. With
//! [`LONGEST`] the pauses are a second together, and a start (module, login, a signature with each key) is the token's own.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
/// So often at most a token is tried that doesn't come back.
const LONGEST: Duration = Duration::from_millis(500);
/// A worker that lived so long is no part of what was wrong before.
const STEADY: Duration = Duration::from_secs(2);

/// The pauses between the starts of one token's workers.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Losses and failed starts since a worker lived for [`STEADY`].
    troubles: u32,
}

impl Pauses {
    /// After the loss of a worker that signed with every key and lived so long. The first loss costs no wait.
    pub(super) fn after_loss(&mut self, lived: Duration) -> Duration {
        if lived >= STEADY {
            self.troubles = 0;
        }
        let pause = if self.troubles == 0 { Duration::ZERO } else { self.pause() };
        self.troubles = self.troubles.saturating_add(1);
        pause
    }

    /// After a start that failed.
    pub(super) fn after_failure(&mut self) -> Duration {
        self.troubles = self.troubles.saturating_add(1);
        self.pause()
    }

    fn pause(&self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.troubles.saturating_sub(1).min(8));
        doubled.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(300);

    #[test]
    fn the_first_loss_costs_no_wait_and_further_ones_a_growing_one() {
        let mut pauses = Pauses::default();
        let lost = [MOMENT; 4].map(|lived| pauses.after_loss(lived).as_millis());
        assert_eq!(lost, [0, 200, 400, 500]);
        assert_eq!(pauses.after_loss(STEADY), Duration::ZERO, "a worker that lived is another matter");
    }

    #[test]
    fn a_token_that_stays_away_is_tried_twice_a_second() {
        let mut pauses = Pauses::default();
        let failed = [(); 5].map(|()| pauses.after_failure().as_millis());
        assert_eq!(failed, [200, 400, 500, 500, 500]);
        let long: Duration = (0..7_200).map(|_| pauses.after_failure()).sum();
        assert_eq!(long, Duration::from_hours(1));
    }

    /// R5: whatever came before, a fault that costs a worker and the next start costs a second of waiting.
    #[test]
    fn no_past_makes_one_fault_cost_more_than_a_second_of_waiting() {
        for past in 0..1_u32 << 10 {
            let mut pauses = Pauses::default();
            for event in 0..10 {
                match (past >> event) & 1 {
                    0 => pauses.after_loss(MOMENT),
                    _ => pauses.after_failure(),
                };
            }
            let waited = pauses.after_loss(MOMENT) + pauses.after_failure();
            assert!(waited <= Duration::from_secs(1), "{waited:?} after {past:010b}");
        }
    }
}
