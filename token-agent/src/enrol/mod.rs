//! Obtaining or renewing a certificate: one straight line from the version check to the confirmation.
//!
//! Invariants: the idempotency key is on disk before the server hears of it, so one enrolment leads to at most one
//! certificate however often it is resumed; nothing happens on the token before the server has accepted agent and
//! person; the certificate is checked before it is written and read back before it is confirmed; a
//! certificate that is renewed stays as it is with its key, and is remembered as retired once its successor is confirmed.

mod card;
mod error;
mod home;
mod install;
mod key;
mod person;
mod predecessor;
mod prepare;
mod record;
mod relocate;
mod request;
mod retired;
#[cfg(test)]
pub(crate) mod tests;
mod tpm;

use ca_wire::{
    enrolment::{Certified, Certify, Confirm, Opened},
    token::Occasion,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(crate) use error::{EnrolError, Failure};
pub(crate) use home::Place;
pub(crate) use install::fresh_identifiers;
pub(crate) use person::{Person, Question, Step};
pub(crate) use predecessor::Predecessor;
pub(crate) use prepare::{sole_serial, unlock, verified_pin};
pub(crate) use record::{RecordError, Records, RenewalUnderWay, create_private, sync_directory};
pub(crate) use relocate::{holds_key, relocate};
pub(crate) use retired::{Retired, Seat};

use self::{
    card::CardHome,
    home::{Claim, Home, Issued, KeyAtHome},
    record::RecordFile,
    tpm::TpmHome,
};
use crate::{
    certificate::check_issued,
    custodian::Custodian,
    secret::Secret,
    server::{EnrolmentApi, OpenRequest, Session, Version},
    token::{KeyAlgorithm, ManagementKey, Slot, TokenDriver},
    tpm::Machine,
};

/// What the person ordered.
pub(crate) struct Order {
    pub(crate) user_id: String,
    /// `None` when only one token is connected.
    pub(crate) token: Option<String>,
    pub(crate) slot: Option<Slot>,
    pub(crate) algorithm: Option<KeyAlgorithm>,
    /// For a token whose management key is neither the factory's nor kept on it.
    pub(crate) management_key: Option<ManagementKey>,
    /// Forget an interrupted enrolment.
    pub(crate) start_over: bool,
    /// The certificate that is renewed; it is on the same token.
    pub(crate) renews: Option<Predecessor>,
}

impl Order {
    fn renewed_serial(&self) -> Option<&str> {
        self.renews.as_ref().map(|old| old.serial.as_str())
    }
}

/// What enrolling works with.
pub(crate) struct World<'a> {
    pub(crate) driver: &'a dyn TokenDriver,
    pub(crate) api: &'a dyn EnrolmentApi,
    pub(crate) person: &'a mut dyn Person,
    pub(crate) records: &'a Records,
    pub(crate) now: fn() -> Timestamp,
}

/// The certificate, on the token and confirmed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// DER, from the issuing CA to the root.
    pub(crate) issuers: Vec<Vec<u8>>,
    /// Where it and its key are.
    pub(crate) place: Place,
    /// Whether an interrupted enrolment was brought to its end.
    pub(crate) resumed: bool,
    /// What it supersedes, where that is still to be erased.
    pub(crate) retired: Option<Retired>,
}

struct Credentials {
    password: Secret,
    acquisition_code: Option<Secret>,
}

/// Obtains the certificate, or brings an interrupted enrolment of the same user, token and server to its end.
///
/// # Errors
/// [`Failure`], which says whether running again resumes.
pub(crate) fn enrol(world: &mut World<'_>, order: &Order) -> Result<Outcome, Failure> {
    check_version(world)?;
    let driver = world.driver;
    let serial = match &order.token {
        Some(serial) => serial.clone(),
        None => sole_serial(driver).map_err(EnrolError::Token)?,
    };
    at_home(world, order, &serial, || Ok(Box::new(CardHome::open(driver, &serial, order)?)))
}

/// The same in this computer's TPM. The order's token and slot don't count.
///
/// # Errors
/// As [`enrol`].
pub(crate) fn enrol_in_tpm(
    world: &mut World<'_>,
    order: &Order,
    machine: &Machine,
) -> Result<Outcome, Failure> {
    check_version(world)?;
    let tpm = machine.open().map_err(EnrolError::Tpm)?;
    let home = TpmHome::open(machine, order, tpm)?;
    let serial = home.serial().to_owned();
    at_home(world, order, &serial, || Ok(Box::new(home)))
}

