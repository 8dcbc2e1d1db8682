//! How the node ends: first it says that it isn't ready and waits for load balancers to notice, then it accepts nothing
//! new and finishes what is under way, and only what takes longer than its deadline is cut off.

use std::sync::{Arc, OnceLock};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Shutdown;

/// The steps of the end, in this order. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    terms: Shutdown,
    /// Not ready any more; answers over HTTP/1.1 close their connections, so that clients come back elsewhere.
    draining: CancellationToken,
    /// Nothing new is accepted.
    closing: CancellationToken,
    /// Nothing is waited for.
    hurried: CancellationToken,
    cut_off: Arc<OnceLock<Instant>>,
}

impl Ending {
    /// Far away.
    pub(crate) fn new(terms: Shutdown) -> Self {
        let token = CancellationToken::new;
        Self { terms, draining: token(), closing: token(), hurried: token(), cut_off: Arc::default() }
    }

    /// Begins the end. Returns when nothing new may be accepted any more.
    pub(crate) async fn begin(&self) {
        self.draining.cancel();
        tokio::select! {
            () = sleep(self.terms.pause) => {}
            () = self.hurried.cancelled() => {}
        }
        self.cut_off.get_or_init(|| Instant::now() + self.terms.deadline);
        self.closing.cancel();
    }

    /// Waits for nothing from now on.
    pub(crate) fn hurry(&self) {
        self.hurried.cancel();
    }

    /// Whether the end has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Until nothing new is accepted.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// What `work` comes to, unless the deadline or the hurry is faster. The deadline counts from the closing.
    pub(crate) async fn grace<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let cut_off = *self.cut_off.get_or_init(|| Instant::now() + self.terms.deadline);
        tokio::select! {
            biased;
            done = work => Some(done),
            () = sleep_until(cut_off) => None,
            () = self.hurried.cancelled() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    const AGES: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn work_has_the_deadline_and_no_second_helping() {
        let ending = Ending::new(Shutdown { pause: Duration::ZERO, deadline: Duration::from_millis(10) });
        assert!(!ending.is_draining());
        ending.begin().await;
        assert!(ending.is_draining());
        ending.closing().await;
        assert_eq!(ending.grace(pending::<()>()).await, None);
        assert_eq!(ending.grace(async { 7 }).await, Some(7), "what is done is taken");
        assert_eq!(ending.grace(pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn hurry_ends_the_pause_and_every_wait() {
        let ending = Ending::new(Shutdown { pause: AGES, deadline: AGES });
        let beginning = tokio::spawn({
            let ending = ending.clone();
            async move { ending.begin().await }
        });
        ending.hurry();
        beginning.await.expect("the pause is over");
        assert_eq!(ending.grace(async { 7 }).await, Some(7));
        assert_eq!(ending.grace(pending::<()>()).await, None);
    }
}
