//! `inro-hsm journal`: checks, shows and copies a signer's journal, offline or beside the running signer.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::json;
use signer_protocol::message::{AuditPosition, Entry, EntryBody};

use super::journal_copy;
use crate::journal::verify::{self, Report};

/// The signer's journal.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every entry and the chain of hashes. Ends with status 1 and names the entry when one is bad.
    Verify {
        /// The journal's file.
        path: PathBuf,
        /// Prints the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows entries.
    Show {
        /// The journal's file.
        path: PathBuf,
        /// Starts after this entry.
        #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
        after: u64,
        /// Shows at most so many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Prints one JSON object per line, with the DER in hexadecimal.
        #[arg(long)]
        json: bool,
    },
    /// Copies what the signer has acknowledged, beside the running signer: to a file, which goes on where it ended, or to
    /// standard output for `inro-hsm journal receive` on another host.
    Copy(journal_copy::Copy),
    /// Appends to a copy what `journal copy --to -` sends to standard input, every entry checked.
    Receive {
        /// The copy's file; created when missing.
        copy: PathBuf,
    },
    /// Puts a journal in place from a copy, for a new signer host. Read `hsm-config/docs/journal.md` first.
    Restore {
        /// The copy's file.
        copy: PathBuf,
        /// The journal's file, which must not exist.
        #[arg(long, value_name = "JOURNAL")]
        to: PathBuf,
    },
    /// Says how large a journal is, and how far a copy is behind, without reading them.
    Stat {
        /// The journal's file.
        path: PathBuf,
        /// A copy to compare with.
        #[arg(long, value_name = "FILE")]
        copy: Option<PathBuf>,
    },
    /// After the clock was ahead and is right again: lets the stopped signer's journal go on though its last entry lies in
    /// the future. Tells first what it would accept.
    AcceptClock {
        /// The journal's file.
        path: PathBuf,
        /// The last entry's time, as this command says it.
        #[arg(long, value_name = "TIME")]
        last: Option<jiff::Timestamp>,
    },
}

/// Runs the command.
///
/// # Errors
/// When the journal can't be read or is damaged.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match arguments.command {
        Command::Verify { path, json } => match verify::verify(&path) {
            Ok(report) if json => {
                let mut value = serde_json::to_value(&report)?;
                value["ok"] = true.into();
                writeln!(out, "{value:#}")?;
            }
            Ok(report) => print(&mut out, &report)?,
            Err(error) => {
                if json {
                    writeln!(out, "{:#}", json!({"ok": false, "error": error.to_string()}))?;
                }
                return Err(error.into());
            }
        },
        Command::Show { path, after, limit, json } => {
            let mut left = limit;
            let mut written = Ok(());
            verify::show(&path, after, |entry| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                written = if json { writeln!(out, "{}", as_json(&entry)) } else { line(&mut out, &entry) };
                written.is_ok()
            })?;
            written?;
        }
        Command::Copy(copy) => journal_copy::copy(&copy)?,
        Command::Receive { copy } => journal_copy::receive(&copy)?,
        Command::Restore { copy, to } => journal_copy::restore(&mut out, &copy, &to)?,
        Command::Stat { path, copy } => {
            let stat = crate::journal::copy::stat(&path, copy.as_deref())?;
            writeln!(out, "{:#}", serde_json::to_value(stat)?)?;
        }
        Command::AcceptClock { path, last } => journal_copy::accept_clock(&mut out, &path, last)?,
    }
    Ok(())
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "sound: {} entries", report.entries)?;
    writeln!(out, "  certificates   {}", report.certificates)?;
    writeln!(out, "  CRLs           {}", report.crls)?;
    writeln!(out, "  revocations    {}", report.revocations)?;
    writeln!(out, "  OCSP responses {}", report.ocsp_responses)?;
    if let (Some(first), Some(last)) = (report.first_at, report.last_at) {
        writeln!(out, "  from {first} to {last}")?;
    }
    writeln!(out, "  head {}", report.head)?;
    if report.incomplete_octets > 0 {
        writeln!(
            out,
            "  ends in {} octets of an incomplete entry: being written now, or left by a crash and cut off at the \
             signer's next start",
            report.incomplete_octets
        )?;
    }
    Ok(())
}

fn line(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    write!(out, "{:>8} {} ", entry.position.sequence, entry.at)?;
    match &entry.body {
        EntryBody::Certificate { key, intent, tbs, .. } => {
            writeln!(out, "certificate key={} intent={intent} octets={}", key.0, tbs.len())
        }
        EntryBody::Crl { key, tbs, .. } => writeln!(out, "crl key={} octets={}", key.0, tbs.len()),
        EntryBody::Revocation { key, revocation, .. } => writeln!(
            out,
            "revocation key={} serial={} since={} reason={}",
            key.0,
            hex::encode(&revocation.serial),
            revocation.revoked_at,
            revocation.reason
        ),
        EntryBody::CrlDigest { key, number, .. } => writeln!(out, "crl key={} number={number}", key.0),
        EntryBody::ClockAccepted { before } => writeln!(out, "clock accepted, which was behind {before}"),
        EntryBody::OcspCount { key, count } => writeln!(out, "ocsp key={} responses={count}", key.0),
    }
}

fn as_json(entry: &Entry) -> serde_json::Value {
    let body = match &entry.body {
        EntryBody::Certificate { key, intent, audit_head, tbs, signature } => json!({
            "kind": "certificate", "key": key.0, "intent": intent, "audit": audit(audit_head),
            "tbs": hex::encode(tbs), "signature": hex::encode(signature),
        }),
        EntryBody::Crl { key, audit_head, tbs, signature } => json!({
            "kind": "crl", "key": key.0, "audit": audit(audit_head),
            "tbs": hex::encode(tbs), "signature": hex::encode(signature),
        }),
        EntryBody::Revocation { key, audit_head, revocation } => json!({
            "kind": "revocation", "key": key.0, "audit": audit(audit_head),
            "serial": hex::encode(&revocation.serial), "revoked_at": revocation.revoked_at,
            "reason": revocation.reason, "not_after": revocation.not_after,
        }),
        EntryBody::CrlDigest { key, audit_head, number, this_update, digest } => json!({
            "kind": "crl", "key": key.0, "audit": audit(audit_head), "number": number,
            "this_update": this_update, "sha256": hex::encode(digest),
        }),
        EntryBody::ClockAccepted { before } => json!({ "kind": "clock-accepted", "before": before }),
        EntryBody::OcspCount { key, count } => json!({ "kind": "ocsp", "key": key.0, "count": count }),
    };
    json!({
        "sequence": entry.position.sequence, "hash": hex::encode(entry.position.hash), "at": entry.at, "entry": body,
    })
}

fn audit(position: &AuditPosition) -> serde_json::Value {
    json!({ "sequence": position.sequence, "hash": hex::encode(position.hash) })
}