/// The rest, wherever the key will live. The device is opened once its record is locked.
fn at_home<'h>(
    world: &mut World<'_>,
    order: &Order,
    serial: &str,
    open: impl FnOnce() -> Result<Box<dyn Home + 'h>, EnrolError>,
) -> Result<Outcome, Failure> {
    let mut record = world
        .records
        .open(world.api.origin(), &order.user_id, serial, order.renewed_serial(), (world.now)())
        .map_err(EnrolError::Record)?;
    if order.start_over {
        record.forget().map_err(EnrolError::Record)?;
    }
    open()
        .and_then(|home| run(world, order, home, &mut record))
        .map_err(|error| Failure { resumable: record.is_under_way(), error })
}

fn run(
    world: &mut World<'_>,
    order: &Order,
    home: Box<dyn Home + '_>,
    record: &mut RecordFile,
) -> Result<Outcome, EnrolError> {
    let resumed = record.is_under_way();
    if resumed {
        world.person.tell(Step::Resuming);
    }
    let credentials = Credentials {
        password: world.person.password()?,
        acquisition_code: world.person.acquisition_code()?,
    };
    let claim = home.claim();
    let mut opened = open_or_begin_anew(world, order, &credentials, &claim, record)?;
    let occasion = Occasion::Enrolment(opened.enrolment_id);
    let custodian = Custodian::new(world.api, occasion, &opened.bearer);
    let custodian = Some(&custodian).filter(|_| opened.key.puk == "kept");
    let mut key = home.key(world.person, &opened.key, record, custodian, (world.now)())?;
    let certified = match opened.certified.take() {
        Some(certified) => certified,
        None => certify(world, order, &credentials, &mut opened, &claim, key.as_mut(), record)?,
    };
    let issued = Issued {
        certificate: certified.certificate.0,
        issuers: certified.chain.into_iter().map(|issuer| issuer.0).collect(),
    };
    check_issued(&issued.certificate, &issued.issuers, key.public_key(), &order.user_id, (world.now)())?;
    let predecessor = key.predecessor();
    let place = key.install(world.person, &issued, (world.now)())?;
    confirm(world, order, &credentials, &mut opened, &claim, &issued.certificate, record)?;
    // Remembered before the renewal is forgotten: whatever happens in between, one of the two is there.
    let retired = match (&order.renews, predecessor) {
        (Some(old), Some(at)) => Some(retire(world, order, &claim, old, at, &issued, &place)?),
        _ => None,
    };
    record.forget()?;
    Ok(Outcome { certificate: issued.certificate, issuers: issued.issuers, place, resumed, retired })
}

fn retire(
    world: &World<'_>,
    order: &Order,
    claim: &Claim,
    old: &Predecessor,
    at: String,
    issued: &Issued,
    place: &Place,
) -> Result<Retired, EnrolError> {
    let new = Predecessor::read(&issued.certificate)?;
    let retired = Retired {
        version: 1,
        server: world.api.origin().to_owned(),
        user_id: order.user_id.clone(),
        kind: claim.device.kind.clone(),
        token_serial: claim.device.serial.clone(),
        confirmed_at: (world.now)(),
        old: Seat::of(old, at),
        new: Seat::of(&new, place.label()),
    };
    world.records.retire(&retired)?;
    Ok(retired)
}

fn check_version(world: &mut World<'_>) -> Result<(), EnrolError> {
    world.person.tell(Step::CheckingVersion);
    let versions = world.api.versions()?;
    let own = Version::parse(Version::OWN);
    let lowest = Version::parse(&versions.lowest).ok_or(EnrolError::VersionsMalformed)?;
    if own.is_none_or(|own| own < lowest) {
        return Err(EnrolError::AgentTooOld { lowest, download: versions.download });
    }
    if Version::parse(&versions.newest) > own {
        world.person.tell(Step::NewerAgent { newest: versions.newest, download: versions.download });
    }
    let difference = (world.now)().duration_since(versions.server_time).as_secs();
    if difference.abs() > 600 {
        world.person.tell(Step::ClockDiffers { server_time: versions.server_time });
    }
    Ok(())
}

