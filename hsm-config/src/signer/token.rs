//! The token behind the signer: one worker at a time, watched. Whatever happens to it (it hangs, crashes, loses its
//! device, or signs wrongly) there is one way back: kill it and start another, which must prove every key by signing
//! before it is used.
//!
//! While it is away, callers wait a moment and are then told so; they never hang. A refused PIN is latched, and from
//! then on nothing logs in until a human has cleared the latch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ca_x509::{SignatureAlgorithm, verify::verify};
use signer_protocol::message::{KeyLabel, Timing};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{
    clock,
    config::Token as TokenConfig,
    latch::{Attempt, Latch, Outcome, Refused},
};
use crate::{
    token::{KeyId, Pin, SignatureMechanism},
    worker::{
        handle::{CallError, Launch, StartError, Worker},
        protocol::{ErrorClass, Login, Setup, SetupFailureClass},
    },
};

/// How long a request waits for a worker that is being started.
const PATIENCE: Duration = Duration::from_secs(3);
const BACK_OFF_FIRST: Duration = Duration::from_millis(200);
const BACK_OFF_LAST: Duration = Duration::from_secs(5);
/// A worker that lived so long is started again without back-off.
const STEADY: Duration = Duration::from_secs(2);
/// Enough to keep every lane busy across the pipe, and no more.
const CALLS_PER_LANE: usize = 4;
const LATCH_POLL: Duration = Duration::from_millis(500);
/// What a key signs to prove itself. It begins no DER structure, so the signature is good for nothing else.
const PROOF: &[u8] = b"Inro signer proves that this key signs";

/// A key on the token, as its certificate describes it.
#[derive(Clone, Debug)]
pub(super) struct TokenKey {
    pub(super) label: KeyLabel,
    pub(super) id: KeyId,
    pub(super) public_key: SubjectPublicKeyInfoOwned,
    pub(super) public_key_der: Vec<u8>,
    pub(super) algorithm: SignatureAlgorithm,
}

impl TokenKey {
    fn mechanism(&self) -> SignatureMechanism {
        match self.algorithm {
            SignatureAlgorithm::EcdsaSha384 => SignatureMechanism::EcdsaP384Sha384,
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha512 => {
                SignatureMechanism::EcdsaP256Sha256
            }
            SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha384 | SignatureAlgorithm::RsaSha512 => {
                SignatureMechanism::RsaPkcs1Sha256
            }
        }
    }
}

/// Why there is no signature. None left the process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    LockedOut(String),
}

/// How the token is.
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

/// A handle on the token; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Token {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: TokenConfig,
    keys: Vec<TokenKey>,
    latch: Latch,
    state: watch::Sender<State>,
    starts: AtomicU64,
    /// What the worker has at once. A call's deadline is to tell that the module hangs, so nothing may spend it in a
    /// queue: requests wait here instead, by their own deadlines.
    in_worker: Semaphore,
    waiting: AtomicUsize,
    stopping: CancellationToken,
}

enum StartFailure {
    /// The PIN was refused, which is latched.
    Pin,
    Other(String),
}

impl Token {
    /// Begins to start a worker and to watch it.
    pub(super) fn new(config: TokenConfig, keys: Vec<TokenKey>, latch: Latch) -> Self {
        let depth = usize::from(config.lanes) * CALLS_PER_LANE;
        let shared = Arc::new(Shared {
            config,
            keys,
            latch,
            state: watch::Sender::new(State::Starting),
            starts: AtomicU64::new(0),
            in_worker: Semaphore::new(depth),
            waiting: AtomicUsize::new(0),
            stopping: CancellationToken::new(),
        });
        tokio::spawn(supervise(Arc::clone(&shared)));
        Self { shared }
    }

    /// Follows the state.
    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The keys on it.
    pub(super) fn keys(&self) -> &[TokenKey] {
        &self.shared.keys
    }

