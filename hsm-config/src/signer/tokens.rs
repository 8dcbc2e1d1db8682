//! All tokens behind the signer. They hold the same keys; requests are spread over those that are ready, and what one
//! fails to sign another signs within the caller's deadline.
//!
//! A signature that was asked for and not answered may have been made all the same. It is worth nothing: it can reach
//! nobody, because whoever waited for it has stopped waiting and the worker is ended; and the message is signed again
//! only by the same request, which still holds its intent and serial number. So one signature leaves, and the journal
//! has that one (`ca/docs/decisions/0021-unanswered-signatures.md`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use signer_protocol::message::{Timing, TokenState, TokenStatus};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    config::{Lanes, Token as TokenConfig},
    places::{CALLS_PER_LANE, Places},
    token::{Claims, Made, State, Token, TokenError, TokenKey},
};
use crate::worker::handle::Worker;

/// How long a request waits for a worker that is being started.
const PATIENCE: Duration = Duration::from_secs(3);
/// Calls that may ask a worker how it is, besides those that have a place.
const PROBES: usize = 64;

/// A handle on the tokens; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tokens: Vec<Token>,
    keys: Arc<[TokenKey]>,
    places: Places,
    changes: watch::Sender<u64>,
    /// Among equals each has its turn.
    turn: AtomicUsize,
}

/// How they are, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Overall {
    /// One at least is ready.
    Ready,
    /// None is, and one is being started.
    Starting,
    /// All are away.
    Down(String),
    /// All have their PIN latched.
    LockedOut(String),
}

/// What all of them have to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) lanes: u32,
    pub(super) busy: u32,
    pub(super) queued: u32,
}

/// A signature that verifies, and what it took; `queued_us` has all the time that wasn't spent in the lane or on
/// checking.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) octets: Vec<u8>,
    pub(super) timing: Timing,
}

/// Microseconds as [`Timing`] has them.
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

impl Tokens {
    /// Begins to start their workers.
    pub(super) fn new(configs: Vec<TokenConfig>, keys: Vec<TokenKey>) -> Self {
        let (keys, changes): (Arc<[TokenKey]>, _) = (keys.into(), watch::Sender::new(0));
        let lanes: Vec<Lanes> = configs.iter().map(|config| config.lanes).collect();
        let places = Places::new(&lanes);
        // While other tokens are away, one has their share of calls as well; and somebody may ask how it is.
        let calls = lanes.iter().map(|lanes| usize::from(lanes.all) * CALLS_PER_LANE).sum::<usize>();
        let calls = u16::try_from(calls + PROBES).unwrap_or(u16::MAX);
        let claims = Arc::<Claims>::default();
        let start =
            |config| Token::new(config, Arc::clone(&keys), calls, changes.clone(), Arc::clone(&claims));
        let tokens = configs.into_iter().map(start).collect();
        Self { shared: Arc::new(Shared { tokens, keys, places, changes, turn: AtomicUsize::new(0) }) }
    }

    /// Told whenever one of them changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The keys, in order of configuration.
    pub(super) fn keys(&self) -> &[TokenKey] {
        &self.shared.keys
    }

    /// How they are.
    pub(super) fn overall(&self) -> Overall {
        let (mut starting, mut locked_out, mut troubles) = (false, true, Vec::new());
        for token in &self.shared.tokens {
            match token.state() {
                State::Ready(_) => return Overall::Ready,
                State::Starting => starting = true,
                State::Down(reason) => {
                    locked_out = false;
                    troubles.push(self.of(token, &reason));
                }
                State::LockedOut(remedy) => troubles.push(self.of(token, &remedy)),
            }
        }
        let troubles = troubles.join("; ");
        match (starting, locked_out) {
            (true, _) => Overall::Starting,
            (false, true) => Overall::LockedOut(troubles),
            (false, false) => Overall::Down(troubles),
        }
    }

