//! The parent's side of a worker: start it, ask it, notice that it died, kill it when it hangs.
//!
//! A [`Worker`] lives through one process. Whoever needs one for longer starts another when this one is
//! [gone](Worker::gone). Every call has a deadline; a call that misses it costs the worker its life, since nobody can
//! tell what a hanging module will still do.

mod pipe;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::frame;
use super::protocol::{
    Answer, Command, CommandError, ErrorClass, FromWorker, KeyAttributes, Login, Setup, SetupFailure,
    SetupFailureClass, ToWorker,
};
use crate::token::{KeyId, ModuleAccess, Pin, SignatureMechanism, TokenDescription};
use pipe::{read_frame, reap, send_setup, spawn, supervise, write_frames};

/// Variables that a worker inherits; all others come from the configuration.
pub const INHERITED: [&str; 7] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"];

/// How long a worker may take to exit by itself once its pipe is closed.
const GRACE: Duration = Duration::from_secs(4);

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, called with the one argument `worker`.
    pub program: PathBuf,
    /// The module and its environment.
    pub access: ModuleAccess,
}

impl Launch {
    /// Runs this same program as worker, also when its file has been replaced by a newer version meanwhile.
    pub fn this_program(access: ModuleAccess) -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), access }
    }
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process can't be started or its pipe can't be used.
    #[error("the worker process can't be started")]
    Spawn(#[source] std::io::Error),
    /// It was killed, having said nothing for so long. The module hangs while loading or logging in.
    #[error("the worker was not ready within {0:?} and was killed")]
    Timeout(Duration),
    /// It died during setup.
    #[error("the worker died while it was set up: {0}")]
    Died(String),
    /// It was not permitted to log in and was killed.
    #[error("the login was not permitted")]
    Forbidden(#[source] std::io::Error),
    /// It refused, for the reason given.
    #[error(transparent)]
    Setup(SetupFailure),
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The worker said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// No answer in time; the worker is being killed.
    #[error("no answer within {0:?}; the worker is killed")]
    Timeout(Duration),
    /// The worker is gone.
    #[error("the worker is gone: {0}")]
    Gone(String),
}

impl CallError {
    /// What to do about it. [`Timeout`](Self::Timeout) and [`Gone`](Self::Gone) ask for another worker.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Command(error) => error.class,
            Self::Timeout(_) | Self::Gone(_) => ErrorClass::Restart,
        }
    }
}

/// A running worker. Clones are the same worker; when the last is dropped, its pipe is closed and it ends.
#[derive(Clone, Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
}

type ReplyTo = oneshot::Sender<(Result<Answer, CommandError>, Duration)>;

/// A signature, and how long a lane had the message.
#[derive(Clone, Debug)]
pub struct MadeSignature {
    /// The value for a `signature` BIT STRING.
    pub octets: Vec<u8>,
    /// From when a lane took it up until the module had signed.
    pub in_lane: Duration,
}

#[derive(Debug)]
struct Shared {
    token: Option<TokenDescription>,
    process: Option<u32>,
    next: AtomicU64,
    /// `None` once the worker is gone.
    pending: Mutex<Option<HashMap<u64, ReplyTo>>>,
    kill: Notify,
    retire: Notify,
    ended_because: Mutex<Option<String>>,
    gone: watch::Sender<Option<String>>,
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    ///
    /// # Errors
    /// [`StartError`]; the process is gone then.
    pub async fn start(launch: &Launch, setup: Setup, limit: Duration) -> Result<Self, StartError> {
        Self::start_permitting(launch, setup, limit, |_| Ok(())).await
    }

