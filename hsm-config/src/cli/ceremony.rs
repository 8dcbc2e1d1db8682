//! `inro-hsm ceremony`: lint, rehearse, run.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ceremony::{self, CeremonyError, Mistake, Outcome};

const EXIT_CODES: &str = "\
Exit codes:
  0  done (lint: no mistakes)
  1  failed; the message says whether anything was changed
  2  the command line is wrong
  3  the specification, or what it needs from this machine, has mistakes; nothing was done
  4  something stands in the way: a token label, key or file that exists, or a token that
     lacks a slot or mechanism; nothing was done";

const MISTAKES: u8 = 3;
const REFUSED: u8 = 4;

/// Arguments of `inro-hsm ceremony`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a specification, its modules and its PIN files, and change nothing.
    #[command(after_help = EXIT_CODES)]
    Lint {
        #[command(flatten)]
        common: Common,
        /// Check the specification alone, on a machine without the tokens.
        #[arg(long)]
        spec_only: bool,
    },
    /// Do everything on throw-away software tokens and keep only a transcript.
    #[command(after_help = EXIT_CODES)]
    Rehearse {
        #[command(flatten)]
        common: Common,
        /// Folder for rehearsal.json and rehearsal.txt [default: the specification's path with -rehearsal]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// SoftHSM library that stands in for the specification's modules.
        #[arg(long, value_name = "MODULE")]
        stand_in: Option<PathBuf>,
    },
    /// Hold the ceremony.
    #[command(after_help = EXIT_CODES)]
    Run {
        #[command(flatten)]
        common: Common,
        /// Folder for the output, absent or empty [default: the specification's path with -output]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The specification.
    spec: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a ceremony command.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (common, result) = match &arguments.action {
        Action::Lint { common, spec_only } => (common, lint(common, *spec_only)),
        Action::Rehearse { common, out, stand_in } => {
            let out = out.clone().unwrap_or_else(|| beside(&common.spec, "-rehearsal"));
            (common, hold(common, Kind::Rehearsal(stand_in.as_deref()), &out))
        }
        Action::Run { common, out } => {
            let out = out.clone().unwrap_or_else(|| beside(&common.spec, "-output"));
            (common, hold(common, Kind::Ceremony, &out))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(common, &error),
    }
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Rehearsal(Option<&'a Path>),
    Ceremony,
}

/// `ceremony.toml` with `-output` is `ceremony-output`.
fn beside(spec: &Path, suffix: &str) -> PathBuf {
    let mut name = spec.with_extension("").into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn lint(common: &Common, spec_only: bool) -> Result<(), CeremonyError> {
    let loaded = ceremony::load(&common.spec)?;
    let mistakes = if spec_only { Vec::new() } else { ceremony::machine(&loaded.spec) };
    if !mistakes.is_empty() {
        return Err(CeremonyError::Mistakes(mistakes));
    }
    print(common.json, &json!({ "result": "ok", "mistakes": [] }), "no mistakes");
    Ok(())
}

fn hold(common: &Common, kind: Kind<'_>, out: &Path) -> Result<(), CeremonyError> {
    let loaded = ceremony::load(&common.spec)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CeremonyError::Refused(vec![format!("no threads: {e}")]))?;
    let outcome = runtime.block_on(async {
        match kind {
            Kind::Rehearsal(stand_in) => ceremony::rehearse(&loaded, out, stand_in, &mut progress).await,
            Kind::Ceremony => ceremony::run(&loaded, out, &mut progress).await,
        }
    })?;
    print(common.json, &summary(&outcome), &sentences(&outcome));
    Ok(())
}

/// A line on standard error, with the time of day in UTC.
fn progress(line: &str) {
    let now = Timestamp::now().strftime("%H:%M:%SZ");
    let _ = writeln!(io::stderr().lock(), "{now}  {line}");
}

fn summary(outcome: &Outcome) -> Value {
    json!({
        "result": "done",
        "kind": outcome.transcript.kind,
        "folder": outcome.folder,
        "transcript": outcome.transcript_files,
        "certificates": outcome.transcript.certificates,
        "files": outcome.transcript.files,
    })
}

fn sentences(outcome: &Outcome) -> String {
    let mut text = format!("done; see {}", outcome.folder.display());
    for file in &outcome.transcript_files {
        let _ = write!(text, "\nSHA-256 {}  {}", file.sha256, file.name);
    }
    text.push_str("\nThose present note these hashes and sign the transcript.");
    text
}

fn report(common: &Common, error: &CeremonyError) -> ExitCode {
    let (code, result, mistakes): (u8, _, &[Mistake]) = match error {
        CeremonyError::Mistakes(mistakes) => (MISTAKES, "mistakes", mistakes),
        CeremonyError::Refused(_) => (REFUSED, "refused", &[]),
        CeremonyError::HalfWay { .. } => (1, "incomplete", &[]),
        CeremonyError::Failed(_) | CeremonyError::Unreadable { .. } => (1, "failed", &[]),
    };
    let message = ceremony::chain(error);
    if common.json {
        print(true, &json!({ "result": result, "message": message, "mistakes": mistakes }), "");
    }
    let mut stderr = io::stderr().lock();
    for mistake in mistakes {
        let _ = writeln!(stderr, "{mistake}");
    }
    let _ = writeln!(stderr, "inro-hsm: {message}");
    ExitCode::from(code)
}

fn print(as_json: bool, json: &Value, text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away doesn't undo a ceremony.
    let _ = if as_json { writeln!(stdout, "{json:#}") } else { writeln!(stdout, "{text}") };
}
