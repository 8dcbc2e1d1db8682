//! A flow on a thread of its own, and the two channels between it and the window.

mod flows;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use agent_tpm::Place;
use eframe::egui::Context;
use jiff::SignedDuration;

#[cfg(target_os = "linux")]
use crate::browser::{BrowserError, Change};
use crate::{
    doctor::{Area, Report},
    enrol::{EnrolError, Failure, Outcome, Question, Step},
    erase::Gone,
    farewell::Telling,
    inventory::Surveyed,
    renew::{Candidate, Retirement},
    route::{Route, RouteError},
    secret::{Pin, PinLength, Secret},
    server::ServerError,
    token::{Reader, Slot, TokenError, TokenIdentity, permitted::Permitted},
    tpm::{self, Held},
    unblock::Unblocked,
};

/// Where a key is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// The token with this serial.
    Card(String),
    /// This computer's TPM.
    Tpm,
    /// The key at this place in it.
    TpmKey(Place),
}

impl Device {
    pub(super) fn is_tpm(&self) -> bool {
        !matches!(self, Self::Card(_))
    }
}

/// What is to be erased.
pub(super) enum Target {
    Slot(String, Slot),
    WholeToken(String),
    TpmKey(Option<Place>),
    /// Nothing; the bank is to be told of what is gone.
    Nothing,
}

/// What can be ordered.
pub(super) enum Job {
    /// Which tokens are connected, and what the TPM holds if that is asked for.
    Look {
        tpm: bool,
    },
    /// What they hold.
    Survey,
    Obtain {
        user_id: String,
        password: Secret,
        acquisition_code: Option<Secret>,
        device: Device,
        route: Arc<Route>,
    },
    /// Which certificates can be renewed.
    Standing {
        route: Arc<Route>,
    },
    Renew {
        user_id: String,
        password: Secret,
        candidate: Box<Candidate>,
        route: Arc<Route>,
    },
    /// Erase superseded certificates whose grace is over.
    ClearAway,
    /// Everything that a login or an enrolment needs.
    Diagnose {
        route: Arc<Route>,
    },
    ChangePin {
        device: Device,
    },
    Erase {
        target: Target,
        route: Arc<Route>,
    },
    Unblock {
        user_id: String,
        password: Secret,
        token: String,
        route: Arc<Route>,
    },
    /// Make keys usable in browsers.
    #[cfg(target_os = "linux")]
    SetUpBrowsers,
}

/// What a flow says.
pub(super) enum News {
    Step(Step),
    Asks(Ask),
    /// What the doctor looks at.
    Looking(Area),
    Ended(Result<Ended, WorkError>),
}

/// What a flow asks.
pub(super) enum Ask {
    /// With the tries that are left after a wrong one.
    Pin {
        wrong: Option<u8>,
    },
    /// The PIN of what is erased, which may have been forgotten.
    PinIfKnown {
        wrong: Option<u8>,
    },
    NewPin(PinLength),
    Agreement(Question),
    /// Of this user at the company's proxy.
    ProxyPassword {
        user: String,
    },
}

/// The person's answer.
pub(super) enum Answer {
    Pin(Pin),
    /// Nobody knows the PIN.
    NoPin,
    Password(Secret),
    Agreed,
    Declined,
}

/// How a flow ended well.
pub(super) enum Ended {
    Looked(Box<Looked>),
    Surveyed(Box<Contents>),
    Diagnosed(Box<Report>),
    Obtained(Box<Outcome>),
    Standing(Box<Standing>),
    Renewed(Box<Outcome>),
    ClearedAway(Vec<Retirement>),
    PinChanged(Changed),
    Erased(Box<Gone>, Telling),
    Unblocked(Box<Unblocked>),
    #[cfg(target_os = "linux")]
    BrowsersSetUp(Vec<Change>),
}

/// Whose PIN was changed.
pub(super) enum Changed {
    Card(TokenIdentity),
    TpmKey(Place),
}

/// What is in the TPM; `None` when this computer has none that could be used.
pub(super) type InTpm = Option<Result<Vec<Held>, WorkError>>;

/// What there is to choose from. Neither kind of device hides the other.
pub(super) struct Looked {
    pub(super) readers: Result<Vec<Reader>, WorkError>,
    pub(super) tpm: InTpm,
}

