//! `inro-ca token custody …`: the keys that PUKs are kept under.

use std::io::Write as _;

use anyhow::Context;
use ca_core::app::custody::{reseal::ResealError, seal::CustodyKeys};
use clap::Subcommand;
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::{
    adapters::rng::SystemRng,
    cli::{
        exit::{CliError, Exit},
        operator,
        output::{Output, table},
    },
    config::Config,
    wiring,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print a line with a fresh key, for the key file; `>>` adds it to one that is there.
    NewKey,
    /// Show how many PUKs are kept under each version of the key.
    Status,
    /// Encrypt every PUK anew under the newest key; afterwards the older lines can go.
    Reseal,
}

#[derive(Serialize)]
struct VersionView {
    key_version: u32,
    kept: u64,
    newest: bool,
}

#[derive(Serialize)]
struct ResealedView {
    resealed: u64,
    key_version: u32,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    if matches!(command, Command::NewKey) {
        return new_key(config);
    }
    let desk = wiring::custody_desk(config).await.map_err(CliError::configuration)?;
    let newest = desk.keys.newest();
    if matches!(command, Command::Reseal) {
        let mut tell = |done| output.progress(&format!("{done} PUKs …"));
        let resealed = desk.reseal.run(&operator(), &mut tell).await?;
        let view = ResealedView { resealed, key_version: newest };
        return output.result(&view, |out| {
            writeln!(out, "{} PUKs are encrypted anew, all are under version {newest} now", view.resealed)
        });
    }
    let census = desk.reseal.census().await?;
    let of = |version| census.iter().find(|(other, _)| *other == version).map_or(0, |(_, kept)| *kept);
    let mut versions: Vec<u32> = desk.keys.versions().collect();
    versions.extend(
        census.iter().map(|(version, _)| *version).filter(|v| !desk.keys.versions().any(|k| k == *v)),
    );
    versions.sort_unstable();
    let views: Vec<VersionView> = versions
        .into_iter()
        .map(|key_version| VersionView { key_version, kept: of(key_version), newest: key_version == newest })
        .collect();
    output.result(&views, |out| {
        let mut rows = vec![["KEY", "PUKS", "NEWEST"].map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            let newest = if view.newest { "yes" } else { "-" };
            vec![view.key_version.to_string(), view.kept.to_string(), newest.to_owned()]
        }));
        table(out, &rows)
    })
}

/// The next version, after those in the file that the configuration names.
fn new_key(config: &Config) -> Result<(), CliError> {
    let file = config.token_custody.as_ref().map(|custody| &custody.key_file);
    let there = file.and_then(|file| std::fs::read_to_string(file).ok());
    let newest = there.and_then(|text| CustodyKeys::parse(&text).ok()).map_or(0, |keys| keys.newest());
    let line = CustodyKeys::fresh_line(newest + 1, &SystemRng);
    let written = writeln!(std::io::stdout().lock(), "{}", line.expose_secret());
    Ok(written.context("can't write the key")?)
}

impl From<ResealError> for CliError {
    fn from(error: ResealError) -> Self {
        match error {
            ResealError::Failure(failure) => failure.into(),
            error @ ResealError::Unsealable { .. } => Self::new(Exit::Failed, error),
        }
    }
}
