//! The ledger as the rest of the wiring holds it: every store port of one database, whichever engine it is.

use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc};

use anyhow::{Context, bail};
use async_trait::async_trait;
use ca_core::ports::{
    books::LedgerBooks,
    census::LedgerCensus,
    fleet::FleetStore,
    inventory::InventoryStore,
    policies::PolicyStore,
    rejudgements::RejudgementStore,
    responders::ResponderStore,
    search::SearchStore,
    staff::{ApprovalStore, StaffStore},
    store::{
        AuditStore, CertificateStore, CustomerStore, LeaseStore, LoginStore, RevocationStore, SignerStore,
    },
    trust::TrustStore,
};
use secrecy::SecretString;
use store_postgres::{PostgresStore, Server};
use store_sqlite::SqliteStore;
use zeroize::Zeroizing;

use crate::config::{Config, Database, Postgres};

/// All store ports of one database. Use cases get the ports they need of it, never the whole.
#[async_trait]
pub(crate) trait Ledger:
    CustomerStore
    + LoginStore
    + CertificateStore
    + ResponderStore
    + RevocationStore
    + SignerStore
    + LeaseStore
    + AuditStore
    + LedgerBooks
    + LedgerCensus
    + PolicyStore
    + InventoryStore
    + FleetStore
    + TrustStore
    + RejudgementStore
    + StaffStore
    + ApprovalStore
    + SearchStore
{
    /// Commits what is queued and closes the database. Later calls are refused as unavailable.
    async fn close(&self);
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Ledger for PostgresStore {
    async fn close(&self) {
        Self::close(self).await;
    }
}

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
