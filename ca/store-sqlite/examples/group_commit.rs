//! Certificates a second through the store (intent, evidence, certificate and both audit rows, durable) with group
//! commit and with a commit for each fact, in turns on the same disk. Prints one JSON object.
//!
//! `cargo run --release -p store-sqlite --example group_commit -- [CERTIFICATES] [IN_FLIGHT]`

use std::{io::Write, sync::Arc, time::Duration};

use store_contract::rate::record_certificates;
use store_sqlite::{Options, SqliteStore, migrate};

const ROUNDS: u32 = 3;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let certificates: u32 = arguments.next().map_or(Ok(2_000), |n| n.parse())?;
    let in_flight: u32 = arguments.next().map_or(Ok(64), |n| n.parse())?;
    let (mut grouped, mut single) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        grouped += round(Options::default(), certificates, in_flight).await?;
        single += round(Options { group: 1, ..Options::default() }, certificates, in_flight).await?;
    }
    let rate = |time: Duration| f64::from(certificates * ROUNDS) / time.as_secs_f64();
    let (ours, baseline) = (rate(grouped), rate(single));
    writeln!(
        std::io::stdout().lock(),
        r#"{{"bench":"store_sqlite_group_commit","unit":"certificates/s","ours":{ours:.0},"baseline":{baseline:.0},"baseline_name":"a commit for each fact, {in_flight} in flight","ratio":{:.2}}}"#,
        ours / baseline
    )?;
    Ok(())
}

/// How long it takes to record that many certificates in a new database under `target/`.
async fn round(options: Options, certificates: u32, in_flight: u32) -> Outcome<Duration> {
    let folder = tempfile::tempdir_in("target")?;
    let path = folder.path().join("ledger.db");
    migrate(&path).await?;
    let store = Arc::new(SqliteStore::open(&path, &options).await?);
    let elapsed = record_certificates(&store, certificates, in_flight).await?;
    store.close().await;
    Ok(elapsed)
}
