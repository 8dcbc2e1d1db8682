//! A copy of a ledger that is in use, and what is found in a bad one.

use std::{fs, path::Path};

use ca_core::{
    domain::audit::{Actor, AuditEvent},
    ports::store::AuditStore,
};
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use store_sqlite::{
    Options, SqliteStore,
    backup::{BackupError, check, copy},
    migrate,
};

fn event(n: u32) -> AuditEvent {
    AuditEvent {
        at: Timestamp::UNIX_EPOCH,
        actor: Actor::System,
        action: "test.happened",
        subject: n.to_string(),
        details: vec![("padding", "x".repeat(500))],
    }
}

async fn ledger(path: &Path, rows: u32) -> SqliteStore {
    migrate(path).await.expect("created");
    let store = SqliteStore::open(path, &Options::default()).await.expect("opened");
    for n in 0..rows {
        store.append(event(n)).await.expect("appended");
    }
    store
}

async fn execute(path: &Path, statements: &str) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .expect("changed");
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn a_ledger_that_is_written_is_copied_as_it_is_at_one_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, to) = (folder.path().join("ledger"), folder.path().join("copy"));
    let store = ledger(&path, 50).await;
    let writing = async {
        for n in 50..100 {
            store.append(event(n)).await.expect("appended");
        }
    };
    let (copied, ()) = tokio::join!(copy(&path, &to), writing);
    copied.expect("copied");
    let checked = check(&to).await.expect("sound");
    assert!((50..=100).contains(&checked.head.sequence), "{}", checked.head.sequence);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 4, "checking leaves nothing behind");

    let restored = SqliteStore::open(&to, &Options::default()).await.expect("a ledger");
    assert_eq!(restored.head().await.expect("its head"), checked.head);
    assert!(copy(&path, &to).await.is_err(), "only into an empty file");
    let missing = copy(&folder.path().join("nowhere"), &folder.path().join("other")).await;
    assert!(matches!(missing, Err(BackupError::NotALedger(_))), "{missing:?}");
}

#[tokio::test]
async fn a_copy_that_was_changed_or_damaged_is_not_a_good_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, to) = (folder.path().join("ledger"), folder.path().join("copy"));
    ledger(&path, 200).await.close().await;
    let copied = async || {
        let _ = fs::remove_file(&to);
        copy(&path, &to).await.expect("copied");
    };
    copied().await;
    execute(&to, "DROP TRIGGER audit_stands; UPDATE audit SET subject = 'other' WHERE sequence = 7").await;
    let changed = check(&to).await;
    assert!(matches!(changed, Err(BackupError::Trail(_))), "{changed:?}");

    copied().await;
    let mut octets = fs::read(&to).expect("the copy");
    let middle = octets.len() / 2;
    octets[middle..middle + 4096].fill(0xa5);
    fs::write(&to, octets).expect("damaged");
    let damaged = check(&to).await;
    assert!(damaged.is_err(), "{damaged:?}");
    fs::write(&to, b"not a database").expect("written");
    assert!(check(&to).await.is_err());
}
