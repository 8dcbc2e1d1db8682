//! One token of the signer: one worker at a time, watched. Whatever happens to it (it hangs, crashes, loses its device or
//! its login, or signs wrongly) there is one way back: end it and start another, which must prove every key by signing
//! before it is used. A refused PIN is latched, and from then on nothing logs in until a human has cleared the latch.
//!
//! Which token signs what, and what becomes of a signature that one fails to make, is decided in
//! [`tokens`](super::tokens).

mod claims;
mod key;
mod pauses;
mod supervisor;
mod telling;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{config::Token as TokenConfig, latch::Latch, places::NoPlace};
use crate::worker::{handle::Worker, protocol::ErrorClass};

pub(super) use claims::Claims;
use key::SignFailure;
pub(super) use key::{Made, TokenKey};
pub(super) use telling::Telling;

/// How long a worker may take to end by itself when the signer stops.
const STOP: Duration = Duration::from_secs(5);

/// Why there is no signature. None left the process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    LockedOut(String),
}

impl From<NoPlace> for TokenError {
    fn from(none: NoPlace) -> Self {
        Self::Unavailable(none.to_string())
    }
}

/// How a token is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// A worker is being started; waiting may help.
    Starting,
    /// It proved all keys.
    Ready(Worker),
    /// The last start failed; the next one comes later.
    Down(String),
    /// The PIN is latched.
    LockedOut(String),
}

/// A handle on a token; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Token {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: TokenConfig,
    keys: Arc<[TokenKey]>,
    /// Calls that the worker may have at once.
    calls: u16,
    latch: Latch,
    state: watch::Sender<State>,
    /// Counted up at each change of this token's state or another's.
    changes: watch::Sender<u64>,
    claims: Arc<Claims>,
    starts: AtomicU64,
    stopping: CancellationToken,
}

impl Token {
    /// Begins to start a worker and to watch it.
    pub(super) fn new(
        config: TokenConfig,
        keys: Arc<[TokenKey]>,
        calls: u16,
        changes: watch::Sender<u64>,
        claims: Arc<Claims>,
    ) -> Self {
        let shared = Arc::new(Shared {
            latch: Latch::new(config.latch.clone()),
            config,
            keys,
            calls,
            state: watch::Sender::new(State::Starting),
            changes,
            claims,
            starts: AtomicU64::new(0),
            stopping: CancellationToken::new(),
        });
        tokio::spawn(supervisor::supervise(Arc::clone(&shared)));
        Self { shared }
    }

    /// What the configuration calls it.
    pub(super) fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// How it is.
    pub(super) fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// The worker, when it is ready, and how much it has for each of its lanes, in thousandths.
    pub(super) fn ready(&self) -> Option<(Worker, usize)> {
        match &*self.shared.state.borrow() {
            State::Ready(worker) => {
                let load = worker.in_flight() * 1000 / usize::from(self.lanes()).max(1);
                Some((worker.clone(), load))
            }
            _ => None,
        }
    }

    /// Workers started after the first.
    pub(super) fn restarts(&self) -> u64 {
        self.shared.starts.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Its lanes.
    pub(super) fn lanes(&self) -> u16 {
        self.shared.config.lanes.all
    }

    /// Signatures that its worker has and hasn't made.
    pub(super) fn in_flight(&self) -> usize {
        match &*self.shared.state.borrow() {
            State::Ready(worker) => worker.in_flight(),
            _ => 0,
        }
    }

    /// Signs with a worker that was [ready](Self::ready), and checks the signature against the key's certificate.
    ///
    /// # Errors
    /// With the reason. Unless it was only busy, the worker gets nothing more to do, and what it may still sign reaches
    /// nobody.
    pub(super) async fn sign(
        &self,
        worker: &Worker,
        key: &TokenKey,
        message: &[u8],
    ) -> Result<Made, TokenError> {
        let made = key.sign(worker, message, self.shared.config.sign_deadline).await;
        made.map_err(|failure| self.give_up(worker, &failure))
    }

    /// Has every key sign now. What was wrong with each, in the order of the keys.
    pub(super) async fn probe(&self) -> Vec<Option<String>> {
        let worker = match self.state() {
            State::Ready(worker) => worker,
            State::Starting => return self.all("the worker is being started"),
            State::Down(reason) => return self.all(&reason),
            State::LockedOut(remedy) => return self.all(&remedy),
        };
        let limit = self.shared.config.sign_deadline;
        let probes = self.shared.keys.iter().map(|key| key.probe(&worker, limit));
        let failures = futures::future::join_all(probes).await;
        let told = |probe: Result<(), SignFailure>| {
            probe.err().map(|failure| self.give_up(&worker, &failure).to_string())
        };
        failures.into_iter().map(told).collect()
    }

    fn all(&self, trouble: &str) -> Vec<Option<String>> {
        vec![Some(trouble.to_owned()); self.shared.keys.len()]
    }

    /// Decides what a failed signature means for the worker.
    fn give_up(&self, worker: &Worker, failure: &SignFailure) -> TokenError {
        let class = failure.class();
        if class == ErrorClass::Lockout {
            // The next start finds the latch set and logs in to nothing.
            supervisor::latch(&self.shared, &failure.to_string());
        }
        if class != ErrorClass::Busy {
            tracing::error!(token = self.name(), %failure, "a signature failed: the worker is restarted");
            worker.retire(&failure.to_string());
            // Whoever asks from now on takes another token, or waits for the next worker.
            let given_up = self.shared.state.send_if_modified(|state| match state {
                State::Ready(current) if current.process_id() == worker.process_id() => {
                    *state = State::Starting;
                    true
                }
                _ => false,
            });
            if given_up {
                self.shared.tell();
            }
        }
        TokenError::Unavailable(failure.to_string())
    }

    /// Ends the worker, letting it finish what it has.
    pub(super) async fn stop(&self) {
        self.shared.stopping.cancel();
        let state = self.shared.state.send_replace(State::Down("the signer is stopping".to_owned()));
        self.shared.tell();
        if let State::Ready(worker) = state {
            let _ = tokio::time::timeout(STOP, worker.stop()).await;
        }
    }
}

impl Shared {
    fn set_state(&self, state: State) {
        if !self.stopping.is_cancelled() {
            self.state.send_replace(state);
            self.tell();
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
