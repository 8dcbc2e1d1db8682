//! The flows behind the pages: the same as the commands', with what a person at the window can't choose left open.

use std::{sync::mpsc::Receiver, time::Duration};

use agent_tpm::TpmError;
use jiff::Timestamp;

use super::{
    Answer, Changed, Contents, Device, Ended, InTpm, Job, Last, Looked, Machine, News, Reporter, Standing,
    Target, Waiting, WorkError,
};
#[cfg(target_os = "linux")]
use crate::browser;
use crate::{
    change_pin::change_pin,
    doctor::{Patient, examine, is_revoked},
    enrol::{EnrolError, Order, Predecessor, Records, World, enrol, enrol_in_tpm},
    erase::{Gone, empty, erase, erase_key},
    farewell::{Farewells, IsRevoked},
    gui::person::WindowPerson,
    inventory,
    renew::{Candidate, Once, Spot, Terms, candidates, finish, renew},
    route::{Route, RouteError},
    server::{EnrolmentApi, https::HttpsApi},
    token::{TokenDriver, TokenError, all::Tokens, permitted::PermittedTokens},
    tpm,
    unblock::{self, Requests},
};

/// What a flow that talks to the bank works with.
struct Counter<'a> {
    driver: &'a dyn TokenDriver,
    person: &'a mut WindowPerson,
    machine: &'a Machine,
    route: &'a Route,
}

pub(super) fn run(
    job: Job,
    machine: &Machine,
    (reporter, answers, waiting): (Reporter, Receiver<Answer>, Waiting),
    mut last: Last,
) {
    let driver = &Tokens::connected(machine.pkcs11_module.as_deref());
    let pin_length = machine.pin_length;
    let person = &mut WindowPerson { reporter, answers, password: None, acquisition_code: None, pin_length };
    last.ended = Some(match job {
        Job::Look { tpm } => {
            let tpm = if tpm { in_tpm(machine) } else { None };
            Ok(Ended::Looked(Box::new(Looked { readers: driver.readers().map_err(WorkError::from), tpm })))
        }
        Job::Survey => {
            let cards = inventory::survey(driver).map_err(WorkError::from);
            Ok(Ended::Surveyed(Box::new(Contents { cards, tpm: in_tpm(machine) })))
        }
        Job::Obtain { user_id, password, acquisition_code, device, route } => {
            person.password = Some(password);
            person.acquisition_code = acquisition_code;
            obtain(&mut Counter { driver, person, machine, route: &route }, user_id, device)
        }
        Job::Standing { route } => standing(driver, machine, &route),
        Job::Renew { user_id, password, candidate, route } => {
            person.password = Some(password);
            renewal(&mut Counter { driver, person, machine, route: &route }, user_id, &candidate)
        }
        Job::ClearAway => clear_away(driver, person, machine),
        Job::Diagnose { route } => Ok(diagnose(&person.reporter, machine, &route)),
        Job::ChangePin { device } => changing(driver, person, machine, device),
        Job::Erase { target, route } => {
            erasing(&mut Counter { driver, person, machine, route: &route }, target)
        }
        Job::Unblock { user_id, password, token, route } => {
            person.password = Some(password);
            unblocking(&mut Counter { driver, person, machine, route: &route }, &waiting, user_id, token)
        }
        #[cfg(target_os = "linux")]
        Job::SetUpBrowsers => browser::set_up(None).map(Ended::BrowsersSetUp).map_err(WorkError::Browser),
    });
}

/// What is in the TPM, where there is one that could be used.
fn in_tpm(machine: &Machine) -> InTpm {
    match tpm::survey(machine.tpm.as_ref()?) {
        Err(EnrolError::Tpm(TpmError::Absent { .. } | TpmError::Unsupported(_))) => None,
        other => Some(other.map_err(WorkError::from)),
    }
}

impl Machine {
    /// The TPM, for a new key.
    fn permitted_tpm(&self) -> Result<&tpm::Machine, EnrolError> {
        if !self.permitted.covers_tpm() {
            return Err(TokenError::NotPermitted { kind: "TPM" }.into());
        }
        self.tpm.as_ref().ok_or(EnrolError::NoTpmKey)
    }
}

impl Counter<'_> {
    /// A client for the bank's service. What could not be told of what was erased is told by the way.
    fn connect(&mut self) -> Result<HttpsApi, RouteError> {
        let api = reach(self.route, self.person)?;
        Farewells::new(&self.machine.state_dir).tell_by_the_way(&api);
        Ok(api)
    }
}

/// The proxy's password is asked for where its user is named and nothing holds it.
fn reach(route: &Route, person: &mut WindowPerson) -> Result<HttpsApi, RouteError> {
    route.ask_for_password(|user| person.proxy_password(user))?;
    route.connect()
}

fn diagnose(reporter: &Reporter, machine: &Machine, route: &Route) -> Ended {
    let patient = Patient {
        route,
        pkcs11_module: machine.pkcs11_module.clone(),
        permitted: &machine.permitted,
        machine: machine.tpm.clone().filter(tpm::Machine::is_in_use),
    };
    let said = |area| reporter.report(News::Looking(area));
    Ended::Diagnosed(Box::new(examine(&patient, Timestamp::now(), said)))
}

