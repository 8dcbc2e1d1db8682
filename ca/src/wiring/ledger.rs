//! The ledger as the rest of the wiring holds it: every store port of one database, whichever engine it is.

use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc};

use anyhow::{Context, bail};
use ca_core::ports::ledger::Ledger;
use secrecy::SecretString;
use store_postgres::{PostgresStore, Server};
use store_sqlite::SqliteStore;
use zeroize::Zeroizing;

use crate::config::{Config, Database, Postgres};

/// Opens the ledger.
///
/// # Errors
/// When it is missing, out of reach, or its schema doesn't work with this program.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Ledger>> {
    Ok(match &config.node.database {
        Database::Sqlite(path) => Arc::new(SqliteStore::open(path, &store_sqlite::Options::default()).await?),
        Database::Postgres(postgres) => {
            let options =
                store_postgres::Options { readers: postgres.readers, ..store_postgres::Options::default() };
            Arc::new(PostgresStore::open(&server(config, postgres)?, &options).await?)
        }
    })
}

/// What [`migrate`] did.
pub(crate) struct Migrated {
    /// The database, as a person would name it.
    pub(crate) database: String,
    /// The schema's version before; `None` for a new ledger.
    pub(crate) from: Option<i64>,
    /// The schema's version now.
    pub(crate) to: i64,
}

/// Creates the ledger or brings it up to date.
///
/// # Errors
/// When it can't.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<Migrated> {
    Ok(match &config.node.database {
        Database::Sqlite(path) => {
            let migrated = store_sqlite::migrate(path).await?;
            Migrated { database: path.display().to_string(), from: migrated.from, to: migrated.to }
        }
        Database::Postgres(postgres) => {
            let server = server(config, postgres)?;
            let migrated = store_postgres::migrate(&server).await?;
            Migrated { database: server.to_string(), from: migrated.from, to: migrated.to }
        }
    })
}

/// Checks what the configuration says of the database without touching it.
///
/// # Errors
/// When the address or the password's file can't be used; the message names the key.
pub(crate) fn check_address(config: &Config) -> anyhow::Result<()> {
    match &config.node.database {
        Database::Sqlite(_) => Ok(()),
        Database::Postgres(postgres) => server(config, postgres).map(drop),
    }
}

/// The database server of the configuration, with the node's name for the server's own lists.
pub(super) fn server(config: &Config, postgres: &Postgres) -> anyhow::Result<Server> {
    let server = Server::parse(&postgres.url).context("node.postgres.url")?;
    let server = match &postgres.password_file {
        None => server,
        Some(file) => server.with_password(&password(file).context("node.postgres.password_file")?),
    };
    Ok(server.with_application_name(&config.node.name))
}

/// A password's file; a line feed at its end is left out.
pub(super) fn password(file: &Path) -> anyhow::Result<SecretString> {
    let shown = file.display();
    let metadata = std::fs::metadata(file).with_context(|| format!("can't look at {shown}"))?;
    if metadata.mode() & 0o007 != 0 {
        bail!("everybody can use {shown}; run: chmod o= {shown}");
    }
    let text = Zeroizing::new(std::fs::read_to_string(file).with_context(|| format!("can't read {shown}"))?);
    match text.trim_end_matches(['\r', '\n']) {
        "" => bail!("{shown} is empty; put the password into it"),
        password => Ok(SecretString::from(password)),
    }
}
