//! Certificates a second through the store (intent, evidence, certificate and both audit rows, durable), in an empty
//! database. Prints one JSON object.
//!
//! `cargo run --release -p store-postgres --example postgres_group_commit -- URL [CERTIFICATES] [IN_FLIGHT] [GROUP]`

use std::{io::Write, sync::Arc};

use store_contract::rate::record_certificates;
use store_postgres::{Options, PostgresStore, Server, migrate};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let server = Server::parse(&arguments.next().ok_or("name the database's URL")?)?;
    let certificates: u32 = arguments.next().map_or(Ok(20_000), |n| n.parse())?;
    let in_flight: u32 = arguments.next().map_or(Ok(64), |n| n.parse())?;
    let defaults = Options::default();
    let group: usize = arguments.next().map_or(Ok(defaults.group), |n| n.parse())?;
    migrate(&server).await?;
    let store = Arc::new(PostgresStore::open(&server, &Options { group, ..defaults }).await?);
    let elapsed = record_certificates(&store, certificates, in_flight).await?;
    store.close().await;
    writeln!(
        std::io::stdout().lock(),
        r#"{{"bench":"store_postgres_group_commit","unit":"certificates/s","ours":{:.0},"in_flight":{in_flight},"group":{group}}}"#,
        f64::from(certificates) / elapsed.as_secs_f64()
    )?;
    Ok(())
}
