//! `inro-ca config check`: the file and everything that it names, without touching database or signer.

use clap::Subcommand;
use serde::Serialize;

use super::{exit::CliError, output::Output};
use crate::{config::Config, material, wiring};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the configuration file and the files that it names.
    Check,
}

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a std::path::Path,
    node: &'a str,
    issuers: Vec<&'a str>,
    warnings: Vec<&'static str>,
}

/// What is permitted but never meant for customers.
pub(super) fn warnings(config: &Config) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    if config.trust.test_anchors {
        warnings.push(
            "trust.test_anchors is on: programs can pass for tokens; for demonstrations and tests only",
        );
    }
    if config.hours.mode == crate::config::HoursMode::AlwaysOpen {
        warnings.push("hours.mode is always-open: rule 3 is off; for demonstrations and tests only");
    }
    if config.mail.is_none() {
        warnings.push("there is no section [mail]: users are told on the home page only");
    }
    warnings
}

pub(super) fn run(command: &Command, config: &Config, output: Output) -> Result<(), CliError> {
    match command {
        Command::Check => {
            let material = material::load(config).map_err(CliError::configuration)?;
            wiring::check_profile(config, &material).map_err(CliError::configuration)?;
            material::server_identity(&config.tls).map_err(CliError::configuration)?;
            wiring::check_address(config).map_err(CliError::configuration)?;
            let checked = Checked {
                file: &config.path,
                node: &config.node.name,
                issuers: config.issuers.iter().map(|issuer| issuer.id.as_str()).collect(),
                warnings: warnings(config),
            };
            output.result(&checked, |out| {
                for warning in &checked.warnings {
                    writeln!(out, "warning: {warning}")?;
                }
                writeln!(out, "{} can be used", config.path.display())
            })
        }
    }
}