fn obtain(counter: &mut Counter<'_>, user_id: String, device: Device) -> Result<Ended, WorkError> {
    let api = counter.connect()?;
    let machine = counter.machine;
    let records = Records::new(&machine.state_dir);
    let (in_tpm, token) = match device {
        Device::Card(serial) => (None, Some(serial)),
        Device::Tpm | Device::TpmKey(_) => (Some(machine.permitted_tpm()?), None),
    };
    let order = Order {
        user_id,
        token,
        slot: None,
        algorithm: None,
        management_key: None,
        start_over: false,
        renews: None,
    };
    let driver = &PermittedTokens { driver: counter.driver, permitted: &machine.permitted };
    let person = &mut *counter.person;
    let mut world = World { driver, api: &api, person, records: &records, now: Timestamp::now };
    let outcome = match in_tpm {
        Some(tpm) => enrol_in_tpm(&mut world, &order, tpm)?,
        None => enrol(&mut world, &order)?,
    };
    Farewells::new(&machine.state_dir).settle_by_new(&order.user_id);
    Ok(Ended::Obtained(Box::new(outcome)))
}

fn standing(driver: &dyn TokenDriver, machine: &Machine, route: &Route) -> Result<Ended, WorkError> {
    let records = Records::new(&machine.state_dir);
    // Without a way to the server the list is shown all the same.
    let origin = route.connect().map(|api| api.origin().to_owned()).unwrap_or_default();
    let now = Timestamp::now();
    let candidates = candidates(driver, machine.tpm.as_ref(), &records, &origin, None, now)?;
    let retired = records.retired().map_err(EnrolError::from)?;
    let leftovers = retired.iter().any(|retired| {
        let there = |candidate: &Candidate| candidate.spot.token_serial() == retired.token_serial;
        now >= retired.due(machine.grace) && candidates.iter().any(there)
    });
    Ok(Ended::Standing(Box::new(Standing { candidates, leftovers })))
}

fn renewal(counter: &mut Counter<'_>, user_id: String, candidate: &Candidate) -> Result<Ended, WorkError> {
    let api = counter.connect()?;
    let machine = counter.machine;
    let records = Records::new(&machine.state_dir);
    let tpm = match &candidate.spot {
        Spot::Card { .. } => None,
        Spot::Tpm { .. } => Some(machine.permitted_tpm()?),
    };
    let mut person = Once::new(counter.person);
    let token = candidate.spot.token_serial();
    // What is erased first makes room.
    finish(counter.driver, tpm, &mut person, &records, &terms(machine, Some(token)), Timestamp::now())?;
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
    let driver = &PermittedTokens { driver: counter.driver, permitted: &machine.permitted };
    let mut world = World { driver, api: &api, person: &mut person, records: &records, now: Timestamp::now };
    Ok(Ended::Renewed(Box::new(renew(&mut world, &order, &candidate.spot, tpm)?)))
}

/// A person at the window waits as long as the window stands.
const PATIENCE: Duration = Duration::from_hours(24);

fn unblocking(
    counter: &mut Counter<'_>,
    waiting: &Waiting,
    user_id: String,
    token: String,
) -> Result<Ended, WorkError> {
    let api = counter.connect()?;
    let requests = Requests::new(&counter.machine.state_dir);
    let order = unblock::Order { user_id, token: Some(token), patience: PATIENCE };
    let mut pause = |pause| waiting.wait(pause);
    let (driver, person) = (counter.driver, &mut *counter.person);
    let mut world = unblock::World { driver, api: &api, person, requests: &requests, pause: &mut pause };
    Ok(Ended::Unblocked(Box::new(unblock::unblock(&mut world, &order)?)))
}

fn changing(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    machine: &Machine,
    device: Device,
) -> Result<Ended, WorkError> {
    let place = match device {
        Device::Card(serial) => {
            return Ok(Ended::PinChanged(Changed::Card(change_pin(driver, person, &serial)?)));
        }
        Device::Tpm => None,
        Device::TpmKey(place) => Some(place),
    };
    let tpm = machine.tpm.as_ref().ok_or(EnrolError::NoTpmKey)?;
    Ok(Ended::PinChanged(Changed::TpmKey(tpm::change_pin(tpm, person, place)?)))
}

fn erasing(counter: &mut Counter<'_>, target: Target) -> Result<Ended, WorkError> {
    let farewells = Farewells::new(&counter.machine.state_dir);
    let (driver, person, now) = (counter.driver, &mut *counter.person, Timestamp::now());
    let gone = match target {
        Target::Slot(token, slot) => {
            Gone::Slot(erase(driver, person, &farewells, (&token, slot), None, now)?)
        }
        Target::WholeToken(token) => Gone::Token(empty(driver, person, &farewells, &token, now)?),
        Target::TpmKey(place) => {
            let tpm = counter.machine.tpm.as_ref().ok_or(EnrolError::NoTpmKey)?;
            Gone::TpmKey(erase_key(tpm, person, &farewells, place, now)?)
        }
        Target::Nothing => Gone::Nothing,
    };
    let ask: IsRevoked<'_, HttpsApi> = &|api, certificate| is_revoked(api, certificate, now);
    let ask = matches!(gone, Gone::Nothing).then_some(ask);
    // Erasing is done, whatever the network says.
    let told = farewells.tell_over(|| reach(counter.route, person), ask, now).map_err(EnrolError::from)?;
    Ok(Ended::Erased(Box::new(gone), told))
}

fn clear_away(
    driver: &dyn TokenDriver,
    person: &mut WindowPerson,
    machine: &Machine,
) -> Result<Ended, WorkError> {
    let (records, terms) = (Records::new(&machine.state_dir), terms(machine, None));
    let tpm = machine.tpm.as_ref().filter(|tpm| tpm.is_in_use());
    let done = finish(driver, tpm, &mut Once::new(person), &records, &terms, Timestamp::now())?;
    Ok(Ended::ClearedAway(done))
}

fn terms<'a>(machine: &Machine, only: Option<&'a str>) -> Terms<'a> {
    Terms { grace: machine.grace, come_home: true, only, management_key: None }
}
