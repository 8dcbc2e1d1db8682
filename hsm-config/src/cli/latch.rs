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
    /// Clears the latch: a login may be tried once more, with another PIN. See first how many tries the token has left.
    /// A PIN that comes as a systemd credential is unpacked when the signer starts: stop the signer before, start it
    /// afterwards.
    Clear(Clear),
}

#[derive(Debug, Args)]
struct Clear {
    #[command(flatten)]
    which: Which,
    /// Lets the PIN that was refused be given again, because it is right and the token was put right instead.
    #[arg(long)]
    same_pin: bool,
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
    let (Command::Show(which) | Command::Clear(Clear { which, .. })) = &arguments.command;
    for (token, latch) in latches(which)? {
        let failed = |what| format!("{} can't be {what}", latch.path().display());
        let said = match &arguments.command {
            Command::Show(_) => match latch.read().with_context(|| failed("read"))? {
                Some(Refused { at, detail }) => format!("set at {at}: {detail}"),
                None => "not set".to_owned(),
            },
            Command::Clear(Clear { same_pin, .. }) => {
                match latch.clear(*same_pin).with_context(|| failed("removed"))? {
                    Some(Refused { at, detail }) => format!("cleared; it was set at {at}: {detail}"),
                    None => "it was not set".to_owned(),
                }
            }
        };
        // Where the login's file can't be understood the latch is set, and said so.
        let remembered = match latch.refused_pins().unwrap_or_default() {
            0 => "",
            _ => "; the PIN that was refused isn't given again (unless by `latch clear --same-pin`)",
        };
        writeln!(out, "{token}: {said}{remembered}")?;
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
