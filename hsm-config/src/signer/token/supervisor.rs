//! Starts a token's worker, waits until it is gone, and starts the next: at once when it was the first loss for a while,
//! else after a pause that grows, so that a token that stays away isn't stormed with logins.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Shared, State, key::Unproven, pauses::Pauses, telling::Telling};
use crate::{
    clock,
    signer::{
        latch::{Attempt, Begun, Mark, NotBegun, Refused},
        pin::{NoPin, Stamp},
    },
    token::TokenDescription,
    worker::{
        handle::{Launch, StartError, Worker},
        protocol::{Login, Setup, SetupFailureClass},
    },
};

/// The pause where the keys are others than the configuration says, which a human has to mend.
const WRONG: Duration = Duration::from_secs(30);
const LATCH_POLL: Duration = Duration::from_millis(500);

enum StartFailure {
    /// The PIN was refused, which is latched.
    Pin,
    /// It is the PIN that was refused before.
    Same(Stamp),
    /// A key isn't its certificate's, or the token is another configured one.
    Wrong(String),
    /// Custodians are waited for.
    Waiting,
    Other(String),
}

/// Why a token may not be logged in to.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error(transparent)]
    Latch(#[from] NotBegun),
    #[error("the PIN was changed while the module was loaded")]
    Changed,
    #[error(
        "this is the same token as {0:?}, by its serial number: two workers on one token are no second token; remove \
         one from the configuration and raise lanes instead"
    )]
    Twice(String),
}

pub(super) async fn supervise(shared: Arc<Shared>) {
    tokio::select! {
        () = watch_worker(&shared) => {}
        () = shared.stopping.cancelled() => {}
    }
}

async fn watch_worker(shared: &Shared) {
    let token = shared.config.name.as_str();
    let (mut pauses, mut telling) = (Pauses::default(), Telling::default());
    loop {
        wait_for_latch(shared).await;
        wait_for_custodians(shared).await;
        shared.set_state(State::Starting);
        let (state, pause) = match start(shared).await {
            Ok(worker) => {
                let since = Instant::now();
                tracing::info!(token, process = worker.process_id(), "the worker is ready, every key signs");
                shared.set_state(State::Ready(worker.clone()));
                telling.over();
                let reason = worker.gone().await;
                tracing::error!(token, %reason, "the worker is gone");
                // It did sign: whoever asks meanwhile does well to wait.
                (State::Starting, pauses.after_loss(since.elapsed()))
            }
            // The latch is set, or custodians are needed anew: both are waited for at the top.
            Err(StartFailure::Pin | StartFailure::Waiting) => continue,
            Err(StartFailure::Same(stamp)) => {
                wait_for_another_pin(shared, &stamp).await;
                continue;
            }
            Err(StartFailure::Wrong(reason)) => (State::Down(reason), WRONG),
            Err(StartFailure::Other(reason)) => (State::Down(reason), pauses.after_failure()),
        };
        if let State::Down(reason) = &state
            && let Some(untold) = telling.due(reason, Instant::now())
        {
            tracing::error!(token, %reason, ?pause, untold, "the token can't be used; trying again");
        }
        shared.set_state(state);
        sleep(pause).await;
    }
}

