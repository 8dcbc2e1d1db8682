//! A PostgreSQL database per test.

use std::sync::Arc;

use softhsm_tests::postgres::Postgres;
use store_postgres::{Options, PostgresStore, Server, migrate};

/// A database of a cluster that other tests use as well.
pub(crate) struct Database {
    pub(crate) cluster: Arc<Postgres>,
    pub(crate) name: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn empty() -> Self {
        blocking(|| {
            let cluster = Postgres::shared().expect("a cluster");
            let name = cluster.create_database().expect("a database");
            Self { cluster, name }
        })
        .await
    }

    /// One with an empty ledger: a copy of one that was migrated once.
    pub(crate) async fn migrated() -> Self {
        let cluster = blocking(|| Postgres::shared().expect("a cluster")).await;
        let fill = async |name: &str| {
            let database = Self { cluster: cluster.clone(), name: name.to_owned() };
            migrate(&database.server()).await?;
            Ok(())
        };
        let template = cluster.template(fill).await.expect("a template").to_owned();
        blocking(move || {
            let name = cluster.copy_database(&template).expect("a database");
            Self { cluster, name }
        })
        .await
    }

    pub(crate) fn server(&self) -> Server {
        Server::parse(&self.cluster.url(&self.name)).expect("an address").with_application_name("test")
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        PostgresStore::open(&self.server(), &Options::default()).await.expect("the store")
    }

    pub(crate) fn execute(&self, sql: &str) -> anyhow::Result<String> {
        self.cluster.execute(&self.name, sql)
    }
}

/// The rig waits for programs.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
