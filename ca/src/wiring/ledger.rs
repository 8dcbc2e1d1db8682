//! The ledger as the rest of the wiring holds it: every store port of one database, whichever engine it is.

use std::sync::Arc;

use async_trait::async_trait;
use ca_core::ports::{
    census::LedgerCensus,
    store::{
        AuditStore, CertificateStore, CustomerStore, LeaseStore, LoginStore, RevocationStore, SignerStore,
    },
};
use store_sqlite::{Options, SqliteStore};

use crate::config::Config;

/// All store ports of one database. Use cases get the ports they need of it, never the whole.
#[async_trait]
pub(crate) trait Ledger:
    CustomerStore
    + LoginStore
    + CertificateStore
    + RevocationStore
    + SignerStore
    + LeaseStore
    + AuditStore
    + LedgerCensus
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

/// Opens the ledger.
///
/// # Errors
/// When it is missing or its schema isn't this program's.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Ledger>> {
    Ok(Arc::new(SqliteStore::open(&config.node.database, &Options::default()).await?))
}

/// Creates the database or brings it up to date; returns the schema's version before and after.
///
/// # Errors
/// When it can't.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<(Option<i64>, i64)> {
    let migrated = store_sqlite::migrate(&config.node.database).await?;
    Ok((migrated.from, migrated.to))
}