    /// [`start`](Self::start), with a say before the login: `permit` is called when `C_Login` comes next, to the token
    /// that it is given, and unless it returns `Ok` that token never sees the PIN.
    ///
    /// # Errors
    /// [`StartError`]; the process is gone then.
    pub async fn start_permitting(
        launch: &Launch,
        setup: Setup,
        limit: Duration,
        permit: impl FnOnce(&TokenDescription) -> std::io::Result<()>,
    ) -> Result<Self, StartError> {
        if let Some(fault) = pin_fault(launch, &setup) {
            return Err(StartError::Setup(fault));
        }
        let mut child = spawn(launch).map_err(StartError::Spawn)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(StartError::Spawn(std::io::Error::other("no pipe")));
        };
        let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
        let first = timeout(limit, async {
            send_setup(&mut stdin, setup, launch.access.vendor.behaviour()).await?;
            let token = match read_frame(&mut stdout).await {
                Ok(Some(FromWorker::LoginNext(token))) => token,
                other => return other.map(Ok),
            };
            if let Err(error) = permit(&token) {
                return Ok(Err(error));
            }
            let mut frame = Vec::new();
            frame::encode(&ToWorker::LogIn, &mut frame)?;
            stdin.write_all(&frame).await?;
            read_frame(&mut stdout).await.map(Ok)
        })
        .await;
        let token = match first {
            Ok(Ok(Ok(Some(FromWorker::Ready(token))))) => token,
            Ok(Ok(Err(forbidden))) => {
                let _ = child.kill().await;
                return Err(StartError::Forbidden(forbidden));
            }
            Ok(Ok(Ok(Some(FromWorker::SetupFailed(failure))))) => {
                drop(stdin);
                reap(&mut child).await;
                return Err(StartError::Setup(failure));
            }
            Ok(Ok(Ok(Some(FromWorker::Reply { .. } | FromWorker::LoginNext(_))))) => {
                return Err(StartError::Died("it answered before it was asked".into()));
            }
            Ok(Ok(Ok(None)) | Err(_)) => return Err(StartError::Died(reap(&mut child).await)),
            Err(_) => {
                let _ = child.kill().await;
                return Err(StartError::Timeout(limit));
            }
        };
        let (frames, outbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            token,
            process: child.id(),
            next: AtomicU64::new(1),
            pending: Mutex::new(Some(HashMap::new())),
            kill: Notify::new(),
            retire: Notify::new(),
            ended_because: Mutex::new(None),
            gone: watch::Sender::new(None),
        });
        tokio::spawn(write_frames(outbox, stdin, Arc::clone(&shared)));
        tokio::spawn(supervise(child, stdout, Arc::clone(&shared)));
        Ok(Self { shared, frames })
    }

    /// The token it is logged in to, as it was at setup.
    pub fn token(&self) -> Option<&TokenDescription> {
        self.shared.token.as_ref()
    }

    /// The process identifier.
    pub fn process_id(&self) -> Option<u32> {
        self.shared.process
    }

    /// Calls without an answer yet.
    pub fn in_flight(&self) -> usize {
        lock(&self.shared.pending).as_ref().map_or(0, HashMap::len)
    }

    /// Asks the worker. Calls may overlap; they share the worker's lanes.
    ///
    /// # Errors
    /// [`CallError`]. After [`CallError::Timeout`] the worker is lost, with every call in flight.
    pub async fn call(&self, command: Command, deadline: Duration) -> Result<Answer, CallError> {
        self.timed_call(command, deadline).await.map(|(answer, _)| answer)
    }

    async fn timed_call(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<(Answer, Duration), CallError> {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut frame = Vec::new();
        frame::encode(&ToWorker::Request { number, command }, &mut frame)
            .map_err(|e| CommandError::own(ErrorClass::Fail, "TOO_LARGE", e.to_string()))?;
        let (reply_to, reply) = oneshot::channel();
        match lock(&self.shared.pending).as_mut() {
            Some(pending) => pending.insert(number, reply_to),
            None => return Err(self.gone_error()),
        };
        if self.frames.send(frame).is_err() {
            return Err(self.gone_error());
        }
        match timeout(deadline, reply).await {
            Ok(Ok((result, in_lane))) => Ok((result?, in_lane)),
            Ok(Err(_)) => Err(self.gone_error()),
            Err(_) => {
                self.kill(&format!("a call had no answer within {deadline:?}"));
                Err(CallError::Timeout(deadline))
            }
        }
    }

    /// Signs a message: the value for a `signature` BIT STRING.
    ///
    /// # Errors
    /// [`CallError`] as [`call`](Self::call).
    pub async fn sign(
        &self,
        key: &KeyId,
        mechanism: SignatureMechanism,
        message: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        self.sign_timed(key, mechanism, message, deadline).await.map(|signature| signature.octets)
    }

    /// [`sign`](Self::sign), and how long it took.
    ///
    /// # Errors
    /// [`CallError`] as [`call`](Self::call).
    pub async fn sign_timed(
        &self,
        key: &KeyId,
        mechanism: SignatureMechanism,
        message: Vec<u8>,
        deadline: Duration,
    ) -> Result<MadeSignature, CallError> {
        let command = Command::Sign { key: key.clone(), mechanism, message };
        match self.timed_call(command, deadline).await? {
            (Answer::Signature(octets), in_lane) => Ok(MadeSignature { octets, in_lane }),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Signs once with a key that may want the PIN before each signature.
    ///
    /// # Errors
    /// [`CallError`] as [`call`](Self::call).
    pub async fn sign_asked(
        &self,
        key: &KeyId,
        mechanism: SignatureMechanism,
        message: Vec<u8>,
        pin: Pin,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        match self.call(Command::SignAsked { key: key.clone(), mechanism, message, pin }, deadline).await? {
            Answer::Signature(octets) => Ok(octets),
            other => Err(unexpected(&other)),
        }
    }

    /// DER `SubjectPublicKeyInfo` of a key.
    ///
    /// # Errors
    /// [`CallError`] as [`call`](Self::call).
    pub async fn public_key(&self, key: &KeyId, deadline: Duration) -> Result<Vec<u8>, CallError> {
        match self.call(Command::PublicKey { key: key.clone() }, deadline).await? {
            Answer::PublicKey(spki) => Ok(spki),
            other => Err(unexpected(&other)),
        }
    }

    /// A private key's attributes.
    ///
    /// # Errors
    /// [`CallError`] as [`call`](Self::call).
    pub async fn attributes(&self, key: &KeyId, deadline: Duration) -> Result<KeyAttributes, CallError> {
        match self.call(Command::Attributes { key: key.clone() }, deadline).await? {
            Answer::Attributes(attributes) => Ok(attributes),
            other => Err(unexpected(&other)),
        }
    }

    /// Kills the process. Every call in flight ends as [`CallError::Gone`].
    pub fn kill(&self, because: &str) {
        lock(&self.shared.ended_because).get_or_insert_with(|| because.to_owned());
        self.shared.kill.notify_one();
    }

    /// Gives it nothing more to do. What is in flight may still be answered, for a moment; then it ends the module's use
    /// in order, so that no session stays open at the device, or is killed.
    pub fn retire(&self, because: &str) {
        lock(&self.shared.ended_because).get_or_insert_with(|| because.to_owned());
        self.shared.retire.notify_one();
    }

    /// Waits until the process has ended and says why.
    pub async fn gone(&self) -> String {
        let mut gone = self.shared.gone.subscribe();
        match gone.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its supervisor ended".to_owned(),
        }
    }

    /// Closes the pipe and waits until the worker, its lanes done, has ended. Other clones keep it alive.
    pub async fn stop(self) {
        let mut gone = self.shared.gone.subscribe();
        drop(self);
        let _ = gone.wait_for(Option::is_some).await;
    }

    fn gone_error(&self) -> CallError {
        let reason = self.shared.gone.borrow().clone().or_else(|| lock(&self.shared.ended_because).clone());
        CallError::Gone(reason.unwrap_or_else(|| "it is ending".to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(answer: &Answer) -> CallError {
    // Its content may be large; its kind is enough.
    let kind = match answer {
        Answer::Done => "done",
        Answer::Signature(_) => "a signature",
        Answer::PublicKey(_) => "a public key",
        Answer::Attributes(_) => "attributes",
        Answer::Tokens(_) => "tokens",
        Answer::Mechanisms(_) => "mechanisms",
        Answer::Seen(_) => "something seen",
        Answer::Wrapped(_) => "a wrapped key",
        Answer::Trusted(_) => "a trusted key",
    };
    CallError::Gone(format!("it answered {kind} to another question"))
}

/// Why the token would refuse the PIN, by its vendor's rules: giving it would only cost a try.
fn pin_fault(launch: &Launch, setup: &Setup) -> Option<SetupFailure> {
    let Login { token, pin, .. } = setup.login.as_ref()?;
    let vendor = &launch.access.vendor;
    if pin.is_at_the_token() {
        return None;
    }
    let fault = vendor.pin.fault(pin)?;
    let detail =
        format!("{token}: the PIN {fault}, so it wasn't given: see `inro-hsm vendors show {}`", vendor.name);
    Some(SetupFailure { class: SetupFailureClass::Other, detail })
}