    /// Workers started after the first.
    pub(super) fn restarts(&self) -> u64 {
        self.shared.starts.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Lanes in all.
    pub(super) fn lanes(&self) -> u16 {
        self.shared.config.lanes
    }

    /// Signatures that are not finished, waiting ones included.
    pub(super) fn in_flight(&self) -> usize {
        let in_worker = match &*self.shared.state.borrow() {
            State::Ready(worker) => worker.in_flight(),
            _ => 0,
        };
        in_worker + self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Signs, and checks the signature against the key's certificate.
    pub(super) async fn sign(
        &self,
        key: &TokenKey,
        message: &[u8],
        end: Instant,
    ) -> Result<Signature, TokenError> {
        let asked = Instant::now();
        let _place = self.place(end).await?;
        let worker = self.worker(end).await?;
        let limit = self.shared.config.sign_deadline;
        match sign_checked(&worker, key, message, limit).await {
            Ok((octets, in_lane)) => {
                let (queued_us, signed_us) =
                    (micros(asked.elapsed().saturating_sub(in_lane)), micros(in_lane));
                Ok(Signature { octets, timing: Timing { queued_us, signed_us, journaled_us: 0 } })
            }
            Err(failure) => Err(self.give_up(&worker, &failure)),
        }
    }

    /// A place among the worker's calls.
    async fn place(&self, end: Instant) -> Result<SemaphorePermit<'_>, TokenError> {
        if let Ok(place) = self.shared.in_worker.try_acquire() {
            return Ok(place);
        }
        let waiting = Waiting::new(&self.shared.waiting);
        if waiting.position > usize::from(self.shared.config.queue) {
            return Err(TokenError::Unavailable("too many signatures wait for a lane".to_owned()));
        }
        match timeout_at(end, self.shared.in_worker.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(TokenError::Unavailable("no lane became free in time".to_owned())),
        }
    }

    /// A worker that is ready, waiting a little for one that is being started.
    async fn worker(&self, end: Instant) -> Result<Worker, TokenError> {
        let mut states = self.states();
        let patience = end.min(Instant::now() + PATIENCE);
        let decided = states.wait_for(|state| !matches!(state, State::Starting));
        match timeout_at(patience, decided).await {
            Ok(Ok(state)) => match &*state {
                State::Ready(worker) => Ok(worker.clone()),
                State::LockedOut(remedy) => Err(TokenError::LockedOut(remedy.clone())),
                State::Down(reason) => Err(TokenError::Unavailable(reason.clone())),
                State::Starting => Err(TokenError::Unavailable("the worker is being started".to_owned())),
            },
            Ok(Err(_)) => Err(TokenError::Unavailable("the signer is stopping".to_owned())),
            Err(_) => Err(TokenError::Unavailable("the worker is being started".to_owned())),
        }
    }

    /// Decides what a failed signature means for the worker.
    fn give_up(&self, worker: &Worker, failure: &SignFailure) -> TokenError {
        if failure.class() == ErrorClass::Lockout {
            // The next start finds the latch set and logs in to nothing.
            latch(&self.shared, &failure.to_string());
        }
        if failure.class() != ErrorClass::Busy {
            tracing::error!(%failure, "a signature failed: the worker is restarted");
            worker.kill(&failure.to_string());
            // Whoever asks from now on waits for the next worker instead of meeting this one.
            self.shared.state.send_if_modified(|state| match state {
                State::Ready(current) if current.process_id() == worker.process_id() => {
                    *state = State::Starting;
                    true
                }
                _ => false,
            });
        }
        TokenError::Unavailable(failure.to_string())
    }

    /// Ends the worker, letting it finish what it has.
    pub(super) async fn stop(&self) {
        self.shared.stopping.cancel();
        let state = self.shared.state.send_replace(State::Down("the signer is stopping".to_owned()));
        if let State::Ready(worker) = state {
            let _ = tokio::time::timeout(Duration::from_secs(5), worker.stop()).await;
        }
    }
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

/// Why a worker made no usable signature.
#[derive(Debug, thiserror::Error)]
enum SignFailure {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("key {0:?} made a signature that its certificate doesn't verify")]
    Wrong(KeyLabel),
}

impl SignFailure {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.class(),
            Self::Wrong(_) => ErrorClass::Restart,
        }
    }
}

/// The signature, and how long the lane and the check had the message.
async fn sign_checked(
    worker: &Worker,
    key: &TokenKey,
    message: &[u8],
    limit: Duration,
) -> Result<(Vec<u8>, Duration), SignFailure> {
    let made = worker.sign_timed(&key.id, key.mechanism(), message.to_vec(), limit).await?;
    let checking = Instant::now();
    match verify(&key.public_key, key.algorithm, message, &made.octets) {
        Ok(()) => Ok((made.octets, made.in_lane + checking.elapsed())),
        Err(_) => Err(SignFailure::Wrong(key.label.clone())),
    }
}