    /// Waits until they are no longer all on their way: one is ready, or none will soon be.
    pub(super) async fn settled(&self) {
        let mut changes = self.changes();
        while self.overall() == Overall::Starting {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Signs with whichever token can, and checks the signature against the key's certificate. After `end` no further
    /// token is asked; the last one is waited for, since that is how a hanging module is found out, for as long as it may
    /// take for one signature.
    ///
    /// # Errors
    /// When no token signed it in time. Nothing that was signed meanwhile has left or will.
    pub(super) async fn sign(
        &self,
        key: &TokenKey,
        message: &[u8],
        end: Instant,
    ) -> Result<Signature, TokenError> {
        let asked = Instant::now();
        let _place = self.shared.places.take(key.used_for, end).await?;
        let mut failed: Vec<usize> = Vec::new();
        let mut last = None;
        // Once more than there are tokens: where there is one, a lost login or a session that died is mended by its next
        // worker. No oftener: a message that kills modules shall not kill many.
        while failed.len() <= self.shared.tokens.len() {
            let (number, worker) = match self.choose(&failed, end).await {
                Ok(chosen) => chosen,
                Err(TokenError::Unavailable(reason)) => {
                    let first = last.map_or_else(String::new, |last| format!("{last}; then: "));
                    return Err(TokenError::Unavailable(first + &reason));
                }
                Err(locked_out) => return Err(locked_out),
            };
            let token = &self.shared.tokens[number];
            match token.sign(&worker, key, message).await {
                Ok(Made { octets, took }) => {
                    let (queued_us, signed_us) = (micros(asked.elapsed().saturating_sub(took)), micros(took));
                    return Ok(Signature {
                        octets,
                        timing: Timing { queued_us, signed_us, journaled_us: 0 },
                    });
                }
                Err(error) => {
                    last = Some(self.of(token, &error.to_string()));
                    failed.push(number);
                }
            }
            // The caller was told to ask again: its place is for those who still wait.
            if Instant::now() >= end {
                break;
            }
        }
        Err(TokenError::Unavailable(last.unwrap_or_default()))
    }

    /// A token that is ready, waiting a little when one is being started: the least busy one, and one that failed this
    /// message already only when no other is ready.
    async fn choose(&self, failed: &[usize], end: Instant) -> Result<(usize, Worker), TokenError> {
        let mut changes = self.changes();
        let patience = end.min(Instant::now() + PATIENCE);
        loop {
            if let Some(chosen) = self.least_busy(failed) {
                return Ok(chosen);
            }
            match self.overall() {
                // One became ready in between.
                Overall::Ready => continue,
                Overall::Starting => {}
                Overall::Down(reason) => return Err(TokenError::Unavailable(reason)),
                Overall::LockedOut(remedy) => return Err(TokenError::LockedOut(remedy)),
            }
            match timeout_at(patience, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(TokenError::Unavailable("the worker is being started".to_owned())),
            }
        }
    }

    fn least_busy(&self, failed: &[usize]) -> Option<(usize, Worker)> {
        let tokens = &self.shared.tokens;
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let ready = (0..tokens.len()).filter_map(|step| {
            let number = turn.wrapping_add(step) % tokens.len();
            tokens[number].ready().map(|(worker, load)| ((failed.contains(&number), load), number, worker))
        });
        ready.min_by_key(|(rank, _, _)| *rank).map(|(_, number, worker)| (number, worker))
    }

    /// Has every key sign on every token: what is wrong with each key, if no token signs with it, and how each token is.
    pub(super) async fn status(&self, end: Instant) -> (Vec<Option<String>>, Vec<TokenStatus>) {
        let patience = end.min(Instant::now() + PATIENCE);
        // Only where nothing else can be told is it worth waiting.
        let _ = timeout_at(patience, self.settled()).await;
        let probes = self.shared.tokens.iter().map(Token::probe);
        let troubles = futures::future::join_all(probes).await;
        let keys = (0..self.shared.keys.len()).map(|key| {
            let of_token = |(token, troubles): (&Token, &Vec<Option<String>>)| {
                troubles[key].as_ref().map(|trouble| self.of(token, trouble))
            };
            let all: Option<Vec<String>> = self.shared.tokens.iter().zip(&troubles).map(of_token).collect();
            all.map(|troubles| troubles.join("; "))
        });
        let tokens =
            self.shared.tokens.iter().zip(&troubles).map(|(token, troubles)| status(token, troubles));
        (keys.collect(), tokens.collect())
    }

    /// What they have to do.
    pub(super) fn load(&self) -> Load {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut load = Load { lanes: 0, busy: 0, queued: count(self.shared.places.waiting()) };
        for token in &self.shared.tokens {
            let (lanes, in_flight) = (u32::from(token.lanes()), count(token.in_flight()));
            load.lanes += lanes;
            load.busy += in_flight.min(lanes);
            load.queued += in_flight.saturating_sub(lanes);
        }
        load
    }

    /// Workers that were started after each token's first.
    pub(super) fn restarts(&self) -> u64 {
        self.shared.tokens.iter().map(Token::restarts).sum()
    }

    /// Ends the workers, letting them finish what they have.
    pub(super) async fn stop(&self) {
        futures::future::join_all(self.shared.tokens.iter().map(Token::stop)).await;
    }

    /// With the token's name, where there is more than one.
    fn of(&self, token: &Token, trouble: &str) -> String {
        match self.shared.tokens.len() {
            1 => trouble.to_owned(),
            _ => format!("token {:?}: {trouble}", token.name()),
        }
    }
}

fn status(token: &Token, troubles: &[Option<String>]) -> TokenStatus {
    let trouble = troubles.iter().flatten().next().cloned();
    let state = match token.state() {
        State::Ready(_) if trouble.is_none() => TokenState::Ready,
        State::LockedOut(_) => TokenState::LockedOut,
        State::Starting => TokenState::Starting,
        State::Ready(_) | State::Down(_) => TokenState::Down,
    };
    TokenStatus { name: token.name().to_owned(), state, trouble, worker_restarts: token.restarts() }
}
