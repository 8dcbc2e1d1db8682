//! R5: the module fails at any step, with any of the errors that modules have for whatever it was.

use std::path::Path;

use anyhow::{Context, Result};
use signer_protocol::client::ClientError;

use super::{DEADLINE, LANES, RECOVERY, Ward};
use crate::{
    simulated_hsm::{Conduct, Fault},
    soak::{Outcome, Size},
};

const ERRORS: [&str; 7] = [
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_DEVICE_ERROR",
    "CKR_GENERAL_ERROR",
    "CKR_OBJECT_HANDLE_INVALID",
];
/// The steps of a signature, and those of a new worker on its way to one.
const FUNCTIONS: [&str; 7] = [
    "C_Sign",
    "C_SignInit",
    "C_Login",
    "C_OpenSession",
    "C_FindObjectsInit",
    "C_GetTokenInfo",
    "C_GetAttributeValue",
];

pub(in crate::soak) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R5",
        "each PKCS#11 error in turn at each step: a clear answer meanwhile, ready within 5 s of its end, no hand \
         needed, no more sessions than lanes",
    );
    let ward = Ward::open(directory)?;
    let (mut recoveries, mut answers, mut signed, mut most) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..size.module_errors {
        for (number, error) in ERRORS.iter().enumerate() {
            let function = FUNCTIONS[(round + number) % FUNCTIONS.len()];
            let said = format!("{error} at {function}");
            // Once: the request itself gets over it.
            ward.hsm.fault(&Fault::returns(function, error).times(1))?;
            disturb(&ward, function)?;
            let order = ward.order()?;
            let (once, _) = ward.insist(&order, RECOVERY).with_context(|| format!("{said}, once"))?;
            outcome.check(ward.is_right(&order, &once), || format!("{said}, once: a wrong signature"));

            // For good, until it clears.
            ward.hsm.clear()?;
            ward.hsm.fault(&Fault::returns(function, error))?;
            disturb(&ward, function)?;
            let order = ward.order()?;
            let answered = ward.ask(&order);
            answers.push(answered.took);
            let clear =
                matches!(&answered.result, Err(ClientError::Unavailable { reason }) if !reason.is_empty());
            outcome.check(clear, || format!("{said}: {:?}", answered.result));
            outcome.check(answered.took <= DEADLINE, || format!("{said}: {:?} to an answer", answered.took));
            ward.hsm.clear()?;
            match ward.insist(&order, RECOVERY) {
                Ok((made, took)) => {
                    recoveries.push(took);
                    outcome.check(took <= RECOVERY, || format!("{said}: {took:?} to the next signature"));
                    outcome.check(ward.is_right(&order, &made), || format!("{said}: a wrong signature"));
                }
                Err(error) => outcome.violations.push(format!("{said}: {error:#}")),
            }
            signed += 2;
            most = most.max(ward.hsm.status()?.sessions.most);
        }
        outages(&ward, &mut outcome)?;
        signed += 2;
    }
    outcome.check(most <= u32::from(LANES), || format!("{most} sessions were open with {LANES} lanes"));
    let journaled = ward.journaled()?;
    outcome.check(journaled == signed, || format!("{signed} certificates, {journaled} in the journal"));
    outcome.figure("errors", size.module_errors * ERRORS.len() * 2);
    outcome.figure("most_sessions", most);
    outcome.times("answer", &answers);
    outcome.times("recovery", &recoveries);
    Ok(outcome.ended())
}

/// What a running worker has no reason to call is called by the next one.
fn disturb(ward: &Ward, function: &str) -> Result<()> {
    if matches!(function, "C_Sign" | "C_SignInit") {
        return Ok(());
    }
    ward.hsm.fault(&Fault::returns("C_Sign", "CKR_DEVICE_ERROR").times(1))
}

/// The token is taken out and put back; all its sessions are in use elsewhere.
fn outages(ward: &Ward, outcome: &mut Outcome) -> Result<()> {
    let full = Conduct { max_sessions: Some(0), ..Conduct::PLAIN };
    for (what, conduct) in [("the token was out", Conduct::ABSENT), ("no session was left", full)] {
        ward.hsm.conduct(&conduct)?;
        ward.hsm.end_sessions()?;
        let order = ward.order()?;
        let answered = ward.ask(&order).result;
        let clear = matches!(&answered, Err(ClientError::Unavailable { .. }));
        outcome.check(clear, || format!("{what}: {answered:?}"));
        ward.hsm.conduct(&Conduct { max_sessions: Some(LANES), ..Conduct::PLAIN })?;
        if let Err(error) = ward.insist(&order, RECOVERY) {
            outcome.violations.push(format!("{what}: {error:#}"));
        }
    }
    Ok(())
}
