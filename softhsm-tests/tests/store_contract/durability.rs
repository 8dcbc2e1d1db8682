//! What was acknowledged is there after the writer was killed, and after the database server was, again and again.
//!
//! The writer is a process of its own: this test binary, started again for the test `writing_child` alone.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ca_core::{
    domain::{certificate::CertificateState, user::Role},
    ports::store::{CertificateStore, CustomerStore, StoreError},
};
use softhsm_tests::postgres::{self, Postgres};
use store_contract::samples::{
    complete, contract, der, enrolment, event, evidence, issuer, record, serial, user, verified_actions,
};
use store_postgres::{Options, PostgresStore, Server, migrate};

const DATABASE: &str = "INRO_TEST_WRITING_CHILD_DATABASE";
const FIRST: &str = "INRO_TEST_WRITING_CHILD_FIRST";

fn say(what: &str, n: u32) {
    // Whole lines only, and out of the process before anything else happens.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild {what} {n}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Enrols user after user and says what was acknowledged, until it is killed. Idle unless a parent started it.
#[tokio::test]
async fn writing_child() {
    let Ok(url) = env::var(DATABASE) else { return };
    let first = env::var(FIRST).expect("the first number").parse().expect("a number");
    let store = Arc::new(open(&url).await);
    let next = Arc::new(AtomicU32::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, next) = (store.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                match enrol(&store, n).await {
                    Ok(()) => say("issued", n),
                    Err(StoreError::Unavailable(_)) => say("unavailable", n),
                    Err(error) => panic!("{n}: {error:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
}

async fn enrol(store: &PostgresStore, n: u32) -> Result<(), StoreError> {
    store.register_user(&user(n, Role::General), event("user.registered")).await?;
    store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
    store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
    say("intended", n);
    complete(store, n).await
}

async fn open(url: &str) -> PostgresStore {
    let server = Server::parse(url).expect("an address");
    PostgresStore::open(&server, &Options::default()).await.expect("the store")
}

/// The writing child; killed when it is dropped.
struct Writer {
    child: Child,
    said: Box<dyn Iterator<Item = (String, u32)>>,
}

impl Writer {
    fn start(url: &str, first: u32) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "durability::writing_child", "--nocapture", "--test-threads=1"])
            .env(DATABASE, url)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child");
        let out = child.stdout.take().expect("its output");
        Self { child, said: Box::new(said(out)) }
    }

    /// What it says until it has said this so often.
    fn until(&mut self, what: &str, times: usize) -> Vec<(String, u32)> {
        let mut heard = Vec::new();
        let mut left = times;
        for line in self.said.by_ref() {
            left -= usize::from(line.0 == what);
            heard.push(line);
            if left == 0 {
                return heard;
            }
        }
        panic!("the child ended before it said {what}");
    }

    /// `kill -9`; returns what it had still said.
    fn kill(mut self) -> Vec<(String, u32)> {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
        self.said.by_ref().collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(out: ChildStdout) -> impl Iterator<Item = (String, u32)> {
    BufReader::new(out).lines().map_while(Result::ok).filter_map(|line| {
        let mut words = line.split(' ');
        let (Some("child"), Some(what), Some(n)) = (words.next(), words.next(), words.next()) else {
            return None;
        };
        Some((what.to_owned(), n.parse().ok()?))
    })
}

/// A cluster of its own, which commits to the disk.
async fn new_ledger() -> (Postgres, String) {
    let cluster = Postgres::start(postgres::Options::default()).expect("a cluster");
    let url = cluster.url(&cluster.create_database().expect("a database"));
    migrate(&Server::parse(&url).expect("an address")).await.expect("a ledger");
    let store = open(&url).await;
    store.register_contract(&contract(u16::MAX), event("contract.registered")).await.expect("the contract");
    store.close().await;
    (cluster, url)
}

/// Everything that was said is there, whole, and nothing is there by half.
async fn check(url: &str, said: &[(String, u32)]) {
    let store = open(url).await;
    for (what, n) in said {
        let found = store.certificate(&issuer(), &serial(*n)).await.expect("a query");
        match what.as_str() {
            "issued" => {
                let found = found.expect("an acknowledged certificate");
                assert!(
                    matches!(&found.state, CertificateState::Issued { der: d, .. } if *d == der(*n)),
                    "{found:?}"
                );
            }
            "intended" => assert!(found.is_some(), "the intent {n} is lost"),
            _ => {}
        }
    }
    let actions = verified_actions(&store).await;
    let count = |action| actions.iter().filter(|found| *found == action).count();
    let rows = store.certificates(&issuer(), None, 1_000_000).await.expect("a query");
    assert_eq!(rows.len(), count("certificate.intended"), "a row of the ledger for each of the audit trail");
    assert_eq!(rows.iter().filter(|row| row.der().is_some()).count(), count("certificate.issued"));
    for row in rows {
        let evidence = store.evidence(row.intent).await.expect("a query");
        assert!(evidence.is_some(), "{} has no evidence", row.serial);
        assert!(store.user(&row.user).await.expect("a query").is_some());
    }
    store.close().await;
}

/// R1, the store's part.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let (_cluster, url) = new_ledger().await;
    let mut all = Vec::new();
    for round in 0..5 {
        let mut writer = Writer::start(&url, 1 + round * 100_000);
        // Each round is cut off elsewhere.
        all.extend(writer.until("intended", 20 + 7 * round as usize));
        all.extend(writer.kill());
        check(&url, &all).await;
    }
    assert!(all.iter().filter(|(what, _)| what == "issued").count() > 50);
}

/// R11, the store's part: the server is killed, and the same writer goes on unaided.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let (cluster, url) = new_ledger().await;
    let mut writer = Writer::start(&url, 1);
    let mut all = writer.until("issued", 20);
    for round in 0..3 {
        cluster.kill().expect("killed");
        all.extend(writer.until("unavailable", 10));
        cluster.resume().expect("back");
        all.extend(writer.until("issued", 20 + 7 * round));
    }
    all.extend(writer.kill());
    check(&url, &all).await;
}
