//! What was acknowledged is there after the writer was killed, and after the disk refused to take more.
//!
//! The writer is a process of its own: this test binary, started again for the test `writing_child` alone.

#![cfg(target_os = "linux")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
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
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use store_contract::samples::{
    complete, contract, der, enrolment, event, evidence, issuer, record, serial, user, user_id,
    verified_actions,
};
use store_sqlite::{Options, SqliteStore, migrate};

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
    let Some(database) = env::var_os(DATABASE) else { return };
    let first = env::var(FIRST).expect("the first number").parse().expect("a number");
    let store = SqliteStore::open(Path::new(&database), &Options::default()).await.expect("the store");
    let (store, next) = (Arc::new(store), Arc::new(AtomicU32::new(first)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
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

async fn enrol(store: &SqliteStore, n: u32) -> Result<(), StoreError> {
    store.register_user(&user(n, Role::General), event("user.registered")).await?;
    store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
    store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
    say("intended", n);
    complete(store, n).await
}

/// Starts the child with SIGXFSZ ignored, so that a size limit shows as a failed write.
fn start(database: &Path, first: u32) -> (Child, impl Iterator<Item = (String, u32)>) {
    let mut child = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "writing_child", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child");
    let out = child.stdout.take().expect("its output");
    (child, said(out))
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

async fn new_ledger(path: &Path) {
    migrate(path).await.expect("created");
    let store = SqliteStore::open(path, &Options::default()).await.expect("the store");
    store.register_contract(&contract(u16::MAX), event("contract.registered")).await.expect("the contract");
    store.close().await;
}

/// Everything that was said is there, whole, and nothing is there by half.
async fn check(path: &Path, said: &[(String, u32)]) {
    let store = SqliteStore::open(path, &Options::default()).await.expect("the store");
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
    let rows = store.certificates(&issuer(), None, u32::MAX).await.expect("a query");
    assert_eq!(rows.len(), count("certificate.intended"), "a row of the ledger for each of the audit trail");
    assert_eq!(rows.iter().filter(|row| row.der().is_some()).count(), count("certificate.issued"));
    for row in rows {
        assert!(
            store.evidence(row.intent).await.expect("a query").is_some(),
            "{} has no evidence",
            row.serial
        );
        assert!(store.user(&row.user).await.expect("a query").is_some());
    }
    assert_eq!(store.user(&user_id(0)).await.expect("a query"), None);
    store.close().await;
}

/// R1, the store's part.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    new_ledger(&path).await;
    let mut all = Vec::new();
    for round in 0..6 {
        let (mut child, mut said) = start(&path, 1 + round * 100_000);
        // Each round is cut off elsewhere.
        let before: Vec<_> = said.by_ref().take(40 + 17 * round as usize).collect();
        child.kill().expect("killed");
        child.wait().expect("its end");
        all.extend(before);
        all.extend(said);
        check(&path, &all).await;
    }
    assert!(all.iter().filter(|(what, _)| what == "issued").count() > 50);
}

/// R3, the store's part: the disk takes no more, then does again, and the same process goes on unaided.
#[tokio::test]
async fn a_disk_that_takes_no_more_is_survived() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    new_ledger(&path).await;
    let (mut child, mut said) = start(&path, 1);
    let pid = Pid::from_child(&child);
    let mut all = Vec::new();
    let mut until = |what: &str, times: usize| {
        let mut left = times;
        for line in said.by_ref() {
            left -= usize::from(line.0 == what);
            all.push(line);
            if left == 0 {
                return;
            }
        }
        panic!("the child ended before it said {what}");
    };
    until("issued", 20);
    for _ in 0..2 {
        let wal = std::fs::metadata(path.with_extension("db-wal")).expect("the WAL").len();
        let unlimited = prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(wal), maximum: None })
            .expect("a limit");
        until("unavailable", 20);
        prlimit(Some(pid), Resource::Fsize, unlimited).expect("the limit before");
        until("issued", 20);
    }
    child.kill().expect("killed");
    child.wait().expect("its end");
    all.extend(said);
    check(&path, &all).await;
}
