//! A clock that stands until it is moved.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use crate::ports::clock::Clock;

/// A clock that a test sets and moves.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        *super::fault::locked(&self.0) = now;
    }

    /// Moves it, forwards or back.
    pub fn advance(&self, by: SignedDuration) {
        *super::fault::locked(&self.0) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *super::fault::locked(&self.0)
    }
}
