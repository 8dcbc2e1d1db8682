//! `inro-hsm ceremony`: from a specification to a transcript, and the transcript checked again.

mod report;
mod terminal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::custody::DeskArguments;
use crate::ceremony::spec::{Input, Kind};
use crate::ceremony::{self, CeremonyError, Loaded, Start, fingerprint};
use report::{FAILED, MISTAKES, NOT_AUTHENTICATED, REFUSED, print, report};
use terminal::Terminal;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (lint: no mistakes; plan: nothing stands in the way; verify: everything is right,
     and signed by those named)
  1  failed; the message says whether anything was changed (verify: something is wrong)
  2  the command line is wrong
  3  the specification, or what it needs from this machine, has mistakes; nothing was done
  4  something stands in the way: a token label, key or file that exists or is missing, an
     interrupted ceremony, or a token that lacks a slot or mechanism; nothing was done
  5  verify: everything agrees, but no certificate from elsewhere was named with --signed-by, so that
     anybody may have written it";

/// Arguments of `inro-hsm ceremony`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a specification, its modules and its PINs, and change nothing.
    #[command(after_help = EXIT_CODES)]
    Lint {
        #[command(flatten)]
        common: Common,
        /// Check the specification alone, on a machine without the tokens.
        #[arg(long)]
        spec_only: bool,
    },
    /// Look at the tokens and print every step that would be done, and what stands in its way. Changes nothing.
    #[command(after_help = EXIT_CODES)]
    Plan {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        out: Out,
        #[command(flatten)]
        desk: DeskArguments,
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
    Run(Hold),
    /// Take an interrupted ceremony back: destroy the keys and empty the tokens that it made.
    #[command(after_help = EXIT_CODES)]
    Rollback {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        out: Out,
        #[command(flatten)]
        desk: DeskArguments,
    },
    /// Online host: make keys and certification requests for a root elsewhere (a specification of kind "request").
    #[command(after_help = EXIT_CODES)]
    Request(Hold),
    /// Online host: take the root's certificates in, prove that they are of this host's keys, and sign what hangs on
    /// them (a specification of kind "install").
    #[command(after_help = EXIT_CODES)]
    Install(Hold),
    /// Show the fingerprints of certificates, requests and CRLs, in groups to read aloud.
    Fingerprint {
        /// The files, in PEM or DER.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check again what a ceremony left, without tokens and network: nothing altered, everything signed.
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// The ceremony's output.
        folder: PathBuf,
        /// A certificate that you have from elsewhere and trust: its key must have signed the transcript. Without one, a
        /// folder that agrees with itself may be anybody's. Repeat for several.
        #[arg(long, value_name = "CERTIFICATE")]
        signed_by: Vec<PathBuf>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
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

#[derive(Debug, Args)]
struct Out {
    /// Folder for the output, absent or empty [default: the specification's path with -output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Hold {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    out: Out,
    /// Go on with an interrupted ceremony.
    #[arg(long)]
    resume: bool,
    /// Say each step before it is done, and wait for Enter.
    #[arg(long)]
    step_by_step: bool,
    /// The fingerprint of the request for a certificate, as its owner read it aloud. Asked for at the terminal by
    /// default.
    #[arg(long, value_name = "CERTIFICATE=FINGERPRINT", value_parser = confirmed)]
    confirm: Vec<(String, String)>,
    #[command(flatten)]
    desk: DeskArguments,
}

fn confirmed(text: &str) -> Result<(String, String), String> {
    let (name, heard) = text.split_once('=').ok_or("write CERTIFICATE=FINGERPRINT")?;
    let heard = fingerprint::heard(heard).ok_or("a fingerprint has 64 hexadecimal digits")?;
    Ok((name.to_owned(), heard))
}

/// Runs a ceremony command.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.action {
        Action::Lint { common, spec_only } => done(common, lint(common, *spec_only)),
        Action::Plan { common, out, desk } => match plan(common, out, desk) {
            Ok(code) => code,
            Err(error) => report(common.json, &error),
        },
        Action::Rehearse { common, out, stand_in } => {
            done(common, rehearse(common, out.as_deref(), stand_in.as_deref()))
        }
        Action::Run(arguments) => done(&arguments.common, hold(arguments, None)),
        Action::Request(arguments) => done(&arguments.common, hold(arguments, Some(Kind::Request))),
        Action::Install(arguments) => done(&arguments.common, hold(arguments, Some(Kind::Install))),
        Action::Rollback { common, out, desk } => done(common, roll_back(common, out, desk)),
        Action::Fingerprint { files } => fingerprints(files),
        Action::Verify { folder, signed_by, json } => verify(folder, signed_by, *json),
    }
}

