//! `make soak`: every fault that Inro must survive, at full size, into `target/soak/report.md` and `report.json`.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use softhsm_tests::{
    scratch::Scratch,
    soak::{Outcome, SCENARIOS, Scenario, Size},
};

/// Does its worst to a bank, and writes down what held.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these faults, such as R1,R4.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// As small as in `make test`.
    #[arg(long)]
    small: bool,
    /// How long the overload lasts, in minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Where all that is random begins; the report tells it.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report goes.
    #[arg(long, default_value = "target/soak")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do when even that can't be said.
            let _ = writeln!(std::io::stderr(), "the soak failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
fn run(arguments: &Arguments) -> Result<bool> {
    let mut size = if arguments.small { Size::small() } else { Size::full() };
    size.seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    if let Some(minutes) = arguments.minutes {
        size.overload = Duration::from_mins(minutes);
    }
    let folder = &arguments.directory;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut report = Vec::new();
    for (fault, scenario) in SCENARIOS {
        if arguments.only.is_empty() || arguments.only.iter().any(|only| only == fault) {
            report.push(one(fault, *scenario, &size)?);
            // After each, so that an interrupted soak leaves what it found.
            write_report(folder, &size, &report)?;
        }
    }
    Ok(report.iter().all(Held::is_sound))
}

/// How a scenario ended.
enum Held {
    Ran(Box<Outcome>),
    Failed { fault: &'static str, error: String },
}

impl Held {
    fn is_sound(&self) -> bool {
        matches!(self, Self::Ran(outcome) if outcome.violations.is_empty())
    }
}

fn one(fault: &'static str, scenario: Scenario, size: &Size) -> Result<Held> {
    let scratch = Scratch::new(&format!("soak-{}", fault.to_lowercase()))?;
    let mut out = std::io::stdout().lock();
    write!(out, "{fault:<4} ")?;
    out.flush()?;
    let held = match scenario(&scratch.join(fault), size) {
        Ok(outcome) => Held::Ran(Box::new(outcome)),
        Err(error) => Held::Failed { fault, error: format!("{error:#}") },
    };
    match &held {
        Held::Ran(outcome) if held.is_sound() => {
            writeln!(out, "held, {} s  {}", outcome.seconds, json!(outcome.figures))?;
        }
        Held::Ran(outcome) => {
            let files = scratch.keep();
            writeln!(out, "DID NOT HOLD, {} s, files in {}", outcome.seconds, files.display())?;
            for violation in outcome.violations.iter().take(20) {
                writeln!(out, "     {violation}")?;
            }
        }
        Held::Failed { error, .. } => {
            let files = scratch.keep();
            writeln!(out, "COULD NOT BE RUN TO ITS END, files in {}: {error}", files.display())?;
        }
    }
    Ok(held)
}

fn write_report(folder: &Path, size: &Size, report: &[Held]) -> Result<()> {
    let mut text = format!("# Faults survived\n\nSeed {}.\n", size.seed);
    let mut values = Vec::new();
    for held in report {
        match held {
            Held::Ran(outcome) => {
                let verdict = if held.is_sound() { "held" } else { "DID NOT HOLD" };
                write!(text, "\n## {} {verdict}\n\n{}.\n\n", outcome.fault, outcome.invariant)?;
                writeln!(text, "| figure | value |\n| --- | --- |\n| seconds | {} |", outcome.seconds)?;
                for (name, value) in &outcome.figures {
                    writeln!(text, "| {} | {value} |", name.replace('_', " "))?;
                }
                for violation in &outcome.violations {
                    writeln!(text, "\n- {violation}")?;
                }
                values.push(serde_json::to_value(outcome)?);
            }
            Held::Failed { fault, error } => {
                write!(text, "\n## {fault} could not be run to its end\n\n{error}\n")?;
                values.push(json!({"fault": fault, "error": error}));
            }
        }
    }
    put(&folder.join("report.md"), &text)?;
    let json = json!({"seed": size.seed, "faults": values});
    put(&folder.join("report.json"), &(serde_json::to_string_pretty(&json)? + "\n"))
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