async fn start(shared: &Shared) -> Result<Worker, StartFailure> {
    let config = &shared.config;
    let (pin, stamp) = config.supply.take()?;
    let mark = shared.latch.mark(&pin).await.map_err(|error| {
        StartFailure::Other(format!("what is known about logins can't be read or written down: {error}"))
    })?;
    let lanes = config.lanes.all;
    let login = Login { token: config.token.clone(), pin, lanes, queue: shared.calls };
    let setup = Setup { module: config.access.module.clone(), login: Some(login) };
    let launch = Launch::this_program(config.access.clone());
    shared.starts.fetch_add(1, Ordering::Relaxed);
    let mut permitted = None;
    let permit = |token: &TokenDescription| {
        let begun = begin(shared, token, &stamp, mark);
        let answer = begun.as_ref().map(drop).map_err(|denied| io::Error::other(denied.to_string()));
        permitted = Some(begun);
        answer
    };
    let started = Worker::start_permitting(&launch, setup, config.start_deadline, permit).await;
    let begun = match permitted {
        Some(Err(denied)) => return Err(StartFailure::denied(&denied, stamp)),
        Some(Ok(begun)) => Some(begun),
        None => None,
    };
    let worker = match started {
        Ok(worker) => {
            ended(shared, begun, Begun::accepted);
            worker
        }
        Err(error) => return Err(start_failed(shared, error, begun)),
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

/// The last look before the token sees the PIN.
fn begin(shared: &Shared, token: &TokenDescription, stamp: &Stamp, mark: Mark) -> Result<Begun, Denied> {
    let config = &shared.config;
    shared.claims.claim(&config.name, &config.access, token).map_err(Denied::Twice)?;
    if config.supply.stamp().as_ref() != Ok(stamp) {
        return Err(Denied::Changed);
    }
    Ok(shared.latch.begin(clock::now(), Attempt::new(token, mark))?)
}

impl StartFailure {
    fn denied(denied: &Denied, stamp: Stamp) -> Self {
        match denied {
            Denied::Latch(NotBegun::Latched(_)) => Self::Pin,
            Denied::Latch(NotBegun::Same) => Self::Same(stamp),
            Denied::Twice(_) => Self::Wrong(denied.to_string()),
            Denied::Changed | Denied::Latch(NotBegun::Busy | NotBegun::Unwritable(_)) => {
                Self::Other(denied.to_string())
            }
        }
    }
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
fn start_failed(shared: &Shared, error: StartError, begun: Option<Begun>) -> StartFailure {
    match error {
        StartError::Setup(failure) => match failure.class {
            SetupFailureClass::PinIncorrect | SetupFailureClass::PinLocked => {
                let latched = latch(shared, &failure.to_string());
                ended(shared, begun, |begun| begun.refused(latched));
                StartFailure::Pin
            }
            // It stays begun, and the latch decides what that means.
            SetupFailureClass::LoginUnclear => StartFailure::Other(failure.to_string()),
            SetupFailureClass::TokenAbsent | SetupFailureClass::ModuleLoad | SetupFailureClass::Other => {
                ended(shared, begun, Begun::unjudged);
                StartFailure::Other(failure.to_string())
            }
        },
        // Likewise, if the worker died or hung in the login.
        StartError::Died(_) | StartError::Timeout(_) | StartError::Forbidden(_) => {
            StartFailure::Other(error.to_string())
        }
        StartError::Spawn(source) => StartFailure::Other(format!("the worker can't be started: {source}")),
    }
}

fn ended(shared: &Shared, begun: Option<Begun>, how: impl FnOnce(Begun) -> io::Result<()>) {
    if let Some(Err(error)) = begun.map(how) {
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
                "{detail}. First {}; then run `inro-hsm latch clear --config <signer.toml>`",
                shared.config.supply.remedy()
            );
            tracing::error!(token = shared.config.name, %remedy, "locked out");
            shared.set_state(State::LockedOut(remedy));
        }
        sleep(LATCH_POLL).await;
    }
}

/// Returns when the PIN may be another than the one that was refused, or may be given again.
async fn wait_for_another_pin(shared: &Shared, refused: &Stamp) {
    let supply = &shared.config.supply;
    let remedy = format!(
        "this is the same PIN as the one that was refused, so it isn't given again: {}. If the PIN is right and the token \
         was put right instead, run `inro-hsm latch clear --same-pin --config <signer.toml>`",
        supply.remedy()
    );
    tracing::error!(token = shared.config.name, %remedy, "locked out");
    shared.set_state(State::LockedOut(remedy));
    let version = shared.latch.version();
    while supply.stamp().as_ref() == Ok(refused) && shared.latch.version() == version {
        sleep(LATCH_POLL).await;
    }
}
