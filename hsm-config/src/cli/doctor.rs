//! `inro-hsm doctor`: every finding with its remedy, and a status that scripts can read.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::doctor::{self, Report, Severity, Subject, subject};
use crate::signer::config;
use crate::token::{ModuleAccess, PinSource, TokenSelection};
use crate::vendor::Profile;

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing is wrong
  1  warnings: it works, but not as it should or not for long
  2  errors: a ceremony or the signer would fail, or the command line is wrong";

/// Looks at a module, its token and its keys, and says what is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print findings as JSON.
    #[arg(long)]
    json: bool,
}

/// What to look at: a signer's configuration, or a module.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Target {
    /// The signer's configuration, signer.toml; says all the rest.
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    config: Option<PathBuf>,
    /// A PKCS#11 library, before there is a configuration.
    #[arg(long, value_name = "LIBRARY")]
    module: Option<PathBuf>,
    /// Its vendor profile, by name or path [default: by the library's file name]
    #[arg(long, value_name = "NAME", requires = "module")]
    vendor: Option<String>,
    /// A variable that the library reads, such as `SOFTHSM2_CONF=/etc/softhsm2.conf`; may be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", requires = "module")]
    environment: Vec<String>,
    /// The token's label [default: the only one there is]
    #[arg(long, requires = "module", conflicts_with = "serial")]
    label: Option<String>,
    /// The token's serial number.
    #[arg(long, requires = "module")]
    serial: Option<String>,
    /// File with the user's PIN; without it nobody logs in.
    #[arg(long, value_name = "FILE", requires = "module")]
    pin_file: Option<PathBuf>,
}

impl Target {
    /// The signer's configuration, if one was named.
    pub(super) fn config(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    /// The tokens that are meant.
    ///
    /// # Errors
    /// When the configuration, the profile or the command line is wrong.
    pub(super) fn subjects(&self) -> anyhow::Result<Vec<Subject>> {
        if let Some(path) = &self.config {
            return Ok(subject::of_config(path, &config::load(path)?));
        }
        let module = self.module.clone().context("name a configuration or a module")?;
        let mut environment = BTreeMap::new();
        for pair in &self.environment {
            let Some((name, value)) = pair.split_once('=') else {
                bail!("--env {pair:?}: write NAME=VALUE");
            };
            environment.insert(name.to_owned(), value.to_owned());
        }
        let mut access = ModuleAccess::new(module, environment);
        access.vendor = Profile::choose(self.vendor.as_deref(), &access.module)?;
        let label = self.label.clone().map(TokenSelection::Label);
        Ok(vec![Subject {
            access,
            token: label.or_else(|| self.serial.clone().map(TokenSelection::Serial)),
            pin: self.pin_file.clone().map(PinSource::File),
            latch: None,
            lanes: 4,
            start_deadline: Duration::from_secs(30),
            sign_deadline: Duration::from_secs(10),
            keys: Vec::new(),
            files: None,
        }])
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let reports = match reports(arguments) {
        Ok(reports) => reports,
        Err(error) => {
            let message = format!("{error:#}");
            if arguments.json {
                let _ =
                    writeln!(io::stdout().lock(), "{:#}", json!({ "worst": "error", "message": message }));
            }
            super::complain(&message);
            return ExitCode::from(2);
        }
    };
    let worst = reports.iter().map(Report::worst).max().unwrap_or(Severity::Fine);
    let mut stdout = io::stdout().lock();
    let _ = if arguments.json {
        writeln!(stdout, "{:#}", json!({ "worst": worst, "reports": reports }))
    } else {
        print(&mut stdout, &reports)
    };
    match worst {
        Severity::Fine | Severity::Note => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::from(1),
        Severity::Error => ExitCode::from(2),
    }
}

fn reports(arguments: &Arguments) -> anyhow::Result<Vec<Report>> {
    let subjects = arguments.target.subjects()?;
    let runtime = super::runtime()?;
    let mut tell = |line: &str| {
        let _ = writeln!(io::stderr().lock(), "{line}");
    };
    Ok(runtime.block_on(async {
        let mut reports = Vec::new();
        for subject in &subjects {
            reports.push(doctor::examine(subject, &mut tell).await);
        }
        reports
    }))
}

fn print(out: &mut impl Write, reports: &[Report]) -> io::Result<()> {
    for report in reports {
        for finding in &report.findings {
            let mark = match finding.severity {
                Severity::Fine => "ok     ",
                Severity::Note => "note   ",
                Severity::Warning => "WARNING",
                Severity::Error => "ERROR  ",
            };
            writeln!(out, "{mark} {:<11} {}: {}", finding.check, finding.about, finding.finding)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "        {:<11} -> {remedy}", "")?;
            }
        }
    }
    let count = |severity| {
        reports
            .iter()
            .flat_map(|report| &report.findings)
            .filter(|finding| finding.severity == severity)
            .count()
    };
    writeln!(out, "{} error(s), {} warning(s)", count(Severity::Error), count(Severity::Warning))
}
