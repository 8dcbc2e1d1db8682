//! The lanes of a device far away: how much it does at once, and how long each thing takes.
//!
//! A lane is busy from the moment that the device takes up a piece of work until its latency is over, on the device's
//! own clock: that the waiting caller is woken late, because this machine is busy, costs the caller and not the device.
//! So a device with work in its queue does `lanes / latency` pieces a second, as a real one does.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    limit: Option<NonZeroUsize>,
    load: Load,
    /// When each lane that was used before became free.
    free_since: BinaryHeap<Reverse<Instant>>,
}

/// What the lanes do and have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    /// Pieces of work in a lane now.
    in_progress: usize,
    /// Callers that wait for a lane now.
    waiting: usize,
    /// The most that were in progress at once.
    most_in_progress: usize,
    /// Pieces of work done.
    done: u64,
}

impl Lanes {
    /// How much goes on at once from now on; `None` is no limit.
    pub(crate) fn limit(&self, limit: Option<NonZeroUsize>) {
        let mut state = self.lock();
        state.limit = limit;
        state.free_since.clear();
        self.freed.notify_all();
    }

    /// Does `work` in a lane, for `latency` at least.
    pub(crate) fn occupy<T>(&self, latency: Duration, work: impl FnOnce() -> T) -> T {
        let over = self.take(Instant::now()) + latency;
        let result = work();
        let over = over.max(Instant::now());
        thread::sleep(over.saturating_duration_since(Instant::now()));
        self.give_back(over);
        result
    }

    /// What they do and have done.
    pub(crate) fn load(&self) -> Load {
        self.lock().load
    }

    /// Counts from zero again.
    pub(crate) fn reset(&self) {
        let load = &mut self.lock().load;
        (load.done, load.most_in_progress) = (0, load.in_progress);
    }

    /// Waits for a lane and returns when the work in it begins.
    fn take(&self, arrived: Instant) -> Instant {
        let mut state = self.lock();
        state.load.waiting += 1;
        while state.limit.is_some_and(|limit| state.load.in_progress >= limit.get()) {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.load.waiting -= 1;
        state.load.in_progress += 1;
        state.load.most_in_progress = state.load.most_in_progress.max(state.load.in_progress);
        state.free_since.pop().map_or(arrived, |Reverse(free)| free.max(arrived))
    }

    fn give_back(&self, since: Instant) {
        let mut state = self.lock();
        state.load.in_progress -= 1;
        state.load.done += 1;
        if state.limit.is_some() {
            state.free_since.push(Reverse(since));
        }
        drop(state);
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(lanes: &Lanes, callers: usize, work: impl Fn() + Sync) {
        thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| lanes.occupy(Duration::from_millis(1), &work));
            }
        });
    }

    #[test]
    fn no_more_is_in_progress_than_there_are_lanes() {
        let lanes = Lanes::default();
        lanes.limit(NonZeroUsize::new(3));
        crowd(&lanes, 20, || assert!(lanes.load().in_progress <= 3));
        let load = lanes.load();
        assert!((load.done, load.in_progress, load.waiting) == (20, 0, 0), "{load:?}");
        assert!(load.most_in_progress <= 3, "{load:?}");
    }

    #[test]
    fn without_a_limit_all_begin_at_once() {
        let lanes = Lanes::default();
        // None gets past the barrier before all five are in a lane.
        let barrier = std::sync::Barrier::new(5);
        crowd(&lanes, 5, || {
            barrier.wait();
        });
        assert_eq!(lanes.load().most_in_progress, 5);
        lanes.reset();
        assert_eq!(lanes.load(), Load::default());
    }
}
