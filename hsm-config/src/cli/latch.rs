//! `inro-hsm latch`: a human looks at a refused PIN and lets the signer try again.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::signer::{
    config,
    latch::{Latch, Refused},
};

/// The latch that a refused PIN sets.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says whether the latch is set, and why.
    Show(Which),
    /// Clears the latch: the signer logs in once more. Correct the PIN file first, and see how many tries the token
    /// has left.
    Clear(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The signer's configuration, `signer.toml`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the configuration or the latch can't be read or written.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match arguments.command {
        Command::Show(which) => {
            let latch = Latch::new(config::latch_path(&which.config)?);
            match latch.read().with_context(|| format!("{} can't be read", latch.path().display()))? {
                Some(Refused { at, detail }) => writeln!(out, "set at {at}: {detail}")?,
                None => writeln!(out, "not set")?,
            }
        }
        Command::Clear(which) => {
            let latch = Latch::new(config::latch_path(&which.config)?);
            match latch.clear().with_context(|| format!("{} can't be removed", latch.path().display()))? {
                Some(Refused { at, detail }) => writeln!(out, "cleared; it was set at {at}: {detail}")?,
                None => writeln!(out, "it was not set")?,
            }
        }
    }
    Ok(())
}
