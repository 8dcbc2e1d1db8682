//! Certificates a second through the store (intent, evidence, certificate and both audit rows, durable) with group
//! commit and with a commit for each fact, in turns on the same disk. Prints one JSON object.
//!
//! `cargo run -p store-sqlite --example group_commit -- [CERTIFICATES] [IN_FLIGHT]`

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use ca_core::{domain::user::Role, ports::store::CertificateStore, ports::store::CustomerStore};
use store_contract::samples::{complete, contract, enrolment, event, evidence, record, user};
use store_sqlite::{Options, SqliteStore, migrate};
use tokio::task::JoinSet;

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
    store.register_contract(&contract(u16::MAX), event("contract.registered")).await?;
    each(&store, certificates, 64, |store, n| async move {
        store.register_user(&user(n, Role::General), event("user.registered")).await?;
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
        Ok(())
    })
    .await?;
    let start = Instant::now();
    each(&store, certificates, in_flight, |store, n| async move {
        store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
        complete(&*store, n).await?;
        Ok(())
    })
    .await?;
    let elapsed = start.elapsed();
    store.close().await;
    Ok(elapsed)
}

/// Does `work` for 1 to `count`, `in_flight` at a time.
async fn each<F, R>(store: &Arc<SqliteStore>, count: u32, in_flight: u32, work: F) -> Outcome<()>
where
    F: Fn(Arc<SqliteStore>, u32) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Outcome<()>> + Send,
{
    let next = Arc::new(AtomicU32::new(1));
    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    for _ in 0..in_flight {
        let (store, next) = (Arc::clone(store), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n > count {
                    return Ok(());
                }
                work(Arc::clone(&store), n).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
