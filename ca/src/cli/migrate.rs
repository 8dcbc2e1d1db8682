//! `inro-ca migrate`: the only command that creates or changes the database's schema.

use serde::Serialize;

use super::{exit::CliError, output::Output};
use crate::{config::Config, wiring};

#[derive(Serialize)]
struct Migrated {
    database: String,
    from_version: Option<i64>,
    version: i64,
}

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let migrated = wiring::migrate(config).await.map_err(CliError::configuration)?;
    let migrated =
        Migrated { database: migrated.database, from_version: migrated.from, version: migrated.to };
    output.result(&migrated, |out| {
        let Migrated { database, from_version, version } = &migrated;
        match from_version {
            None => writeln!(out, "{database} is created, at version {version}"),
            Some(from) if from == version => writeln!(out, "{database} is up to date, at version {version}"),
            Some(from) => writeln!(out, "{database} is brought from version {from} to {version}"),
        }
    })
}
