//! `inro-hsm keys`: a token's keys with certificates, expiry, attributes and use.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;

use super::doctor::Target;
use crate::keys::{self, Inventory};
use crate::signer::config;

const EXIT_CODES: &str = "\
Exit codes, as the doctor's:
  0  the keys are listed
  2  they can't be, or the command line is wrong";

/// Lists a token's keys with their certificates, expiry, attributes and use counts from the journal.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Prints the inventory as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Where 1 is a doctor's warning, a failure isn't taken for one.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match list(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn list(arguments: &Arguments) -> anyhow::Result<()> {
    let journal = match arguments.target.config() {
        Some(path) => Some(config::load(path)?.journal),
        None => None,
    };
    if journal.as_ref().is_some_and(|journal| journal.exists()) {
        writeln!(io::stderr().lock(), "reading the journal for use counts")?;
    }
    let mut inventories = Vec::new();
    for subject in arguments.target.subjects()? {
        inventories.push(super::runtime()?.block_on(keys::inventory(&subject, journal.clone()))?);
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", serde_json::to_value(&inventories)?)?;
        return Ok(());
    }
    for inventory in &inventories {
        print(&mut out, inventory)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, inventory: &Inventory) -> io::Result<()> {
    let token = &inventory.token;
    writeln!(
        out,
        "token {:?}: {} {}, serial {}",
        token.label, token.manufacturer, token.model, token.serial
    )?;
    for key in &inventory.keys {
        let name = key.configured_as.as_deref().unwrap_or("not in this configuration");
        let kind = key.algorithm.as_deref().or(key.key_type.as_deref()).unwrap_or("absent");
        writeln!(out, "  {:<8} {kind:<8} {:?}, {name}", key.id, key.label)?;
        if let Some(certificate) = &key.certificate {
            writeln!(
                out,
                "           certificate {}, ends {} ({} days)",
                certificate.subject, certificate.not_after, certificate.days_left
            )?;
        }
        match &key.uses {
            Some(uses) => writeln!(
                out,
                "           by the journal: {} certificates, {} CRLs, {} revocations, {} OCSP responses",
                uses.certificates, uses.crls, uses.revocations, uses.ocsp_responses
            )?,
            None if key.configured_as.is_some() => writeln!(out, "           by the journal: never used")?,
            None => {}
        }
        for remark in &key.remarks {
            writeln!(out, "           ! {remark}")?;
        }
    }
    for stray in &inventory.others {
        writeln!(out, "  {:<8} {:?}: {}", stray.id, stray.label, stray.remark)?;
    }
    Ok(())
}