/// Step 1. A renewal that the bank took back because its confirmation never came begins anew, with another key in the same
/// slot: the one that was certified is used up.
fn open_or_begin_anew(
    world: &mut World<'_>,
    order: &Order,
    credentials: &Credentials,
    claim: &Claim,
    record: &mut RecordFile,
) -> Result<Opened, EnrolError> {
    let begun = record.enrolment_id.is_some() && record.renews().is_some();
    match open(world, order, credentials, claim, record) {
        Err(EnrolError::Server(error)) if begun && !error.may_pass_later() => {
            world.person.tell(Step::BeginningAnew);
            record.replace_key()?;
            open(world, order, credentials, claim, record)
        }
        other => other,
    }
}

/// Step 1, also to get a new challenge or bearer for an enrolment under way.
fn open(
    world: &mut World<'_>,
    order: &Order,
    credentials: &Credentials,
    claim: &Claim,
    record: &mut RecordFile,
) -> Result<Opened, EnrolError> {
    world.person.tell(Step::Authenticating);
    record.save()?;
    let request = OpenRequest {
        user_id: &order.user_id,
        password: &credentials.password,
        acquisition_code: credentials.acquisition_code.as_ref(),
        device: claim.device.clone(),
        tpm: claim.tpm.clone(),
        renews: order.renewed_serial(),
    };
    match world.api.open(&record.idempotency_key, &request) {
        Ok(opened) => {
            record.enrolment_id = Some(opened.enrolment_id);
            record.save()?;
            Ok(opened)
        }
        Err(error) => {
            settle(&error, record)?;
            Err(error.into())
        }
    }
}

/// Step 2. A challenge or bearer that expired meanwhile, say while a person looked for a PIN, is renewed once.
fn certify(
    world: &mut World<'_>,
    order: &Order,
    credentials: &Credentials,
    opened: &mut Opened,
    claim: &Claim,
    key: &mut dyn KeyAtHome,
    record: &mut RecordFile,
) -> Result<Certified, EnrolError> {
    let mut renewed = false;
    loop {
        let request: Certify = key.evidence(world.person, &order.user_id, opened)?;
        world.person.tell(Step::Requesting);
        let error = match world.api.certify(&session(opened, record), &request) {
            Ok(certified) => return Ok(certified),
            Err(error) => error,
        };
        if renewed || !error.asks_to_open_again() {
            settle(&error, record)?;
            return Err(error.into());
        }
        renewed = true;
        *opened = open(world, order, credentials, claim, record)?;
        if let Some(certified) = opened.certified.take() {
            return Ok(certified);
        }
    }
}

/// Step 3.
fn confirm(
    world: &mut World<'_>,
    order: &Order,
    credentials: &Credentials,
    opened: &mut Opened,
    claim: &Claim,
    certificate: &[u8],
    record: &mut RecordFile,
) -> Result<(), EnrolError> {
    world.person.tell(Step::Confirming);
    let request = Confirm { certificate_sha256: ca_wire::Base64Url(Sha256::digest(certificate).to_vec()) };
    match world.api.confirm(&session(opened, record), &request) {
        Err(error) if error.asks_to_open_again() => {
            *opened = open(world, order, credentials, claim, record)?;
            Ok(world.api.confirm(&session(opened, record), &request)?)
        }
        other => Ok(other?),
    }
}

fn session(opened: &Opened, record: &RecordFile) -> Session {
    Session {
        idempotency_key: record.idempotency_key.clone(),
        enrolment_id: opened.enrolment_id,
        bearer: opened.bearer.clone(),
    }
}

/// After a failure that the server repeats for ever, the next run is a new enrolment; the key that was generated stays
/// and is used for that one. Before the server has opened anything there is nothing to resume.
fn settle(error: &crate::server::ServerError, record: &mut RecordFile) -> Result<(), EnrolError> {
    let refused = matches!(error, crate::server::ServerError::Refused(_));
    if refused && record.enrolment_id.is_none() && record.key.is_none() {
        record.forget()?;
    } else if error.asks_for_another_key() && record.renews().is_some() {
        record.replace_key()?;
    } else if !error.may_pass_later() {
        record.renew()?;
    }
    Ok(())
}