/// Proves one key: it has its certificate's public key, and what it signs verifies.
async fn prove(worker: &Worker, key: &TokenKey, limit: Duration) -> Result<(), String> {
    let label = &key.label.0;
    let public_key =
        worker.public_key(&key.id, limit).await.map_err(|error| format!("key {label:?}: {error}"))?;
    if public_key != key.public_key_der {
        return Err(format!(
            "key {label:?}: the key with CKA_ID {} on the token is not the one in its certificate; correct id or \
             certificate in the configuration",
            key.id
        ));
    }
    sign_checked(worker, key, PROOF, limit).await.map(drop).map_err(|error| format!("key {label:?}: {error}"))
}

impl Token {
    /// Has a key prove itself now.
    pub(super) async fn prove(&self, key: &TokenKey, end: Instant) -> Result<(), TokenError> {
        self.sign(key, PROOF, end).await.map(drop)
    }
}

async fn supervise(shared: Arc<Shared>) {
    tokio::select! {
        () = watch_worker(&shared) => {}
        () = shared.stopping.cancelled() => {}
    }
}

async fn watch_worker(shared: &Shared) {
    let mut back_off = BACK_OFF_FIRST;
    loop {
        wait_for_latch(shared).await;
        set_state(shared, State::Starting);
        let failure = match start(shared).await {
            Ok(worker) => {
                let since = Instant::now();
                tracing::info!(process = worker.process_id(), "the worker is ready, every key signs");
                set_state(shared, State::Ready(worker.clone()));
                let reason = worker.gone().await;
                tracing::error!(%reason, "the worker is gone");
                if since.elapsed() >= STEADY {
                    back_off = BACK_OFF_FIRST;
                }
                // The first loss costs no wait.
                if back_off == BACK_OFF_FIRST {
                    back_off *= 2;
                    continue;
                }
                reason
            }
            // The latch is set; it is waited for at the top.
            Err(StartFailure::Pin) => continue,
            Err(StartFailure::Other(reason)) => reason,
        };
        tracing::error!(reason = %failure, ?back_off, "the token can't be used; trying again");
        set_state(shared, State::Down(failure));
        sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_LAST);
    }
}

fn set_state(shared: &Shared, state: State) {
    if !shared.stopping.is_cancelled() {
        shared.state.send_replace(state);
    }
}

async fn start(shared: &Shared) -> Result<Worker, StartFailure> {
    let config = &shared.config;
    let (pin, attempt) = pin(config)?;
    let login = Login {
        token: config.token.clone(),
        pin,
        lanes: config.lanes,
        queue: config.lanes.saturating_mul(8),
    };
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
    for key in &shared.keys {
        if let Err(reason) = prove(&worker, key, config.sign_deadline).await {
            worker.kill(&reason);
            return Err(StartFailure::Other(reason));
        }
    }
    Ok(worker)
}

/// The PIN, and which one it is.
fn pin(config: &TokenConfig) -> Result<(Pin, Attempt), StartFailure> {
    let attempt = || {
        let token = format!("{} of {}", config.token, config.access.module.display());
        Attempt::of(token, &config.pin_file)
            .map_err(|error| StartFailure::Other(format!("the PIN file can't be looked at: {error}")))
    };
    let before = attempt()?;
    let pin = Pin::from_file(&config.pin_file).map_err(|error| StartFailure::Other(error.to_string()))?;
    if attempt()? == before {
        Ok((pin, before))
    } else {
        Err(StartFailure::Other("the PIN file was changed while it was read".to_owned()))
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
        tracing::error!(%error, "that a login ended can't be written down: a restarted signer may be locked out");
    }
}

/// Latches a refused PIN; false if the disk doesn't take it and only this process remembers.
fn latch(shared: &Shared, detail: &str) -> bool {
    let refused = Refused { at: clock::now(), detail: detail.to_owned() };
    tracing::error!(detail, latch = %shared.latch.path().display(), "the PIN was refused: locked out");
    let set = shared.latch.set(&refused);
    if let Err(error) = &set {
        tracing::error!(%error, "the latch can't be written: locked out until this process is ended by hand");
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
            tracing::error!(%remedy, "locked out");
            set_state(shared, State::LockedOut(remedy));
        }
        sleep(LATCH_POLL).await;
    }
}
