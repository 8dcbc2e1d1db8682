//! `make bench`: our figures beside somebody else's, measured by turns in the same run, into `target/bench/results.json`
//! and a report to read, `target/bench/report.html`.
//!
//! Machines differ and are busy; only the ratio means something.

mod agent;
mod baseline;
mod cpu;
mod enrol;
mod figure;
mod issuance;
mod issue;
mod lab;
mod ledger;
mod load;
mod machine;
mod ocsp;
mod peer;
mod population;
mod report;
mod search;
mod start;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use figure::Figure;
use lab::Lab;
use machine::Machine;

/// Measures, and writes `results.json` and `report.html`.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything by default.
    benches: Vec<String>,
    /// Only say what there is to measure.
    #[arg(long)]
    list: bool,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Where results and working files go; replaced.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Seconds of load for each turn.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Tokens that are made beforehand; an issuing bench uses up one for each certificate.
    #[arg(long, default_value_t = 32_000)]
    tokens: usize,
    /// Certificates in ledger and journal for the bench `start`, users for `search`.
    #[arg(long, default_value_t = 1_000_000)]
    certificates: usize,
}

/// Something to measure.
struct Bench {
    name: &'static str,
    what: &'static str,
    run: fn(&Lab) -> Result<Vec<Figure>>,
}

/// Everything there is to measure.
const BENCHES: &[Bench] = &[
    Bench {
        name: "issue_offbox",
        what: "certificates/s behind a simulated network HSM of 8 ms and 16 lanes",
        run: issue::offbox,
    },
    Bench { name: "issue_softhsm_p256", what: "certificates/s by a P-256 key on SoftHSM", run: issue::p256 },
    Bench {
        name: "issue_softhsm_p256_postgres",
        what: "the same with the ledger on PostgreSQL",
        run: issue::p256_postgres,
    },
    Bench { name: "issue_softhsm_p384", what: "certificates/s by a P-384 key on SoftHSM", run: issue::p384 },
    Bench {
        name: "issue_softhsm_rsa3072",
        what: "certificates/s by an RSA-3072 key on SoftHSM",
        run: issue::rsa3072,
    },
    Bench {
        name: "enrol_full",
        what: "a customer's whole enrolment at the server, password included",
        run: enrol::full,
    },
    Bench {
        name: "agent_enrol",
        what: "the agent's whole enrolment on a virtual YubiKey",
        run: agent::enrol,
    },
    Bench {
        name: "search",
        what: "the console's searches among as many users, on both engines",
        run: search::search,
    },
    Bench { name: "start", what: "signer and authority from exec to ready", run: start::start },
    Bench { name: "ocsp_cached", what: "OCSP responses/s, ready ones", run: ocsp::cached },
    Bench { name: "ocsp_signed", what: "OCSP responses/s, signed on demand with a nonce", run: ocsp::signed },
];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even that can't be said.
            let _ = writeln!(io::stderr(), "the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        let mut out = io::stdout().lock();
        for bench in BENCHES {
            writeln!(out, "{:<24} {}", bench.name, bench.what)?;
        }
        return Ok(());
    }
    if let Some(unknown) = arguments.benches.iter().find(|name| BENCHES.iter().all(|b| b.name != **name)) {
        bail!("there is no bench {unknown:?}: see --list");
    }
    // Daemons that are started in it change their own working directory.
    let directory = std::path::absolute(&arguments.directory).context("finding the directory")?;
    let lab = Lab::new(&directory, arguments.seconds, (arguments.tokens, arguments.certificates))?;
    let machine = Machine::describe();
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    let wanted = |bench: &&Bench| {
        arguments.benches.is_empty() || arguments.benches.iter().any(|name| name == bench.name)
    };
    for bench in BENCHES.iter().filter(wanted) {
        lab.say(&format!("{}: {}", bench.name, bench.what));
        let began = Instant::now();
        let measured = match (bench.run)(&lab) {
            Ok(measured) => measured,
            Err(error) => {
                // The others' figures are worth as much as before.
                lab.say(&format!("  failed: {error:#}"));
                failed.push(bench.name);
                continue;
            }
        };
        for figure in &measured {
            lab.say(&line(figure));
        }
        lab.say(&format!("  took {:.0} s in all", began.elapsed().as_secs_f64()));
        figures.extend(measured);
    }
    let json = serde_json::to_string_pretty(&figures)? + "\n";
    write(&arguments.directory.join("results.json"), &json)?;
    write(&arguments.directory.join("report.html"), &report::html(&machine, &figures)?)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        out.write_all(json.as_bytes()).context("printing the results")?;
    } else {
        for figure in &figures {
            writeln!(out, "{}", line(figure))?;
        }
        writeln!(out, "report: {}", arguments.directory.join("report.html").display())?;
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn line(figure: &Figure) -> String {
    let verdict = match figure.is_reached() {
        Some(true) => "reached",
        Some(false) => "not reached",
        None => "",
    };
    let Figure { bench, unit, ours, baseline, baseline_name, ratio, .. } = figure;
    format!("{bench:<24} {ours:>10.1} {unit:<15} {baseline:>10.1} {ratio:>7.3} {verdict:<12} {baseline_name}")
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
