//! The one place where signer and ceremonies ask for the time.
//!
//! The wall clock is believed at the program's start, and from then on only as long as it moves with the machine's own
//! ticking. A wall clock that jumps is told about and not followed: one entry dated tomorrow would be in the journal for
//! ever, and until tomorrow everything after it would have to be refused; of a caller on the same machine, whose clock
//! jumped as well, the signer would sign what is dated into the future; and of a ceremony each certificate would begin at
//! a time of its own.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// How far the wall clock may have moved since the last look without being a jump.
const BELIEVED: SignedDuration = SignedDuration::from_mins(1);
/// The alarm is repeated so often as long as somebody asks for the time.
const ALARM: Duration = Duration::from_mins(1);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

pub(crate) fn now() -> Timestamp {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let (wall, ticks) = (Timestamp::now(), ticks());
    let clock = clock.get_or_insert(Clock { told: wall, at: ticks, alarmed: None });
    let (now, alarm) = clock.tell(wall, ticks);
    if let Some(apart) = alarm {
        tracing::error!(
            %wall, steady = %now, apart = %apart,
            "ALARM: the wall clock jumped, and isn't followed; set it right, or start this program again if it is right now"
        );
    }
    now
}

/// Since the machine started, with the time that it was suspended, whatever is done to the wall clock.
fn ticks() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    let (seconds, nanoseconds) = (u64::try_from(since.tv_sec), u32::try_from(since.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

/// What was told last.
#[derive(Debug)]
struct Clock {
    told: Timestamp,
    at: Duration,
    /// When the alarm was given last.
    alarmed: Option<Duration>,
}

impl Clock {
    /// The time, and by how much the wall clock is apart from it if that is to be alarmed.
    fn tell(&mut self, wall: Timestamp, ticks: Duration) -> (Timestamp, Option<SignedDuration>) {
        let passed = SignedDuration::try_from(ticks.saturating_sub(self.at)).unwrap_or(SignedDuration::MAX);
        let steady = self.told.saturating_add(passed).unwrap_or(wall);
        let apart = wall.duration_since(steady);
        let believed = apart.abs() <= BELIEVED;
        (self.told, self.at) = (if believed { wall } else { steady }, ticks);
        if believed {
            self.alarmed = None;
            return (self.told, None);
        }
        let silent = self.alarmed.is_none_or(|at| ticks.saturating_sub(at) >= ALARM);
        if silent {
            self.alarmed = Some(ticks);
        }
        (self.told, silent.then_some(apart))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn clock() -> Clock {
        Clock { told: at(0), at: Duration::from_secs(500), alarmed: None }
    }

    /// What it tells at a wall clock, so many seconds after its start.
    fn tells(clock: &mut Clock, after: u64, wall: Timestamp) -> (Timestamp, bool) {
        let (now, alarm) = clock.tell(wall, Duration::from_secs(500 + after));
        (now, alarm.is_some())
    }

    #[test]
    fn a_wall_clock_that_moves_with_the_ticks_is_followed_corrections_and_all() {
        let mut clock = clock();
        assert_eq!(tells(&mut clock, 10, at(10)), (at(10), false));
        assert_eq!(tells(&mut clock, 3600, at(3602)), (at(3602), false), "drift");
        assert_eq!(tells(&mut clock, 3601, at(3571)), (at(3571), false), "a small correction");
        assert_eq!(tells(&mut clock, 90_000, at(89_970)), (at(89_970), false), "nobody asked for a day");
    }

    #[test]
    fn a_jump_is_not_followed_alarmed_once_a_minute_and_over_when_it_is_undone() {
        for jump in [DAY, -DAY] {
            let mut clock = clock();
            assert_eq!(tells(&mut clock, 10, at(10) + jump), (at(10), true));
            assert_eq!(tells(&mut clock, 11, at(11) + jump), (at(11), false));
            assert_eq!(tells(&mut clock, 70, at(70) + jump), (at(70), true));
            assert_eq!(tells(&mut clock, 80, at(80)), (at(80), false));
            assert_eq!(tells(&mut clock, 81, at(81) + jump), (at(81), true), "another jump");
        }
    }
}
