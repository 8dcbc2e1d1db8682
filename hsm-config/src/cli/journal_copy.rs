//! What `inro-hsm journal` does to copies and, once in a lifetime, to a journal.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use signer_protocol::message::EntryBody;

use crate::journal::{
    Journal,
    copy::{self, Copying},
};

/// `inro-hsm journal copy`.
#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The journal's file.
    path: PathBuf,
    /// The copy's file, created when missing; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Goes on copying what is appended, until it is stopped, at any moment.
    #[arg(long)]
    follow: bool,
    /// With `--follow`: seconds between two looks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// To standard output: only what comes after this entry, which the receiving copy has.
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
    after: u64,
}

/// Copies once or for ever. Says on standard error how far it came.
///
/// # Errors
/// Whatever keeps the copy from being a prefix of the journal.
pub(super) fn copy(arguments: &Copy) -> anyhow::Result<()> {
    let to_stream = arguments.to == Path::new("-");
    if arguments.after > 0 && !to_stream {
        bail!("--after is for --to -: a file goes on where it ended");
    }
    let mut copying = if to_stream {
        Copying::to_stream(&arguments.path, arguments.after, io::stdout())?
    } else {
        Copying::to_file(&arguments.path, &arguments.to)?
    };
    loop {
        let copied = copying.step()?;
        if copied > 0 || !arguments.follow {
            let at = copying.position();
            tracing::info!(
                copied,
                entries = at.entries,
                octets = at.end,
                head = hex::encode(at.head),
                "copied"
            );
        }
        if !arguments.follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(arguments.every));
    }
}

/// Receives until the stream ends.
///
/// # Errors
/// Whatever doesn't continue the copy.
pub(super) fn receive(path: &Path) -> anyhow::Result<()> {
    let at = copy::receive(io::stdin().lock(), path, |at| {
        tracing::info!(entries = at.entries, octets = at.end, "received");
    })?;
    tracing::info!(entries = at.entries, head = hex::encode(at.head), "the stream has ended");
    Ok(())
}

/// Puts a journal in place.
///
/// # Errors
/// When the copy isn't sound, or there is a journal already.
pub(super) fn restore(out: &mut impl Write, path: &Path, to: &Path) -> anyhow::Result<()> {
    let report = copy::restore(path, to)?;
    writeln!(out, "restored {}: {} entries, every one checked", to.display(), report.entries)?;
    if let Some(last) = report.last_at {
        writeln!(out, "  the last of {last}")?;
    }
    writeln!(out, "  head {}", report.head)?;
    writeln!(out, "Never start the old signer again: two journals that go on from one can't be joined.")?;
    Ok(())
}

/// Shows, or with the right `last` records, that the clock is taken as right.
///
/// # Errors
/// Without the right `last`, and when a signer runs.
pub(super) fn accept_clock(out: &mut impl Write, path: &Path, last: Option<Timestamp>) -> anyhow::Result<()> {
    let journal = Journal::open(path, Timestamp::now).context("stop the signer first")?;
    let now = Timestamp::now();
    let Some(before) = journal.index().last_at().filter(|before| now < *before) else {
        writeln!(out, "the clock says {now} and is not behind the journal: nothing to accept")?;
        return Ok(());
    };
    if last != Some(before) {
        bail!(
            "the journal's last entry is of {before}, the clock says {now}, {:#} behind. If the clock is right now, and \
             you know what was signed while it was ahead, run this again with --last {before}",
            before.duration_since(now)
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let positions = runtime.block_on(journal.append(vec![EntryBody::ClockAccepted { before }]))?;
    let sequence = positions.first().map_or(0, |position| position.sequence);
    writeln!(out, "accepted in entry {sequence}: the journal goes on at {now}")?;
    Ok(())
}
