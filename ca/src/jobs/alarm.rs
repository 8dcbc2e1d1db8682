//! When an alarm is sounded: at once for what is new, every hour for what stays, and not at each look.

use jiff::{SignedDuration, Timestamp};

const EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What is wrong, as it was last told.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<(String, Timestamp)>);

impl Alarm {
    /// What is to be told now of what is wrong.
    pub(super) fn due(&mut self, trouble: Option<String>, now: Timestamp) -> Option<String> {
        let told =
            |(before, at): &(_, _)| Some(before) == trouble.as_ref() && now.duration_since(*at) < EVERY;
        if self.0.as_ref().is_some_and(told) {
            return None;
        }
        self.0 = trouble.clone().map(|trouble| (trouble, now));
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_at_once_and_what_stays_every_hour() {
        let mut alarm = Alarm::default();
        let mut told = |trouble: Option<&str>, minute: i64| {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
            alarm.due(trouble.map(str::to_owned), now).is_some()
        };
        for (trouble, minute, expected) in [
            (None, 0, false),
            (Some("late"), 1, true),
            (Some("late"), 60, false),
            (Some("late"), 61, true),
            (Some("lost"), 62, true),
            (None, 63, false),
            (Some("lost"), 64, true),
        ] {
            assert_eq!(told(trouble, minute), expected, "{trouble:?} at {minute}");
        }
    }
}
