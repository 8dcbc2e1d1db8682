//! `inro-hsm vendors`: the vendor profiles there are, one of them, and whether one is right.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::vendor::{Evidence, FOLDER, Profile, ProfileError, list};

/// Vendor profiles: what differs between HSMs, as data.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the profiles: those built in, and those in the folder that `INRO_HSM_VENDORS` names.
    List {
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows what a profile says.
    Show {
        /// Its name, or the path of its file.
        profile: String,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks a profile's file and tells every mistake. Ends with status 1 when there is one.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// When a profile is missing or wrong.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match arguments.command {
        Command::List { json } => all(&mut out, json)?,
        Command::Show { profile, json } => {
            let profile = Profile::load(&profile)?;
            if json {
                writeln!(out, "{:#}", serde_json::to_value(&profile)?)?;
            } else {
                show(&mut out, &profile)?;
            }
        }
        Command::Check { file } => {
            let profile = Profile::read(&file)?;
            writeln!(out, "{}: {}, no mistakes", profile.name, profile.product)?;
        }
    }
    Ok(())
}

fn evidence(profile: &Profile) -> &'static str {
    match profile.evidence {
        Evidence::Tested => "tested with Inro",
        Evidence::Documents => "from the vendor's documents, untested here",
    }
}

fn all(out: &mut impl Write, json: bool) -> anyhow::Result<()> {
    let profiles = Profile::all();
    if json {
        let entry = |(name, profile): &(String, Result<Profile, ProfileError>)| match profile {
            Ok(profile) => json!({ "name": name, "product": profile.product, "evidence": profile.evidence }),
            Err(error) => json!({ "name": name, "error": error.to_string() }),
        };
        let entries: Vec<serde_json::Value> = profiles.iter().map(entry).collect();
        writeln!(out, "{:#}", json!(entries))?;
        return Ok(());
    }
    for (name, profile) in &profiles {
        match profile {
            Ok(profile) => writeln!(out, "{name:<18} {:<38} {}", profile.product, evidence(profile))?,
            Err(error) => writeln!(out, "{name:<18} {error}")?,
        }
    }
    writeln!(out, "your own: a folder of files like hsm-config/vendors/*.toml, named in {FOLDER}")?;
    Ok(())
}

fn show(out: &mut impl Write, profile: &Profile) -> io::Result<()> {
    writeln!(out, "{} ({}), {}", profile.product, profile.name, evidence(profile))?;
    let paths: Vec<String> = profile.module.paths.iter().map(|path| path.display().to_string()).collect();
    writeln!(out, "  library       {}", list(&paths))?;
    writeln!(out, "  variables     {}", list(&profile.environment.required))?;
    let sessions = &profile.sessions;
    let most = sessions.most.map_or_else(|| "as the token says".to_owned(), |most| most.to_string());
    writeln!(
        out,
        "  sessions      {most}; read-only {}",
        if sessions.read_only { "allowed" } else { "not allowed" }
    )?;
    match sessions.idle_seconds {
        Some(seconds) => writeln!(out, "  idle          ends after {seconds} s; {}", sessions.recovery)?,
        None => writeln!(out, "  idle          no time-out is known")?,
    }
    let pin = &profile.pin;
    write!(out, "  PIN           {} to {} bytes", pin.shortest, pin.longest)?;
    if pin.hex_prefix > 0 {
        write!(out, ", beginning with {} hexadecimal digits", pin.hex_prefix)?;
    }
    if let Some(separator) = &pin.separator {
        write!(out, ", with {separator:?} inside")?;
    }
    if let Some(tries) = pin.tries {
        write!(out, "; {tries} wrong ones lock it")?;
    }
    writeln!(out)?;
    let made = profile.token.initialise_with.as_deref().filter(|_| !profile.token.initialise);
    writeln!(out, "  token made by {}", made.unwrap_or("the ceremony"))?;
    let kinds: Vec<String> = profile.keys.algorithms.iter().map(ToString::to_string).collect();
    writeln!(out, "  keys          {}; CKA_ID of at most {} bytes", list(&kinds), profile.keys.longest_id)?;
    writeln!(out, "  mechanisms    {}", list(&profile.mechanisms.shown))?;
    let confined =
        if profile.backup.trusted { ", under keys alone that the security officer trusts" } else { "" };
    writeln!(out, "  wrapped by    {}{confined}", list(&profile.backup.wrap))?;
    writeln!(out, "  cloned by     {}", profile.backup.clone.as_deref().unwrap_or("no known way"))?;
    for (mechanism, remedy) in &profile.remedies {
        writeln!(out, "  no {mechanism}: {remedy}")?;
    }
    for source in &profile.sources {
        writeln!(out, "  source        {source}")?;
    }
    Ok(())
}
