//! `make bench`: our figures beside somebody else's, measured in the same run, into `target/bench/results.json`.
//!
//! Machines differ and are busy; only the ratio means something.

mod baseline;
mod enrol;
mod load;
mod ocsp;

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use softhsm_tests::bank::{Bank, Options};

/// Measures and writes `results.json`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where results and working files go; replaced.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Seconds of load for each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only count raw signatures, with the PIN in this file.
    #[arg(long, hide = true)]
    raw_signatures: Option<PathBuf>,
}

/// One line of `results.json`.
#[derive(Debug, Serialize)]
struct Figure {
    bench: &'static str,
    unit: &'static str,
    ours: f64,
    baseline: f64,
    baseline_name: &'static str,
    ratio: f64,
}

impl Figure {
    fn new(bench: &'static str, unit: &'static str, ours: f64, baseline: (&'static str, f64)) -> Self {
        let (baseline_name, baseline) = baseline;
        Self { bench, unit, ours, baseline, baseline_name, ratio: ours / baseline }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even that can't be said.
            let _ = writeln!(std::io::stderr(), "the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(pin_file) = &arguments.raw_signatures {
        let rate = baseline::count_raw_signatures(pin_file, arguments.seconds)?;
        return writeln!(std::io::stdout(), "{rate}").context("telling the rate");
    }
    let folder = &arguments.directory;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let bank = Bank::open(&folder.join("bank"), &Options::default())?;
    let users = enrol::register(&bank)?;
    let mut figures = vec![enrol::full(&bank, &users)?];
    figures.push(ocsp::cached(&bank, &users, arguments.seconds)?);
    figures.push(ocsp::signed(&bank, &users, arguments.seconds)?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<16} {:>12} {:>12}  {:>6}  unit, baseline", "bench", "ours", "baseline", "ratio")?;
    for figure in &figures {
        writeln!(
            out,
            "{:<16} {:>12.1} {:>12.1}  {:>6.2}  {}, {}",
            figure.bench, figure.ours, figure.baseline, figure.ratio, figure.unit, figure.baseline_name
        )?;
    }
    let results = folder.join("results.json");
    fs::write(&results, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| format!("writing {}", results.display()))
}
