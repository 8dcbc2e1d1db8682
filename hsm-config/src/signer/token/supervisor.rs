//! Starts a token's worker, waits until it is gone, and starts the next: at once when it was the first loss for a while,
//! else after a pause that grows, so that a token that stays away isn't stormed with logins.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Shared, State, key::Unproven};
use crate::{
    signer::{
        clock,
        latch::{Outcome, Refused},
        pin::NoPin,
    },
    worker::{
        handle::{Launch, StartError, Worker},
        protocol::{Login, Setup, SetupFailureClass},
    },
};

const BACK_OFF_FIRST: Duration = Duration::from_millis(200);
/// Together with a start this is how long a token that works again waits to be used.
const BACK_OFF_LAST: Duration = Duration::from_secs(2);
/// The same where the keys are others than the configuration says, which a human has to mend.
const BACK_OFF_WRONG: Duration = Duration::from_secs(30);
/// A worker that lived so long is started again without back-off.
const STEADY: Duration = Duration::from_secs(2);
const LATCH_POLL: Duration = Duration::from_millis(500);

enum StartFailure {
    /// The PIN was refused, which is latched.
    Pin,
    /// A key isn't its certificate's.
    Wrong(String),
    /// Custodians are waited for.
    Waiting,
    Other(String),
}

pub(super) async fn supervise(shared: Arc<Shared>) {
    tokio::select! {
        () = watch_worker(&shared) => {}
        () = shared.stopping.cancelled() => {}
    }
}

async fn watch_worker(shared: &Shared) {
    let token = shared.config.name.as_str();
    let mut back_off = BACK_OFF_FIRST;
    loop {
        wait_for_latch(shared).await;
        wait_for_custodians(shared).await;
        shared.set_state(State::Starting);
        let (state, pause) = match start(shared).await {
            Ok(worker) => {
                let since = Instant::now();
                tracing::info!(token, process = worker.process_id(), "the worker is ready, every key signs");
                shared.set_state(State::Ready(worker.clone()));
                let reason = worker.gone().await;
                tracing::error!(token, %reason, "the worker is gone");
                if since.elapsed() >= STEADY {
                    back_off = BACK_OFF_FIRST;
                }
                // The first loss costs no wait.
                if back_off == BACK_OFF_FIRST {
                    back_off *= 2;
                    continue;
                }
                // It did sign: whoever asks meanwhile does well to wait.
                (State::Starting, back_off)
            }
            // The latch is set, or custodians are needed anew: both are waited for at the top.
            Err(StartFailure::Pin | StartFailure::Waiting) => continue,
            Err(StartFailure::Wrong(reason)) => (State::Down(reason), BACK_OFF_WRONG),
            Err(StartFailure::Other(reason)) => (State::Down(reason), back_off),
        };
        if let State::Down(reason) = &state {
            tracing::error!(token, %reason, ?pause, "the token can't be used; trying again");
        }
        shared.set_state(state);
        sleep(pause).await;
        back_off = (back_off * 2).min(BACK_OFF_LAST);
    }
}

async fn start(shared: &Shared) -> Result<Worker, StartFailure> {
    let config = &shared.config;
    let of = format!("{} of {}", config.token, config.access.module.display());
    let (pin, attempt) = config.supply.take(of)?;
    let lanes = config.lanes.all;
    let login = Login { token: config.token.clone(), pin, lanes, queue: shared.calls };
    let setup = Setup { module: config.access.module.clone(), login: Some(login) };
    let launch = Launch::this_program(config.access.clone());
    shared.starts.fetch_add(1, Ordering::Relaxed);
    let permit = || shared.latch.begin(clock::now(), attempt);
    let started = Worker::start_permitting(&launch, setup, config.start_deadline, permit).await;
    let worker = match started {
        Ok(worker) => {
            login_ended(shared, Outcome::Accepted);
            worker
        }
        Err(error) => return Err(start_failed(shared, error)),
    };
    for key in shared.keys.iter() {
        if let Err(unproven) = key.prove(&worker, config.sign_deadline).await {
            let reason = unproven.to_string();
            worker.retire(&reason);
            worker.gone().await;
            return Err(match unproven {
                Unproven::Another { .. } => StartFailure::Wrong(reason),
                Unproven::Fails { .. } => StartFailure::Other(reason),
            });
        }
    }
    Ok(worker)
}

