//! What a ceremony command says at its end, to people and to programs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::ceremony::plan::{Plan, State};
use crate::ceremony::record::verify::Report;
use crate::ceremony::{CeremonyError, Mistake, Outcome, fingerprint};
use crate::error_text::chain;

pub(super) const FAILED: u8 = 1;
pub(super) const MISTAKES: u8 = 3;
pub(super) const REFUSED: u8 = 4;
pub(super) const NOT_AUTHENTICATED: u8 = 5;

/// A ceremony that was held.
pub(super) fn summary(outcome: &Outcome) -> Value {
    json!({
        "result": "done",
        "kind": outcome.transcript.kind,
        "folder": outcome.folder,
        "transcript": outcome.transcript_files,
        "certificates": outcome.transcript.certificates,
        "files": outcome.transcript.files,
        "awaited": outcome.awaited,
    })
}

/// The same for people.
pub(super) fn sentences(outcome: &Outcome) -> String {
    let mut text = format!("done; see {}", outcome.folder.display());
    for request in &outcome.transcript.requests {
        let groups = fingerprint::shown(&request.sha256, "  ");
        let _ = write!(
            text,
            "\nfingerprint of {}.csr, to read aloud where it is signed:\n{groups}",
            request.name
        );
    }
    for file in &outcome.transcript_files {
        let _ = write!(text, "\nSHA-256 {}  {}", file.sha256, file.name);
    }
    for signer in &outcome.awaited {
        let _ = write!(text, "\nstill to be signed by {}: {}", signer.who, signer.file);
    }
    text.push_str("\nThose present note these hashes and sign the transcript.");
    text
}

/// A plan, a line for each step.
pub(super) fn plan(plan: &Plan) -> String {
    let mut text = plan.ceremony.clone();
    for step in &plan.steps {
        let state = match step.state {
            State::ToDo => "",
            State::Interrupted => "  [interrupted: will be done again]",
            State::Done => "  [done]",
            State::Blocked => "  [something is in the way]",
        };
        let _ = write!(text, "\n{:3}  {}{state}", step.number, step.what);
        for obstacle in &step.in_the_way {
            let _ = write!(text, "\n     ! {obstacle}");
        }
    }
    for obstacle in &plan.in_the_way {
        let _ = write!(text, "\n! {obstacle}");
    }
    let _ = write!(text, "\nby this host's clock it is {}: compare it with another", plan.clock);
    text.push_str(if plan.is_clear() {
        "\nnothing stands in the way; nothing was changed"
    } else {
        "\nnothing was changed"
    });
    text
}

/// What a re-check found.
pub(super) fn findings(report: &Report) -> String {
    let mut text = report.ceremony.clone();
    for right in &report.right {
        let _ = write!(text, "\nright  {right}");
    }
    for finding in &report.wrong {
        let _ = write!(text, "\nWRONG  {}: {}", finding.place, finding.problem);
    }
    text.push_str(match (report.wrong.is_empty(), report.authenticated) {
        (true, true) => "\nnothing was altered",
        (true, false) => {
            "\nit agrees with itself, but is not authenticated: name with --signed-by a certificate that you have from elsewhere"
        }
        (false, _) => "\nthis is not what the ceremony left",
    });
    text
}

/// What went wrong.
pub(super) fn report(as_json: bool, error: &CeremonyError) -> ExitCode {
    let (code, result, mistakes): (u8, _, &[Mistake]) = match error {
        CeremonyError::Mistakes(mistakes) => (MISTAKES, "mistakes", mistakes),
        CeremonyError::Refused(_) => (REFUSED, "refused", &[]),
        CeremonyError::HalfWay { .. } | CeremonyError::NotRolledBack(_) => (FAILED, "incomplete", &[]),
        CeremonyError::Failed(_)
        | CeremonyError::Unreadable { .. }
        | CeremonyError::Log { .. }
        | CeremonyError::Custody { .. } => (FAILED, "failed", &[]),
    };
    let message = chain(error);
    if as_json {
        print(true, &json!({ "result": result, "message": message, "mistakes": mistakes }), "");
    }
    for mistake in mistakes {
        let _ = writeln!(io::stderr().lock(), "{mistake}");
    }
    super::super::complain(&message);
    ExitCode::from(code)
}

/// The result on standard output.
pub(super) fn print(as_json: bool, json: &Value, text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away doesn't undo a ceremony.
    let _ = if as_json { writeln!(stdout, "{json:#}") } else { writeln!(stdout, "{text}") };
}
