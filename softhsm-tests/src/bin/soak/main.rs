//! `make soak`: every fault that Inro must survive, at full size, into `target/soak/report.md` and `report.json`. What a
//! fault's last run found stays in the report until that fault is run again, whatever else is run or interrupted.

mod elsewhere;
mod report;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser;
use jiff::Timestamp;
use softhsm_tests::{
    scratch::Scratch,
    soak::{SCENARIOS, Scenario, Size, scenario},
};

use elsewhere::{ELSEWHERE, Elsewhere};
use report::{Entry, Found, Report};

/// Does its worst to a bank, and writes down what held.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these faults, such as R1,R4.
    #[arg(long, value_delimiter = ',', ignore_case = true, value_parser = faults())]
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

fn faults() -> clap::builder::PossibleValuesParser {
    names().collect::<Vec<_>>().into()
}

/// All faults, in the order in which they are run.
fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(fault, _)| *fault).chain(ELSEWHERE.iter().map(|elsewhere| elsewhere.fault))
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

/// Whether everything held that was run.
fn run(arguments: &Arguments) -> Result<bool> {
    let mut size = if arguments.small { Size::small() } else { Size::full() };
    size.seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    if let Some(minutes) = arguments.minutes {
        size.overload = Duration::from_mins(minutes);
    }
    let mut report = Report::open(&arguments.directory)?;
    let mut all_held = true;
    for fault in names().filter(|fault| wanted(&arguments.only, fault)) {
        let entry = one(fault, &size, arguments.small)?;
        all_held &= entry.held();
        // After each, so that an interrupted soak leaves what it found.
        report.take(entry, names())?;
    }
    Ok(all_held)
}

fn wanted(only: &[String], fault: &str) -> bool {
    only.is_empty() || only.iter().any(|only| only.eq_ignore_ascii_case(fault))
}

/// Runs one fault, tells of it, and keeps its files unless it held.
fn one(fault: &'static str, size: &Size, small: bool) -> Result<Entry> {
    let scratch = Scratch::new(&format!("soak-{}", fault.to_lowercase()))?;
    let mut out = std::io::stdout().lock();
    write!(out, "{fault:<10} ")?;
    out.flush()?;
    let outcome = match Which::of(fault)? {
        Which::Scenario(scenario) => scenario(&scratch.join(fault), size).map(Found::from),
        Which::Elsewhere(elsewhere) => elsewhere.run(scratch.path(), small),
    };
    let mut entry = Entry::new(fault, Timestamp::now(), size.seed, small, outcome);
    if !entry.held() {
        entry.files = Some(scratch.keep());
    }
    writeln!(out, "{entry}")?;
    Ok(entry)
}

enum Which {
    Scenario(Scenario),
    Elsewhere(&'static Elsewhere),
}

impl Which {
    fn of(fault: &str) -> Result<Self> {
        let elsewhere = || ELSEWHERE.iter().find(|elsewhere| elsewhere.fault == fault).map(Self::Elsewhere);
        let scenario = scenario(fault).map(Self::Scenario);
        scenario.or_else(elsewhere).context("no such fault")
    }
}
