//! The command line of `inro-hsm`. Logs go to standard error; standard output carries results only.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::worker::process;

/// Keys in hardware: ceremonies and the signer.
#[derive(Debug, Parser)]
#[command(name = "inro-hsm", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Holds a PKCS#11 module for a signer or a ceremony, which starts it; not for people.
    #[command(hide = true)]
    Worker,
}

/// Runs the program and tells how it should exit.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    match arguments.command {
        Command::Worker => outcome(process::run().map_err(Into::into)),
    }
}

/// 0, or 1 with the error and its causes on standard error.
fn outcome(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error at `RUST_LOG`, `info` when it isn't set.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
