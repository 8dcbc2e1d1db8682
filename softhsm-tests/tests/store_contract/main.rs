//! The contract of the store ports over the model in memory, SQLite and PostgreSQL; and what only PostgreSQL can do: be
//! shared by nodes, be killed, be restarted, be out of reach.

mod catch_up;
mod durability;
mod nodes;
mod rig;
mod schema;
mod transfer;

use ca_core::testing::MemoryStore;
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

use rig::Database;

#[expect(clippy::unused_async, reason = "the suite awaits every engine's")]
async fn memory() -> (MemoryStore, ()) {
    (MemoryStore::default(), ())
}

async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    store_sqlite::migrate(&path).await.expect("a new database");
    (SqliteStore::open(&path, &store_sqlite::Options::default()).await.expect("the store"), folder)
}

async fn postgres() -> (PostgresStore, Database) {
    let database = Database::migrated().await;
    (database.open().await, database)
}

store_contract::contract!(memory, crate::memory);
store_contract::contract!(sqlite, crate::sqlite);
store_contract::contract!(postgres, crate::postgres);
