//! The command line of `inro-hsm`. Logs go to standard error; standard output carries results only.

mod bench;
mod ceremony;
mod custody;
mod doctor;
mod journal;
mod journal_copy;
mod keys;
mod latch;
mod signer;
mod vendors;

use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::custody::forbid_dumps;
use crate::worker::process;

/// Keys in hardware: ceremonies and the signer.
#[derive(Debug, Parser)]
#[command(name = "inro-hsm", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plan, rehearse, run and verify ceremonies: keys made, renewed, rolled over, copied, retired; certificates and root CRLs.
    Ceremony(ceremony::Arguments),
    /// A PIN that nobody knows, and that several custodians open together.
    Custody(custody::Arguments),
    /// Serve keys to the authority on a Unix socket.
    Signer(signer::Arguments),
    /// Check or show a signer's journal.
    Journal(journal::Arguments),
    /// Look at, or clear, the latch that a refused PIN sets.
    Latch(latch::Arguments),
    /// Look at a module, its token and its keys, and say what is wrong and what to do about it.
    Doctor(doctor::Arguments),
    /// Measure how many signatures a second a token makes, and how many arrive through the signer.
    Bench(bench::Arguments),
    /// List a token's keys with certificates, expiry and use.
    Keys(keys::Arguments),
    /// Look at vendor profiles, or check your own.
    Vendors(vendors::Arguments),
    /// Holds a PKCS#11 module for a signer or a ceremony, which starts it; not for people.
    #[command(hide = true)]
    Worker,
}

/// Runs the program and tells how it should exit.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(matches!(arguments.command, Command::Worker));
    // Most commands hold a PIN at some time, a worker always.
    if let Err(error) = forbid_dumps().context("core files can't be forbidden") {
        return outcome(Err(error));
    }
    match arguments.command {
        Command::Ceremony(arguments) => ceremony::run(&arguments),
        Command::Custody(arguments) => custody::run(arguments),
        Command::Signer(arguments) => logged(signer::run(&arguments)),
        Command::Journal(arguments) => outcome(journal::run(arguments)),
        Command::Latch(arguments) => outcome(latch::run(&arguments)),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Bench(arguments) => outcome(bench::run(&arguments)),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Vendors(arguments) => outcome(vendors::run(arguments)),
        Command::Worker => logged(process::run().map_err(Into::into)),
    }
}

/// For commands that drive workers.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the program has no threads")
}

/// 0, or 1 with the error and its causes on standard error: a sentence, for somebody waits for it.
fn outcome(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The same of what runs in the background: a line of its log.
fn logged(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A line on standard error.
fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "inro-hsm: {message}");
}

/// Logs to standard error at `RUST_LOG`, `info` when it isn't set; a worker's lines name its threads, for they share
/// the parent's log.
fn start_log(worker: bool) {
    // cryptoki reports every mechanism that it doesn't know as an error.
    let quiet = "cryptoki::mechanism=off";
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{filter},{quiet}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{quiet}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_thread_names(worker)
        // It would be told on standard error, by a panic when that is what can't be written: a full disk under the log
        // would end the thread that speaks, such as the journal's.
        .log_internal_errors(false)
        .init();
}