/// What the devices hold.
pub(super) struct Contents {
    pub(super) cards: Result<Vec<Surveyed>, WorkError>,
    pub(super) tpm: InTpm,
}

/// What can be renewed and cleared away.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) candidates: Vec<Candidate>,
    /// Whether there are superseded certificates whose grace is over, on tokens that are connected.
    pub(super) leftovers: bool,
}

/// Why a flow didn't.
#[derive(Debug)]
pub(super) enum WorkError {
    Route(RouteError),
    Flow(Failure),
    #[cfg(target_os = "linux")]
    Browser(BrowserError),
    /// A panic, which is a mistake of the agent's.
    Crashed,
}

impl WorkError {
    /// Whether the company's proxy wants a password, or another one.
    pub(super) fn wants_proxy_password(&self) -> bool {
        let (Self::Route(RouteError::Server(error))
        | Self::Flow(Failure { error: EnrolError::Server(error), .. })) = self
        else {
            return false;
        };
        matches!(error, ServerError::ProxyAuthentication { .. })
    }
}

impl From<Failure> for WorkError {
    fn from(failure: Failure) -> Self {
        Self::Flow(failure)
    }
}

impl From<EnrolError> for WorkError {
    fn from(error: EnrolError) -> Self {
        Self::Flow(Failure::from(error))
    }
}

impl From<RouteError> for WorkError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<TokenError> for WorkError {
    fn from(error: TokenError) -> Self {
        Self::Flow(Failure::from(error))
    }
}

/// The flow's end of the channel; the window wakes up when something is said.
pub(super) struct Reporter {
    news: Sender<News>,
    window: Context,
}

impl Reporter {
    pub(super) fn report(&self, news: News) {
        // A window that is gone needs no news.
        let _ = self.news.send(news);
        self.window.request_repaint();
    }
}

/// A flow under way.
pub(super) struct Work {
    news: Receiver<News>,
    answers: Sender<Answer>,
    given_up: Arc<AtomicBool>,
}

/// What every flow needs of the machine.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) state_dir: PathBuf,
    pub(super) pkcs11_module: Option<PathBuf>,
    pub(super) permitted: Permitted,
    pub(super) tpm: Option<tpm::Machine>,
    pub(super) pin_length: PinLength,
    pub(super) grace: SignedDuration,
}

impl Work {
    /// Starts a flow.
    pub(super) fn start(job: Job, machine: Machine, window: Context) -> Self {
        let (news, received) = mpsc::channel();
        let (answers, answered) = mpsc::channel();
        let reporter = Reporter { news: news.clone(), window: window.clone() };
        let given_up = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(given_up.clone());
        thread::spawn(move || {
            let last = Last { news, window, ended: None };
            flows::run(job, &machine, (reporter, answered, waiting), last);
        });
        Self { news: received, answers, given_up }
    }

    /// Nobody waits any longer for somebody else's approval.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// What was said since, oldest first.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }

    /// How it ended, once it has; for flows that ask nothing.
    pub(super) fn ended(&self) -> Option<Result<Ended, WorkError>> {
        self.news().find_map(|news| match news {
            News::Ended(ended) => Some(ended),
            _ => None,
        })
    }

    pub(super) fn answer(&self, answer: Answer) {
        // The flow waits for it, unless it crashed; then the news say so.
        let _ = self.answers.send(answer);
    }
}

/// A flow's pauses, until nobody waits any longer.
struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Waits; false when it was given up.
    fn wait(&self, pause: Duration) -> bool {
        const MOMENT: Duration = Duration::from_millis(100);
        let mut left = pause;
        while !self.0.load(Ordering::Relaxed) {
            let Some(rest) = left.checked_sub(MOMENT) else { return true };
            thread::sleep(MOMENT);
            left = rest;
        }
        false
    }
}

/// Says how the flow ended, whatever way it ended.
struct Last {
    news: Sender<News>,
    window: Context,
    ended: Option<Result<Ended, WorkError>>,
}

impl Drop for Last {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Err(WorkError::Crashed));
        let _ = self.news.send(News::Ended(ended));
        self.window.request_repaint();
    }
}
