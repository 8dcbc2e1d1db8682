//! How much a machine may ask at a time: requests under way, entries being worked on, entries a second. Every machine
//! has its own, so that one that runs wild keeps no other from its work.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use ca_core::domain::ids::MachineId;
use ca_wire::{machine::MAX_ENTRIES, problem::Code};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::problem::Refused;

type Rate = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The limits of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Requests under way.
    pub(crate) requests: usize,
    /// Entries being worked on; others wait.
    pub(crate) entries: usize,
    /// Entries a second on average; for a moment as many at once.
    pub(crate) entries_per_second: NonZeroU32,
}

/// A machine's way in.
pub(crate) struct Gate {
    requests: Arc<Semaphore>,
    entries: Arc<Semaphore>,
    rate: Rate,
    clock: MonotonicClock,
}

impl Gate {
    fn new(limits: &Limits) -> Self {
        // A whole batch must fit.
        let batch = u32::try_from(MAX_ENTRIES).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::per_second(limits.entries_per_second).allow_burst(limits.entries_per_second.max(batch));
        Self {
            requests: Arc::new(Semaphore::new(limits.requests)),
            entries: Arc::new(Semaphore::new(limits.entries)),
            rate: RateLimiter::direct_with_clock(quota, MonotonicClock),
            clock: MonotonicClock,
        }
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.requests.clone().try_acquire_owned().ok()
    }

    /// Waits for the turn of an entry.
    pub(super) async fn turn(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.entries.clone().acquire_owned().await.ok()
    }

    /// Charges so many entries, or says how long to wait.
    pub(super) fn charge(&self, entries: usize) -> Result<(), Duration> {
        let entries = u32::try_from(entries).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        match self.rate.check_n(entries) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            // More than ever fit at once, which the limit of entries in a batch rules out.
            Err(_) => Err(Duration::from_mins(1)),
        }
    }
}

/// The gates of all machines.
pub(crate) struct Gates(HashMap<MachineId, Arc<Gate>>);

impl Gates {
    pub(crate) fn new<'a>(machines: impl IntoIterator<Item = (&'a MachineId, &'a Limits)>) -> Self {
        let gate = |(id, limits): (&MachineId, &Limits)| (id.clone(), Arc::new(Gate::new(limits)));
        Self(machines.into_iter().map(gate).collect())
    }

    /// A machine's gate.
    pub(super) fn of(&self, machine: &MachineId) -> Result<Arc<Gate>, Refused> {
        let gate = self.0.get(machine).cloned();
        gate.ok_or_else(|| Refused::new(Code::Internal).because("Tell the help desk the support ID."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(requests: usize, entries_per_second: u32) -> Gate {
        let entries_per_second = NonZeroU32::new(entries_per_second).expect("not zero");
        Gate::new(&Limits { requests, entries: 1, entries_per_second })
    }

    #[test]
    fn places_are_free_again_when_they_are_given_back() {
        let gate = gate(2, 1);
        let (first, second) = (gate.enter(), gate.enter());
        assert!(first.is_some() && second.is_some() && gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn a_whole_batch_fits_and_then_the_rate_holds() {
        let gate = gate(1, 1);
        assert_eq!(gate.charge(MAX_ENTRIES), Ok(()));
        let wait = gate.charge(MAX_ENTRIES).expect_err("too fast");
        assert!(wait > Duration::from_secs(90) && wait <= Duration::from_secs(100), "{wait:?}");
    }
}
