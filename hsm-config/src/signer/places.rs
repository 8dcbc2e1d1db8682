//! Who may have something signed now. OCSP and issuing share the tokens' lanes, and neither can take all of them from
//! the other: a part is kept for each, and each waits in a queue of its own length.
//!
//! A worker has a few calls for each lane, so that no lane waits for the pipe; those are the places. A call's deadline is
//! to tell that the module hangs, so nothing may spend it in a queue: requests wait here instead, by their own deadlines.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::config::Lanes;

/// Enough to keep every lane busy across the pipe, and no more.
pub(super) const CALLS_PER_LANE: usize = 4;

/// What a key is used for, as far as lanes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Certificates and CRLs.
    Issuing,
    /// OCSP responses.
    Ocsp,
}

/// Why a request got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    /// The queue has its length.
    #[error("too many signatures wait for a lane")]
    TooMany,
    /// It waited as long as it could.
    #[error("no lane became free in time")]
    TooLate,
}

/// The places of all tokens together. When a token is away, the others get its share of calls: their lanes then have
/// more to come, which costs a little of each call's deadline and keeps the shares as they are.
#[derive(Debug)]
pub(super) struct Places {
    shared: Semaphore,
    issuing: Queue,
    ocsp: Queue,
}

#[derive(Debug)]
struct Queue {
    kept: Semaphore,
    waiting: AtomicUsize,
    longest: usize,
}

impl Places {
    /// For tokens with these lanes.
    pub(super) fn new(tokens: &[Lanes]) -> Self {
        let sum = |of: fn(&Lanes) -> usize| tokens.iter().map(of).sum::<usize>();
        let kept = |of: fn(&Lanes) -> usize| (sum(of) * CALLS_PER_LANE).max(1);
        let (issuing, ocsp) = (kept(|lanes| lanes.for_issuing.into()), kept(|lanes| lanes.for_ocsp.into()));
        let all = sum(|lanes| lanes.all.into()) * CALLS_PER_LANE;
        let longest = sum(|lanes| lanes.queue.into());
        let queue = |kept| Queue { kept: Semaphore::new(kept), waiting: AtomicUsize::new(0), longest };
        Self {
            shared: Semaphore::new(all.saturating_sub(issuing + ocsp)),
            issuing: queue(issuing),
            ocsp: queue(ocsp),
        }
    }

    /// A place, held until dropped.
    ///
    /// # Errors
    /// When too many wait already, or none becomes free before `end`.
    pub(super) async fn take(&self, wanted: Use, end: Instant) -> Result<SemaphorePermit<'_>, NoPlace> {
        let queue = match wanted {
            Use::Issuing => &self.issuing,
            Use::Ocsp => &self.ocsp,
        };
        if let Ok(place) = queue.kept.try_acquire().or_else(|_| self.shared.try_acquire()) {
            return Ok(place);
        }
        let waiting = Waiting::new(&queue.waiting);
        if waiting.position > queue.longest {
            return Err(NoPlace::TooMany);
        }
        let place = async {
            tokio::select! {
                place = queue.kept.acquire() => place,
                place = self.shared.acquire() => place,
            }
        };
        match timeout_at(end, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(NoPlace::TooLate),
        }
    }

    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        [&self.issuing, &self.ocsp].map(|queue| queue.waiting.load(Ordering::Relaxed)).iter().sum()
    }
}

/// A request that waits for a place, counted until dropped.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    position: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, position: count.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LANES: Lanes = Lanes { all: 3, for_issuing: 1, for_ocsp: 1, queue: 2 };

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    async fn take_all(places: &Places, wanted: Use) -> Vec<SemaphorePermit<'_>> {
        let mut taken = Vec::new();
        while let Ok(place) = places.take(wanted, Instant::now()).await {
            taken.push(place);
        }
        taken
    }

    #[tokio::test]
    async fn neither_takes_what_is_kept_for_the_other() {
        let places = Places::new(&[LANES, LANES]);
        let flood = take_all(&places, Use::Ocsp).await;
        assert_eq!(flood.len(), 2 * 2 * CALLS_PER_LANE);
        let issuing = take_all(&places, Use::Issuing).await;
        assert_eq!(issuing.len(), 2 * CALLS_PER_LANE);
        drop((flood, issuing));
        assert_eq!(take_all(&places, Use::Issuing).await.len(), 2 * 2 * CALLS_PER_LANE);
    }

    #[tokio::test]
    async fn a_single_lane_keeps_a_call_for_each() {
        let places = Places::new(&[Lanes { all: 1, for_issuing: 0, for_ocsp: 0, queue: 2 }]);
        let flood = take_all(&places, Use::Ocsp).await;
        assert_eq!(flood.len(), CALLS_PER_LANE - 1);
        assert!(places.take(Use::Issuing, Instant::now()).await.is_ok());
    }

    #[tokio::test]
    async fn queues_are_bounded_one_by_one_and_a_place_goes_to_who_waits() {
        let places = Places::new(&[LANES]);
        let mut flood = take_all(&places, Use::Ocsp).await;
        let mut first = std::pin::pin!(places.take(Use::Ocsp, soon()));
        let mut second = std::pin::pin!(places.take(Use::Ocsp, soon()));
        assert!(futures::poll!(first.as_mut()).is_pending() && futures::poll!(second.as_mut()).is_pending());
        let refused = places.take(Use::Ocsp, soon()).await.expect_err("the queue is full");
        assert_eq!(refused, NoPlace::TooMany);
        assert_eq!(places.waiting(), 2);
        assert!(places.take(Use::Issuing, soon()).await.is_ok(), "another queue");
        flood.pop();
        let place = first.await.expect("it was the first to wait");
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(place);
        assert!(second.await.is_ok());
    }
}
