//! PINロック解除: a blocked PIN is unblocked with the PUK that the bank keeps.
//!
//! The user asks with ID and password, somebody else approves, the PUK comes once and is used and replaced at once.
//! Invariants: the new PIN is chosen before the PUK is fetched, so that its way through this computer is short; the next
//! PUK is in the bank's custody before the token gets it; nothing of either is ever written to the disk or shown.
//! Interrupted before the PUK was fetched, running again goes on with the same request; after that, a new one is asked
//! for, and what the token has is still kept.

mod error;
mod record;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ca_wire::{
    enrolment::DeviceClaim,
    problem::Code,
    token::{Approvers, KeptPuk, Occasion, UnblockState, Unblocking},
};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use error::UnblockError;
pub(crate) use record::Requests;

use self::record::RequestFile;
use crate::{
    custodian::Custodian,
    enrol::{EnrolError, Failure, Person, Step, sole_serial},
    secret::Pin,
    server::{EnrolmentApi, ServerError, custody::AskRequest},
    token::{Firmware, Token, TokenDriver, TokenError, TokenIdentity},
};

/// How often the bank is asked whether somebody approved.
const PAUSE: Duration = Duration::from_secs(3);
/// How often something is tried again that only the network prevented.
const ATTEMPTS: usize = 3;

/// What the person ordered.
pub(crate) struct Order {
    pub(crate) user_id: String,
    /// `None` when only one token is connected.
    pub(crate) token: Option<String>,
    /// How long to wait for the approval; running again goes on.
    pub(crate) patience: Duration,
}

/// What unblocking works with.
pub(crate) struct World<'a> {
    pub(crate) driver: &'a dyn TokenDriver,
    pub(crate) api: &'a dyn EnrolmentApi,
    pub(crate) person: &'a mut dyn Person,
    pub(crate) requests: &'a Requests,
    /// Waits; false when nobody wants to wait any longer.
    pub(crate) pause: &'a mut dyn FnMut(Duration) -> bool,
}

/// The PIN is a new one.
#[derive(Debug)]
pub(crate) struct Unblocked {
    pub(crate) token: TokenIdentity,
    /// Whether the PUK that was used is replaced. Otherwise the connection broke off, and the bank still keeps it.
    pub(crate) puk_replaced: bool,
}

/// Unblocks the PIN, or goes on with a request of before.
///
/// # Errors
/// [`Failure`], which says whether running again goes on.
pub(crate) fn unblock(world: &mut World<'_>, order: &Order) -> Result<Unblocked, Failure> {
    let serial = match &order.token {
        Some(serial) => serial.clone(),
        None => sole_serial(world.driver).map_err(EnrolError::Token)?,
    };
    let mut request =
        world.requests.open(world.api.origin(), &order.user_id, &serial).map_err(EnrolError::Record)?;
    let unblocked = run(world, order, &serial, &mut request);
    unblocked.map_err(|error| Failure { resumable: request.is_under_way(), error })
}

fn run(
    world: &mut World<'_>,
    order: &Order,
    serial: &str,
    file: &mut RequestFile,
) -> Result<Unblocked, EnrolError> {
    let identity = check(world.driver, serial, file)?;
    let (id, bearer) = approved(world, order, &identity, file)?;
    let new = world.person.new_pin()?;
    // Opened anew: others may have used it while somebody was waited for.
    let mut token = world.driver.open(serial)?;
    let puks = match world.api.release(id, &bearer) {
        Ok(released) => released.puks,
        Err(error) => {
            // Fetched before, perhaps by a run whose answer was lost: only a new request helps.
            if matches!(&error, ServerError::Refused(refusal) if !refusal.may_pass_later()) {
                file.forget()?;
            }
            return Err(error.into());
        }
    };
    file.forget()?;
    world.person.tell(Step::Unblocking);
    let (proven, puk) = set_pin(token.as_mut(), puks, &new)?;
    world.person.tell(Step::ReplacingPuk);
    let custodian = Custodian::new(world.api, Occasion::Unblocking(id), &bearer);
    let puk_replaced = replace_puk(token.as_mut(), &custodian, proven, &puk)?;
    Ok(Unblocked { token: identity, puk_replaced })
}

/// Whether there is anything to unblock.
fn check(
    driver: &dyn TokenDriver,
    serial: &str,
    file: &mut RequestFile,
) -> Result<TokenIdentity, EnrolError> {
    let mut token = driver.open(serial)?;
    let tries_left = token.pin_status()?.tries_left;
    if tries_left > 0 {
        file.forget()?;
        return Err(UnblockError::NotBlocked { tries_left }.into());
    }
    if token.puk_status()?.is_some_and(|puk| puk.tries_left == 0) {
        file.forget()?;
        return Err(UnblockError::PukBlocked.into());
    }
    Ok(token.identity().clone())
}

