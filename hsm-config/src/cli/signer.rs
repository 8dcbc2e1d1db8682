//! `inro-hsm signer`: serves a configuration, or only checks it.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::signer::{self, config};

/// Serves keys on a socket.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The signer's configuration, `signer.toml`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration, without touching token, journal or socket.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong or the signer can't start.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.config)?;
    if arguments.check {
        tracing::info!(signer = config.name, keys = config.keys.len(), "the configuration is valid");
        return Ok(());
    }
    signer::run(config).context("the signer ended")
}
