//! `inro-ca migrate`: the only command that creates or changes the database's schema.

use serde::Serialize;

use super::{exit::CliError, output::Output};
use crate::{config::Config, wiring};

#[derive(Serialize)]
struct Migrated<'a> {
    database: &'a std::path::Path,
    from_version: Option<i64>,
    version: i64,
}

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let (from_version, version) = wiring::migrate(config).await.map_err(CliError::configuration)?;
    let database = config.node.database.as_path();
    output.result(&Migrated { database, from_version, version }, |out| {
        let database = database.display();
        match from_version {
            None => writeln!(out, "{database} is created, at version {version}"),
            Some(from) if from == version => writeln!(out, "{database} is up to date, at version {version}"),
            Some(from) => writeln!(out, "{database} is brought from version {from} to {version}"),
        }
    })
}
