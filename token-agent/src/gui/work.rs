//! A flow on a thread of its own, and the two channels between it and the window.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use eframe::egui::Context;
use jiff::Timestamp;

use super::person::WindowPerson;
use crate::{
    change_pin::change_pin,
    enrol::{EnrolError, Failure, Order, Outcome, Question, Records, Step, World, enrol},
    erase::{Erased, erase},
    inventory::{Surveyed, survey},
    route::{Route, RouteError},
    secret::{Pin, Secret},
    token::{Reader, Slot, TokenDriver, TokenError, TokenIdentity, all::Tokens},
};

/// What can be ordered.
pub(super) enum Job {
    /// Which tokens are connected.
    Look,
    /// What they hold.
    Survey,
    Obtain {
        user_id: String,
        password: Secret,
        acquisition_code: Option<Secret>,
        token: String,
        route: Arc<Route>,
    },
    ChangePin {
        token: String,
    },
    Erase {
        token: String,
        slot: Slot,
    },
}

/// What a flow says.
pub(super) enum News {
    Step(Step),
    Asks(Ask),
    Ended(Result<Ended, WorkError>),
}

/// What a flow asks.
pub(super) enum Ask {
    /// With the tries that are left after a wrong one.
    Pin {
        wrong: Option<u8>,
    },
    NewPin,
    Agreement(Question),
}

/// The person's answer.
pub(super) enum Answer {
    Pin(Pin),
    Agreed,
    Declined,
}

/// How a flow ended well.
pub(super) enum Ended {
    Looked(Vec<Reader>),
    Surveyed(Vec<Surveyed>),
    Obtained(Box<Outcome>),
    PinChanged(TokenIdentity),
    Erased(Box<Erased>),
}

/// Why a flow didn't.
#[derive(Debug)]
pub(super) enum WorkError {
    Route(RouteError),
    Flow(Failure),
    /// A panic, which is a mistake of the agent's.
    Crashed,
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
}

/// What every flow needs of the machine.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) state_dir: PathBuf,
    pub(super) pkcs11_module: Option<PathBuf>,
}

impl Work {
    /// Starts a flow.
    pub(super) fn start(job: Job, machine: Machine, window: Context) -> Self {
        let (news, received) = mpsc::channel();
        let (answers, answered) = mpsc::channel();
        let reporter = Reporter { news: news.clone(), window: window.clone() };
        thread::spawn(move || {
            let last = Last { news, window, ended: None };
            run(job, &machine, reporter, answered, last);
        });
        Self { news: received, answers }
    }

    /// What was said since, oldest first.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }

    pub(super) fn answer(&self, answer: Answer) {
        // The flow waits for it, unless it crashed; then the news say so.
        let _ = self.answers.send(answer);
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

fn run(job: Job, machine: &Machine, reporter: Reporter, answers: Receiver<Answer>, mut last: Last) {
    let driver = Tokens::connected(machine.pkcs11_module.as_deref());
    let mut person = WindowPerson { reporter, answers, password: None, acquisition_code: None };
    let ended = match job {
        Job::Look => driver.readers().map(Ended::Looked).map_err(WorkError::from),
        Job::Survey => survey(&driver).map(Ended::Surveyed).map_err(WorkError::from),
        Job::Obtain { user_id, password, acquisition_code, token, route } => {
            person.password = Some(password);
            person.acquisition_code = acquisition_code;
            obtain(&driver, &mut person, machine, &route, user_id, token)
        }
        Job::ChangePin { token } => {
            change_pin(&driver, &mut person, &token).map(Ended::PinChanged).map_err(WorkError::from)
        }
        Job::Erase { token, slot } => erase(&driver, &mut person, &token, slot, None, Timestamp::now())
            .map(|erased| Ended::Erased(Box::new(erased)))
            .map_err(WorkError::from),
    };
    last.ended = Some(ended);
}

fn obtain(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    machine: &Machine,
    route: &Route,
    user_id: String,
    token: String,
) -> Result<Ended, WorkError> {
    let api = route.connect().map_err(WorkError::Route)?;
    let records = Records::new(&machine.state_dir);
    let order = Order {
        user_id,
        token: Some(token),
        slot: None,
        algorithm: None,
        management_key: None,
        start_over: false,
    };
    let mut world = World { driver, api: &api, person, records: &records, now: Timestamp::now };
    Ok(Ended::Obtained(Box::new(enrol(&mut world, &order)?)))
}
