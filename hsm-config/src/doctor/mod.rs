//! `inro-hsm doctor`: looks at everything that a ceremony or a signer will need, and says what is wrong before they do.
//!
//! It changes nothing, and never spends a try of a PIN: it reads the token's flags first and gives no PIN where a wrong
//! one is counted or the latch is set; and a PIN that the token refuses all the same is latched, as the signer would.
//! The module is loaded by workers only.

pub mod finding;
pub mod host;
pub(crate) mod key;
mod login;
mod random;
pub mod subject;
mod token;

pub use finding::{Finding, Report, Severity};
pub use subject::{Subject, SubjectKey};

use crate::token::TokenDescription;
use crate::worker::handle::{Launch, Worker};
use crate::worker::look::{Look, Seen, TokenState};
use crate::worker::protocol::{Answer, Command, Setup};

/// Told what is being looked at, in words for people.
pub type Tell<'a> = dyn FnMut(&str) + 'a;

/// Looks at a subject.
pub async fn examine(subject: &Subject, tell: &mut Tell<'_>) -> Report {
    let mut report = Report::default();
    token::vendor(subject, &mut report);
    for (problem, remedy) in subject.access.mistakes() {
        report.fail("module", subject.access.module.display().to_string(), problem, remedy);
    }
    if let Some(files) = &subject.files {
        host::examine(files, &mut report);
    }
    host::module(&subject.access.module, &mut report);
    tell(&format!("loading {}", subject.access.module.display()));
    if let Some(worker) = load(subject, &mut report).await {
        module(subject, &worker, &mut report, tell).await;
        worker.stop().await;
    }
    report
}

/// A worker that is logged in to the subject's token, with so many lanes, where that is safe; else what is in the way.
///
/// # Errors
/// The findings that say why not.
pub(crate) async fn open(subject: &Subject, lanes: u16) -> Result<(Worker, TokenDescription), Vec<Finding>> {
    let mut report = Report::default();
    let opened = open_with(subject, lanes, &mut report).await;
    opened.ok_or_else(|| {
        report.findings.retain(|finding| finding.severity >= Severity::Note);
        report.findings
    })
}

async fn open_with(subject: &Subject, lanes: u16, report: &mut Report) -> Option<(Worker, TokenDescription)> {
    let looking = load(subject, report).await?;
    let found = look_at_token(subject, &looking, report).await;
    looking.stop().await;
    let (token, state) = found?;
    let safe = token::state(&token, &state, report);
    if !(login::permitted(subject, report) && safe) {
        return None;
    }
    let worker = login::log_in(subject, &token, &state, lanes, report).await?;
    Some((worker, token))
}

/// A worker without a login.
async fn load(subject: &Subject, report: &mut Report) -> Option<Worker> {
    let launch = Launch::this_program(subject.access.clone());
    let setup = Setup { module: subject.access.module.clone(), login: None };
    match Worker::start(&launch, setup, subject.start_deadline).await {
        Ok(worker) => Some(worker),
        Err(error) => {
            report.fail(
                "module",
                subject.access.module.display().to_string(),
                format!("can't be loaded: {error}"),
                "install all of the vendor's client software; `ldd` on the module names libraries that are missing",
            );
            None
        }
    }
}

async fn look_at_token(
    subject: &Subject,
    worker: &Worker,
    report: &mut Report,
) -> Option<(TokenDescription, TokenState)> {
    let tokens = match worker.call(Command::Tokens, subject.start_deadline).await {
        Ok(Answer::Tokens(tokens)) => tokens,
        other => {
            unexpected("token", subject, &other, report);
            return None;
        }
    };
    let token = pick(subject, &tokens, report)?;
    match worker.call(Command::Look(Look::Token { slot: token.slot }), subject.start_deadline).await {
        Ok(Answer::Seen(Seen::Token(state))) => Some((token, *state)),
        other => {
            unexpected("token", subject, &other, report);
            None
        }
    }
}

async fn module(subject: &Subject, worker: &Worker, report: &mut Report, tell: &mut Tell<'_>) {
    match worker.call(Command::Look(Look::Library), subject.start_deadline).await {
        Ok(Answer::Seen(Seen::Library(library))) => {
            token::library(subject, &library, report);
            report.library = Some(library);
        }
        other => unexpected("module", subject, &other, report),
    }
    tell("looking for tokens");
    let Some((token, state)) = look_at_token(subject, worker, report).await else { return };
    report.token = Some(token.clone());
    match worker.call(Command::Mechanisms { slot: token.slot }, subject.start_deadline).await {
        Ok(Answer::Mechanisms(found)) => token::mechanisms(subject, &token.label, &found, report),
        other => unexpected("mechanisms", subject, &other, report),
    }
    if token.initialised {
        let safe = token::state(&token, &state, report);
        token::rules(subject, &token, &state, report);
        inside(subject, &token, &state, safe, report, tell).await;
    } else {
        report.note("token", &token.label, format!("slot {} is not initialised yet", token.slot));
    }
}

/// What needs a login.
async fn inside(
    subject: &Subject,
    token: &TokenDescription,
    state: &TokenState,
    safe: bool,
    report: &mut Report,
    tell: &mut Tell<'_>,
) {
    if !(login::permitted(subject, report) && safe) {
        return report.note("login", &token.label, "not logged in to, so its keys weren't looked at");
    }
    tell(&format!("logging in to {:?}", token.label));
    let Some(worker) = login::log_in(subject, token, state, 1, report).await else { return };
    random::examine(subject, token, state, &worker, report).await;
    for key in &subject.keys {
        tell(&format!("looking at key {:?}", key.label));
        key::examine(subject, key, &worker, report).await;
    }
    worker.stop().await;
}

/// The token that is meant, told when it is missing or not the only one.
fn pick(subject: &Subject, tokens: &[TokenDescription], report: &mut Report) -> Option<TokenDescription> {
    let about = subject.access.module.display().to_string();
    let shown: Vec<String> = tokens
        .iter()
        .filter(|token| token.initialised)
        .map(|token| format!("{:?} (serial {})", token.label, token.serial))
        .collect();
    let Some(selection) = &subject.token else {
        report.note("token", about, format!("shows {}", crate::vendor::list(&shown)));
        let initialised = tokens.iter().filter(|token| token.initialised);
        // Nothing was asked for: the only one there is will be meant.
        return match initialised.collect::<Vec<_>>().as_slice() {
            [one] => Some((*one).clone()),
            [] => tokens.first().cloned(),
            _ => None,
        };
    };
    let mut found = tokens.iter().filter(|token| token.initialised && selection.matches(token));
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one.clone()),
        (None, _) => {
            report.fail(
                "token",
                about,
                format!("shows no {selection}; it shows {}", crate::vendor::list(&shown)),
                "correct label or serial, or what the module's environment leads to",
            );
            None
        }
        (Some(_), Some(_)) => {
            report.fail(
                "token",
                about,
                format!("shows more than one {selection}; it shows {}", crate::vendor::list(&shown)),
                "select it by its serial number",
            );
            None
        }
    }
}

fn unexpected(
    check: &'static str,
    subject: &Subject,
    answer: &Result<Answer, crate::worker::handle::CallError>,
    report: &mut Report,
) {
    let found = match answer {
        Err(error) => error.to_string(),
        Ok(_) => "the worker answered another question".to_owned(),
    };
    report.fail(check, subject.access.module.display().to_string(), found, "see the module's own log");
}