/// Asks, and waits until somebody approved; the request's name and bearer.
fn approved(
    world: &mut World<'_>,
    order: &Order,
    token: &TokenIdentity,
    file: &mut RequestFile,
) -> Result<(Uuid, String), EnrolError> {
    let password = world.person.password()?;
    let device = DeviceClaim {
        kind: token.kind.as_str().to_owned(),
        serial: token.serial.clone(),
        firmware: token.firmware.unwrap_or(Firmware::NONE).to_string(),
    };
    let request = AskRequest { user_id: &order.user_id, password: &password, device };
    world.person.tell(Step::Authenticating);
    let mut asked = ask(world, &request, file)?;
    // What ended before is not what is asked for now.
    if is_over(asked.state) {
        file.forget()?;
        asked = ask(world, &request, file)?;
    }
    let bearer = asked.bearer.clone().ok_or(ServerError::NotUnderstood(200))?;
    let mut waited = Duration::ZERO;
    let mut told = false;
    loop {
        let (number, branch_only) = (asked.number.clone(), asked.approvers == Approvers::Branch);
        match asked.state {
            UnblockState::Approved => return Ok((asked.id, bearer)),
            UnblockState::Waiting if !told => {
                world.person.tell(Step::WaitingForApproval { number, branch_only });
                told = true;
            }
            UnblockState::Waiting if waited < order.patience && (world.pause)(PAUSE) => {
                waited += PAUSE;
                asked = world.api.unblocking(asked.id, &bearer)?;
            }
            UnblockState::Waiting => return Err(UnblockError::Waiting { number, branch_only }.into()),
            UnblockState::Declined => {
                file.forget()?;
                return Err(UnblockError::Declined { number }.into());
            }
            _ => {
                file.forget()?;
                return Err(UnblockError::Waiting { number, branch_only }.into());
            }
        }
    }
}

fn ask(
    world: &mut World<'_>,
    request: &AskRequest<'_>,
    file: &mut RequestFile,
) -> Result<Unblocking, EnrolError> {
    // On disk before the bank hears of it: a repeat is the same request.
    file.save()?;
    let asked = world.api.ask_unblocking(file.idempotency_key(), request);
    if let Err(ServerError::Refused(refusal)) = &asked
        && (!refusal.may_pass_later() || refusal.code == Some(Code::AuthenticationFailed))
    {
        file.forget()?;
    }
    Ok(asked?)
}

fn is_over(state: UnblockState) -> bool {
    !matches!(state, UnblockState::Waiting | UnblockState::Approved)
}

/// Sets the new PIN with whichever PUK the token takes; which one that was. The last try is never spent.
fn set_pin(token: &mut dyn Token, puks: Vec<KeptPuk>, new: &Pin) -> Result<(Uuid, Pin), EnrolError> {
    for KeptPuk { deposit, puk } in puks {
        let puk = Pin::of_octets(Zeroizing::new(puk.into_bytes()));
        match token.unblock_pin(&puk, new) {
            Ok(()) => return Ok((deposit, puk)),
            Err(TokenError::PinWrong { tries_left }) if tries_left > 1 => {}
            Err(TokenError::PinWrong { .. }) => break,
            Err(TokenError::PinBlocked) => return Err(UnblockError::PukBlocked.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(UnblockError::PukUnknown.into())
}

/// Replaces the PUK that was used by one that the bank keeps already. False when the bank can't be reached: then the
/// token has the old one still, or the new one, and both are kept.
fn replace_puk(
    token: &mut dyn Token,
    custodian: &Custodian<'_>,
    proven: Uuid,
    puk: &Pin,
) -> Result<bool, EnrolError> {
    let Some((deposit, next)) = tried(|| custodian.fresh(Some(proven))) else { return Ok(false) };
    token.change_puk(puk, &next)?;
    Ok(tried(|| custodian.confirm(deposit)).is_some())
}

/// A few times: the PIN is unblocked, and only the network can be what is in the way.
fn tried<T>(mut call: impl FnMut() -> Result<T, ServerError>) -> Option<T> {
    for _ in 0..ATTEMPTS {
        match call() {
            Ok(done) => return Some(done),
            Err(error) => tracing::warn!(%error, "the bank's custody"),
        }
    }
    None
}

impl From<UnblockError> for EnrolError {
    fn from(error: UnblockError) -> Self {
        Self::Unblock(error)
    }
}
