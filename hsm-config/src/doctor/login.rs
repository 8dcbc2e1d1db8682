//! The doctor's login: given only what the signer would give, noted and latched as the signer would.

use std::{io, path::PathBuf};

use jiff::Timestamp;

use super::Subject;
use super::finding::Report;
use crate::signer::latch::{Attempt, Begun, Latch, NotBegun, Refused};
use crate::token::{Pin, PinSource, PinSourceError, TokenDescription, TokenSelection};
use crate::worker::handle::{Launch, StartError, Worker};
use crate::worker::look::TokenState;
use crate::worker::protocol::{Login, Setup, SetupFailureClass};

/// A worker that is logged in, after [`permitted`]; `None`, with a finding, where a login would be wrong or failed.
pub(super) async fn log_in(
    subject: &Subject,
    token: &TokenDescription,
    state: &TokenState,
    lanes: u16,
    report: &mut Report,
) -> Option<Worker> {
    let about = token.label.as_str();
    let (pin, pin_file) = pin(subject, about, report)?;
    if let Some(fault) = fault(subject, state, &pin) {
        report.fail(
            "pin",
            pin_file.display().to_string(),
            format!("the PIN {fault}, so it wasn't given"),
            "write the PIN as this vendor's tokens take it; see inro-hsm vendors show",
        );
        return None;
    }
    let started = start(subject, token, lanes, pin).await;
    match started {
        Ok(worker) => {
            report.fine("login", about, "took the PIN");
            Some(worker)
        }
        Err((found, remedy)) => {
            report.fail("login", about, found, remedy);
            None
        }
    }
}

/// The PIN and the file that it is in. Nobody is asked for one: custodians and operators' cards are for the signer.
fn pin(subject: &Subject, about: &str, report: &mut Report) -> Option<(Pin, PathBuf)> {
    let why = match &subject.pin {
        None => "no PIN was given".to_owned(),
        Some(PinSource::Custody(_)) => "custodians keep its PIN".to_owned(),
        Some(PinSource::ProtectedPath) => "it asks for its PIN on its own device".to_owned(),
        Some(source) => match (source.read(), source.file()) {
            (Ok(pin), Ok(Some(file))) => return Some((pin, file)),
            (Err(PinSourceError::File(error)), _) => {
                report.fail(
                    "pin",
                    error.path.display().to_string(),
                    error.fault.to_string(),
                    error.fault.remedy(),
                );
                return None;
            }
            (Err(error), _) => error.to_string(),
            (Ok(_), _) => "its PIN is in no file".to_owned(),
        },
    };
    report.note("login", about, format!("{why}, so it wasn't logged in to and its keys weren't looked at"));
    None
}

/// Whether the latch permits a login; told if it doesn't.
pub(super) fn permitted(subject: &Subject, report: &mut Report) -> bool {
    let Some(latch) = &subject.latch else { return true };
    let about = latch.path().display().to_string();
    let (found, remedy) = match latch.read() {
        Ok(None) => {
            report.fine("latch", about, "not set");
            return true;
        }
        Ok(Some(refused)) => (
            format!("set at {}: {}; nothing logs in, the doctor neither", refused.at, refused.detail),
            "correct the PIN, see how many tries the token has left, then inro-hsm latch clear --config <signer.toml>",
        ),
        Err(error) => (
            format!("can't be read: {error}"),
            "let the signer's account read it; until then nothing logs in",
        ),
    };
    report.fail("latch", about, found, remedy);
    false
}

/// Why the token would refuse the PIN.
fn fault(subject: &Subject, state: &TokenState, pin: &Pin) -> Option<String> {
    let length = pin.expose().len() as u64;
    // Some tokens say 0 for what they don't know.
    let (shortest, longest) = (state.shortest_pin, state.longest_pin);
    if length < shortest || (longest > 0 && length > longest) {
        let most = if longest > 0 { format!(" to {longest}") } else { " or more".to_owned() };
        return Some(format!("has not {shortest}{most} bytes, which the token wants"));
    }
    subject.access.vendor.pin.fault(pin)
}

async fn start(
    subject: &Subject,
    token: &TokenDescription,
    lanes: u16,
    pin: Pin,
) -> Result<Worker, (String, String)> {
    let selection = subject.token.clone().unwrap_or_else(|| TokenSelection::Serial(token.serial.clone()));
    let mark = match &subject.latch {
        Some(latch) => {
            Some((latch, latch.mark(&pin).await.map_err(|error| denied(&NotBegun::Unwritable(error)))?))
        }
        None => None,
    };
    let login = Login { token: selection, pin, lanes, queue: lanes.saturating_mul(8).max(8) };
    let launch = Launch::this_program(subject.access.clone());
    let setup = Setup { module: subject.access.module.clone(), login: Some(login) };
    let mut permitted = None;
    let permit = |token: &TokenDescription| {
        let Some((latch, mark)) = mark else { return Ok(()) };
        let begun = latch.begin(Timestamp::now(), Attempt::new(token, mark));
        let answer = begun.as_ref().map(drop).map_err(|denied| io::Error::other(denied.to_string()));
        permitted = Some(begun);
        answer
    };
    let started = Worker::start_permitting(&launch, setup, subject.start_deadline, permit).await;
    let begun = permitted.transpose().map_err(|not| denied(&not))?;
    let refused = matches!(&started, Err(StartError::Setup(failure)) if refuses(failure.class));
    note(subject.latch.as_ref(), begun, &started, refused);
    started.map_err(|error| {
        let remedy = if refused {
            "correct the PIN; the latch is set, so nothing tries again: inro-hsm latch clear --config <signer.toml>"
        } else {
            "see the module's own log; log in with the vendor's tool to tell Inro and HSM apart"
        };
        (error.to_string(), remedy.to_owned())
    })
}

/// What is told when the latch permits no login.
fn denied(not: &NotBegun) -> (String, String) {
    let remedy = match not {
        NotBegun::Latched(_) => "see inro-hsm latch show --config <signer.toml>",
        NotBegun::Same => {
            "correct the PIN; if it is right and the token was put right instead, run inro-hsm latch clear --same-pin \
             --config <signer.toml>"
        }
        NotBegun::Busy => "run the doctor again in a moment",
        NotBegun::Unwritable(_) => {
            "run the doctor as the account that runs the signer; if you did, make room on the latch's disk, or mend it"
        }
    };
    (format!("wasn't logged in to: {not}"), remedy.to_owned())
}

fn refuses(class: SetupFailureClass) -> bool {
    matches!(class, SetupFailureClass::PinIncorrect | SetupFailureClass::PinLocked)
}

/// How the login ended, as the signer notes it. What can't be written stays a login that began and never ended, which
/// latches.
fn note(latch: Option<&Latch>, begun: Option<Begun>, started: &Result<Worker, StartError>, refused: bool) {
    let latched = match (latch, started) {
        (Some(latch), Err(error)) if refused => {
            latch.set(&Refused { at: Timestamp::now(), detail: error.to_string() }).is_ok()
        }
        _ => false,
    };
    let Some(begun) = begun else { return };
    let noted = match started {
        Ok(_) => begun.accepted(),
        Err(_) if refused => begun.refused(latched),
        Err(StartError::Setup(failure)) if failure.class != SetupFailureClass::LoginUnclear => {
            begun.unjudged()
        }
        Err(_) => Ok(()),
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "that the login ended can't be written down: a restarted signer may be locked out");
    }
}
