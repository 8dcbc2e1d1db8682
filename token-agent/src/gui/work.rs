//! A flow on a thread of its own, and the two channels between it and the window.

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

use eframe::egui::Context;
use jiff::Timestamp;

use super::person::WindowPerson;
use crate::{
    change_pin::change_pin,
    doctor::{Area, Patient, Report, examine},
    enrol::{EnrolError, Failure, Order, Outcome, Predecessor, Question, Records, Step, World, enrol},
    erase::{Erased, erase},
    farewell::{Farewells, Told},
    inventory::{Surveyed, survey},
    policy::Permitted,
    renew::{Candidate, GRACE, Once, Retirement, Terms, candidates, finish, renew},
    route::{Route, RouteError},
    secret::{Pin, Secret},
    server::EnrolmentApi,
    token::{Reader, Slot, TokenDriver, TokenError, TokenIdentity, all::Tokens, permitted::PermittedTokens},
    tpm,
    unblock::{self, Requests, Unblocked},
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
        token: String,
    },
    Erase {
        token: String,
        slot: Slot,
        route: Arc<Route>,
    },
    Unblock {
        user_id: String,
        password: Secret,
        token: String,
        route: Arc<Route>,
    },
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
    Diagnosed(Box<Report>),
    Obtained(Box<Outcome>),
    Standing(Box<Standing>),
    Renewed(Box<Outcome>),
    ClearedAway(Vec<Retirement>),
    PinChanged(TokenIdentity),
    Erased(Box<Erased>, Told),
    Unblocked(Box<Unblocked>),
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
    given_up: Arc<AtomicBool>,
}

/// What every flow needs of the machine.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) state_dir: PathBuf,
    pub(super) pkcs11_module: Option<PathBuf>,
    pub(super) permitted: Permitted,
    pub(super) tpm: Option<tpm::Machine>,
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
            run(job, &machine, (reporter, answered, waiting), last);
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

fn run(
    job: Job,
    machine: &Machine,
    (reporter, answers, waiting): (Reporter, Receiver<Answer>, Waiting),
    mut last: Last,
) {
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
        Job::Standing { route } => standing(&driver, machine, &route),
        Job::Renew { user_id, password, candidate, route } => {
            person.password = Some(password);
            renewal(&driver, &mut person, machine, &route, user_id, &candidate)
        }
        Job::ClearAway => clear_away(&driver, &mut person, machine),
        Job::Diagnose { route } => Ok(diagnose(&person.reporter, machine, &route)),
        Job::ChangePin { token } => {
            change_pin(&driver, &mut person, &token).map(Ended::PinChanged).map_err(WorkError::from)
        }
        Job::Erase { token, slot, route } => {
            let farewells = Farewells::new(&machine.state_dir);
            let place = (token.as_str(), slot);
            erase(&driver, &mut person, &farewells, place, None, Timestamp::now())
                .map(|erased| Ended::Erased(Box::new(erased), tell(&farewells, &route)))
                .map_err(WorkError::from)
        }
        Job::Unblock { user_id, password, token, route } => {
            person.password = Some(password);
            unblocking(&driver, &mut person, (machine, &waiting), &route, user_id, token)
        }
    };
    last.ended = Some(ended);
}

fn diagnose(reporter: &Reporter, machine: &Machine, route: &Route) -> Ended {
    let patient = Patient {
        route,
        pkcs11_module: machine.pkcs11_module.clone(),
        permitted: &machine.permitted,
        machine: machine.tpm.clone(),
    };
    let said = |area| reporter.report(News::Looking(area));
    Ended::Diagnosed(Box::new(examine(&patient, Timestamp::now(), said)))
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
    Farewells::new(&machine.state_dir).tell_by_the_way(&api);
    let records = Records::new(&machine.state_dir);
    let order = Order {
        user_id,
        token: Some(token),
        slot: None,
        algorithm: None,
        management_key: None,
        start_over: false,
        renews: None,
    };
    let driver = &PermittedTokens { driver, permitted: &machine.permitted };
    let mut world = World { driver, api: &api, person, records: &records, now: Timestamp::now };
    Ok(Ended::Obtained(Box::new(enrol(&mut world, &order)?)))
}

fn standing(driver: &dyn TokenDriver, machine: &Machine, route: &Route) -> Result<Ended, WorkError> {
    let records = Records::new(&machine.state_dir);
    // Without a way to the server the list is shown all the same.
    let origin = route.connect().map(|api| api.origin().to_owned()).unwrap_or_default();
    let now = Timestamp::now();
    let candidates = candidates(driver, None, &records, &origin, None, now)?;
    let retired = records.retired().map_err(EnrolError::from)?;
    let leftovers = retired.iter().any(|retired| {
        let there = |candidate: &Candidate| candidate.spot.token_serial() == retired.token_serial;
        now >= retired.due(GRACE) && candidates.iter().any(there)
    });
    Ok(Ended::Standing(Box::new(Standing { candidates, leftovers })))
}

fn renewal(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    machine: &Machine,
    route: &Route,
    user_id: String,
    candidate: &Candidate,
) -> Result<Ended, WorkError> {
    let api = route.connect().map_err(WorkError::Route)?;
    Farewells::new(&machine.state_dir).tell_by_the_way(&api);
    let records = Records::new(&machine.state_dir);
    let mut person = Once::new(person);
    let token = candidate.spot.token_serial();
    // What is erased first makes room.
    finish(driver, None, &mut person, &records, &terms(Some(token)), Timestamp::now())?;
    person.turn_to(token);
    let order = Order {
        user_id,
        token: Some(token.to_owned()),
        slot: None,
        algorithm: None,
        management_key: None,
        start_over: false,
        renews: Some(Predecessor::read(&candidate.certificate)?),
    };
    let driver = &PermittedTokens { driver, permitted: &machine.permitted };
    let mut world = World { driver, api: &api, person: &mut person, records: &records, now: Timestamp::now };
    Ok(Ended::Renewed(Box::new(renew(&mut world, &order, &candidate.spot, None)?)))
}

/// A person at the window waits as long as the window stands.
const PATIENCE: Duration = Duration::from_hours(24);

fn unblocking(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    (machine, waiting): (&Machine, &Waiting),
    route: &Route,
    user_id: String,
    token: String,
) -> Result<Ended, WorkError> {
    let api = route.connect().map_err(WorkError::Route)?;
    Farewells::new(&machine.state_dir).tell_by_the_way(&api);
    let requests = Requests::new(&machine.state_dir);
    let order = unblock::Order { user_id, token: Some(token), patience: PATIENCE };
    let mut pause = |pause| waiting.wait(pause);
    let mut world = unblock::World { driver, api: &api, person, requests: &requests, pause: &mut pause };
    Ok(Ended::Unblocked(Box::new(unblock::unblock(&mut world, &order)?)))
}

/// Erasing is done, whatever the network says.
fn tell(farewells: &Farewells, route: &Route) -> Told {
    if farewells.is_empty() {
        return Told::default();
    }
    let told = route.connect().ok().and_then(|api| farewells.tell(&api).ok());
    told.unwrap_or(Told { told: 0, left: 1 })
}

fn clear_away(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    machine: &Machine,
) -> Result<Ended, WorkError> {
    let records = Records::new(&machine.state_dir);
    let done = finish(driver, None, &mut Once::new(person), &records, &terms(None), Timestamp::now())?;
    Ok(Ended::ClearedAway(done))
}

fn terms(only: Option<&str>) -> Terms<'_> {
    Terms { grace: GRACE, come_home: true, only, management_key: None }
}
