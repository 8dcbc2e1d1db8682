//! `inro-hsm latch`: a human looks at a refused PIN and lets the signer try again.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, ensure};
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
    /// Only the latch of this token; each has one of its own.
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the configuration or the latch can't be read or written.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let (Command::Show(which) | Command::Clear(which)) = &arguments.command;
    for (token, latch) in latches(which)? {
        let failed = |what| format!("{} can't be {what}", latch.path().display());
        let said = match arguments.command {
            Command::Show(_) => match latch.read().with_context(|| failed("read"))? {
                Some(Refused { at, detail }) => format!("set at {at}: {detail}"),
                None => "not set".to_owned(),
            },
            Command::Clear(_) => match latch.clear().with_context(|| failed("removed"))? {
                Some(Refused { at, detail }) => format!("cleared; it was set at {at}: {detail}"),
                None => "it was not set".to_owned(),
            },
        };
        writeln!(out, "{token}: {said}")?;
    }
    Ok(())
}

/// The latches that are meant, by the token's name.
fn latches(which: &Which) -> anyhow::Result<Vec<(String, Latch)>> {
    let mut all = config::latch_paths(&which.config)?;
    if let Some(token) = &which.token {
        let names: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
        all.retain(|(name, _)| name == token);
        ensure!(!all.is_empty(), "there is no token {token:?}; there are {}", names.join(", "));
    }
    Ok(all.into_iter().map(|(name, path)| (name, Latch::new(path))).collect())
}
