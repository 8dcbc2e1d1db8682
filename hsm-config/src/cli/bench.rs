//! `inro-hsm bench`: signatures per second, by the token alone and through the signer.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::bench::{self, Figure, Plan};
use crate::doctor::{SubjectKey, subject};
use crate::signer::config;

const WHAT_IT_SIGNS: &str = "\
What it signs: by the token alone a fixed text that is no certificate, CRL or OCSP response;
through the signer each key proves itself, which the signer neither journals nor counts.
It loads the HSM as much as it can: on one that serves customers keep --seconds short.";

/// Measures signatures per second and their percentiles, per key and number of lanes.
#[derive(Debug, Args)]
#[command(after_help = WHAT_IT_SIGNS)]
pub(super) struct Arguments {
    /// The signer's configuration, signer.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this key, by its label; may be repeated.
    #[arg(long = "key", value_name = "LABEL")]
    keys: Vec<String>,
    /// Numbers of lanes to measure.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8", value_parser = clap::value_parser!(u16).range(1..=512))]
    lanes: Vec<u16>,
    /// Seconds for each key and number of lanes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only the token, by a worker and sessions of its own.
    #[arg(long, conflicts_with = "signer_only")]
    raw_only: bool,
    /// Only through the running signer.
    #[arg(long)]
    signer_only: bool,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong, or a key can't sign.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !(0.01..=3600.0).contains(&arguments.seconds) {
        bail!("--seconds {}: give 0.01 to 3600", arguments.seconds);
    }
    let config = config::load(&arguments.config)?;
    let socket = config.socket.path.clone();
    let subjects = subject::of_config(&arguments.config, &config);
    let plan = Plan { lanes: arguments.lanes.clone(), time: Duration::from_secs_f64(arguments.seconds) };
    let mut tell = |line: &str| {
        let _ = writeln!(io::stderr().lock(), "{line}");
    };
    let runtime = super::runtime()?;
    let mut figures = Vec::new();
    for subject in &subjects {
        let keys = chosen(&subject.keys, &arguments.keys)?;
        if !arguments.signer_only {
            figures.extend(runtime.block_on(bench::raw(subject, &keys, &plan, &mut tell))?);
        }
    }
    if let Some(subject) = subjects.first()
        && !arguments.raw_only
    {
        if socket.exists() {
            let keys = chosen(&subject.keys, &arguments.keys)?;
            figures.extend(runtime.block_on(bench::through_signer(&socket, &keys, &plan, &mut tell))?);
        } else if arguments.signer_only {
            bail!("there is no socket at {}: start the signer", socket.display());
        } else {
            tell(&format!("no socket at {}: the signer isn't running and isn't measured", socket.display()));
        }
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", json!({ "figures": figures }))?;
        return Ok(());
    }
    Ok(table(&mut out, &figures)?)
}

fn chosen<'a>(keys: &'a [SubjectKey], labels: &[String]) -> anyhow::Result<Vec<&'a SubjectKey>> {
    if let Some(unknown) = labels.iter().find(|label| !keys.iter().any(|key| key.label == **label)) {
        let known: Vec<&str> = keys.iter().map(|key| key.label.as_str()).collect();
        bail!("--key {unknown:?}: the configuration has {}", known.join(", "));
    }
    Ok(keys.iter().filter(|key| labels.is_empty() || labels.contains(&key.label)).collect())
}

fn table(out: &mut impl Write, figures: &[Figure]) -> io::Result<()> {
    writeln!(
        out,
        "{:<7} {:<24} {:>5} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "path", "key", "lanes", "per second", "p50 ms", "p95 ms", "p99 ms", "max ms", "failures"
    )?;
    for figure in figures {
        writeln!(
            out,
            "{:<7} {:<24} {:>5} {:>10.1} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>8}",
            figure.path,
            figure.key,
            figure.lanes,
            figure.per_second,
            figure.p50_ms,
            figure.p95_ms,
            figure.p99_ms,
            figure.max_ms,
            figure.failures
        )?;
    }
    Ok(())
}