impl From<NoPin> for StartFailure {
    fn from(failure: NoPin) -> Self {
        match failure {
            NoPin::Waiting(_) => Self::Waiting,
            NoPin::Other(reason) => Self::Other(reason),
        }
    }
}

/// Returns when nothing is waited for that custodians have to give. What is, is the token's state.
async fn wait_for_custodians(shared: &Shared) {
    let mut told = None;
    while let Some(what) = shared.config.supply.waits_for() {
        if told.as_ref() != Some(&what) {
            tracing::warn!(token = shared.config.name, "{what}");
            shared.set_state(State::Down(what.clone()));
            told = Some(what);
        }
        shared.config.supply.changed().await;
    }
}

/// What a failed start means for the latch and for the next start.
fn start_failed(shared: &Shared, error: StartError) -> StartFailure {
    match error {
        StartError::Setup(failure) => match failure.class {
            SetupFailureClass::PinIncorrect | SetupFailureClass::PinLocked => {
                // If the latch can't be written, the login stays begun, which latches as well.
                if latch(shared, &failure.to_string()) {
                    login_ended(shared, Outcome::Settled);
                }
                StartFailure::Pin
            }
            // It stays begun, and the latch decides what that means.
            SetupFailureClass::LoginUnclear => StartFailure::Other(failure.to_string()),
            SetupFailureClass::TokenAbsent | SetupFailureClass::ModuleLoad | SetupFailureClass::Other => {
                login_ended(shared, Outcome::Settled);
                StartFailure::Other(failure.to_string())
            }
        },
        // Likewise, if the worker died or hung in the login.
        StartError::Died(_) | StartError::Timeout(_) => StartFailure::Other(error.to_string()),
        StartError::Spawn(source) => StartFailure::Other(format!("the worker can't be started: {source}")),
        StartError::Forbidden(source) => {
            StartFailure::Other(format!("that a login begins can't be written down: {source}"))
        }
    }
}

fn login_ended(shared: &Shared, outcome: Outcome) {
    if let Err(error) = shared.latch.ended(outcome) {
        let token = shared.config.name.as_str();
        tracing::error!(
            token, %error,
            "that a login ended can't be written down: a restarted signer may be locked out"
        );
    }
}

/// Latches a refused PIN; false if the disk doesn't take it and only this process remembers.
pub(super) fn latch(shared: &Shared, detail: &str) -> bool {
    let token = shared.config.name.as_str();
    let refused = Refused { at: clock::now(), detail: detail.to_owned() };
    tracing::error!(token, detail, latch = %shared.latch.path().display(), "the PIN was refused: locked out");
    let set = shared.latch.set(&refused);
    if let Err(error) = &set {
        tracing::error!(
            token, %error,
            "the latch can't be written: locked out until this process is ended by hand"
        );
    }
    set.is_ok()
}

/// Returns when the latch isn't set.
async fn wait_for_latch(shared: &Shared) {
    let mut told = false;
    loop {
        let detail = match shared.latch.read() {
            Ok(None) => return,
            Ok(Some(refused)) => format!("the PIN was refused at {}: {}", refused.at, refused.detail),
            Err(error) => format!("the PIN latch can't be read: {error}"),
        };
        if !told {
            told = true;
            let remedy = format!(
                "{detail}. Correct the PIN file, then run `inro-hsm latch clear --config <signer.toml>`"
            );
            tracing::error!(token = shared.config.name, %remedy, "locked out");
            shared.set_state(State::LockedOut(remedy));
        }
        sleep(LATCH_POLL).await;
    }
}