fn done(common: &Common, result: Result<(), CeremonyError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(common.json, &error),
    }
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

fn plan(common: &Common, out: &Out, desk: &DeskArguments) -> Result<ExitCode, CeremonyError> {
    let loaded = ceremony::load(&common.spec)?;
    let (mut terminal, mut people) = (Terminal::default(), desk.desk());
    let out = out.folder(&common.spec);
    let plan = runtime()?.block_on(ceremony::plan(&loaded, &out, &mut terminal, &mut people))?;
    print(common.json, &json!(plan), &report::plan(&plan));
    Ok(if plan.is_clear() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

fn rehearse(common: &Common, out: Option<&Path>, stand_in: Option<&Path>) -> Result<(), CeremonyError> {
    let loaded = ceremony::load(&common.spec)?;
    let out = out.map_or_else(|| beside(&common.spec, "-rehearsal"), Path::to_owned);
    let mut terminal = Terminal::default();
    let outcome = runtime()?.block_on(ceremony::rehearse(&loaded, &out, stand_in, &mut terminal))?;
    print(common.json, &report::summary(&outcome), &report::sentences(&outcome));
    Ok(())
}

fn hold(arguments: &Hold, only: Option<Kind>) -> Result<(), CeremonyError> {
    let Hold { common, out, resume, step_by_step, confirm, desk } = arguments;
    let loaded = ceremony::load(&common.spec)?;
    if let Some(kind) = only.filter(|kind| *kind != loaded.spec.kind) {
        return Err(wrong_kind(&loaded, kind));
    }
    let confirmed: BTreeMap<String, String> = confirm.iter().cloned().collect();
    let mut terminal = Terminal::new(*step_by_step, confirmed);
    let mut people = desk.desk();
    let start = if *resume { Start::Resuming } else { Start::Afresh };
    let out = out.folder(&common.spec);
    let outcome = runtime()?.block_on(ceremony::run(&loaded, &out, start, &mut terminal, &mut people))?;
    print(common.json, &report::summary(&outcome), &report::sentences(&outcome));
    Ok(())
}

fn wrong_kind(loaded: &Loaded, wanted: Kind) -> CeremonyError {
    let obstacle = format!(
        "the specification is of kind {:?}, and this command is for {:?}: call `inro-hsm ceremony run`",
        loaded.spec.kind.name(),
        wanted.name()
    );
    CeremonyError::Refused(vec![obstacle])
}

fn roll_back(common: &Common, out: &Out, desk: &DeskArguments) -> Result<(), CeremonyError> {
    let loaded = ceremony::load(&common.spec)?;
    let (mut terminal, mut people) = (Terminal::default(), desk.desk());
    let out = out.folder(&common.spec);
    let outcome = runtime()?.block_on(ceremony::roll_back(&loaded, &out, &mut terminal, &mut people))?;
    let text = format!("taken back; the transcript of it is in {}", outcome.folder.display());
    print(common.json, &report::summary(&outcome), &text);
    Ok(())
}

fn fingerprints(files: &[PathBuf]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match Input::read(file) {
            Ok(input) => {
                let text = fingerprint::shown(&fingerprint::of(&input.der), "  ");
                print(false, &json!(null), &format!("{}\n{text}", file.display()));
            }
            Err(problem) => {
                super::complain(&format!("{} {problem}", file.display()));
                code = ExitCode::from(MISTAKES);
            }
        }
    }
    code
}

fn verify(folder: &Path, signed_by: &[PathBuf], json: bool) -> ExitCode {
    let mut trusted = Vec::new();
    for path in signed_by {
        match Input::read(path) {
            Ok(input) => trusted.push(input),
            Err(problem) => {
                super::complain(&format!("--signed-by {} {problem}", path.display()));
                return ExitCode::from(MISTAKES);
            }
        }
    }
    let found = ceremony::verify(folder, &trusted);
    print(json, &json!(found), &report::findings(&found));
    match (found.wrong.is_empty(), found.authenticated) {
        (false, _) => ExitCode::from(FAILED),
        (true, false) => ExitCode::from(NOT_AUTHENTICATED),
        (true, true) => ExitCode::SUCCESS,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CeremonyError> {
    super::runtime().map_err(|error| CeremonyError::Refused(vec![format!("{error:#}")]))
}

impl Out {
    fn folder(&self, spec: &Path) -> PathBuf {
        self.out.clone().unwrap_or_else(|| beside(spec, "-output"))
    }
}

/// `ceremony.toml` with `-output` is `ceremony-output`.
fn beside(spec: &Path, suffix: &str) -> PathBuf {
    let mut name = spec.with_extension("").into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
