//! `inro-hsm journal`: checks and shows a signer's journal, offline or beside the running signer.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::json;
use signer_protocol::message::{AuditPosition, Entry, EntryBody};

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
        EntryBody::OcspCount { key, count } => json!({ "kind": "ocsp", "key": key.0, "count": count }),
    };
    json!({
        "sequence": entry.position.sequence, "hash": hex::encode(entry.position.hash), "at": entry.at, "entry": body,
    })
}

fn audit(position: &AuditPosition) -> serde_json::Value {
    json!({ "sequence": position.sequence, "hash": hex::encode(position.hash) })
}
