//! Opening, upgrading and refusing databases; what the schema refuses by itself; and that queries use indexes.

use std::path::Path;

use ca_core::{
    domain::{certificate::CertificateRecord, revocation::RevocationReason, user::Role},
    ports::store::{AuditStore, CertificateStore, CustomerStore, RevocationStore, StoreError},
};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use store_contract::samples::{
    at, contract, customers, enrolment, event, evidence, intend, issue, issuer, record, serial, user,
    user_id, verified_actions,
};
use store_sqlite::{Migrated, OpenError, Options, SqliteStore, migrate};

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
    SqliteConnection::connect_with(&options).await.expect("a connection")
}

async fn execute(path: &Path, sql: &'static str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(sql).execute(&mut raw(path).await).await?.rows_affected())
}

async fn refusal(path: &Path) -> OpenError {
    SqliteStore::open(path, &Options::default()).await.expect_err("a refusal")
}

#[tokio::test]
async fn a_database_is_never_created_silently() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let missing = refusal(&path).await;
    assert!(matches!(missing, OpenError::Missing { .. }));
    assert!(missing.to_string().contains("inro-ca migrate"), "{missing}");
    assert!(!path.exists());

    assert_eq!(migrate(&path).await.expect("created"), Migrated { from: None, to: 1 });
    assert_eq!(migrate(&path).await.expect("nothing to do"), Migrated { from: Some(1), to: 1 });
    SqliteStore::open(&path, &Options::default()).await.expect("the store").close().await;
    let no_folder = migrate(&folder.path().join("no/ledger.db")).await.expect_err("a refusal");
    assert!(matches!(no_folder, OpenError::NotCreated { .. }));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_a_new_database() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let store = SqliteStore::open(&path, &Options::default()).await.expect("the store");
    store.append(event("test")).await.expect("a row");
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn another_schema_is_refused_by_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, "certificates,in,a,spreadsheet\n".repeat(100)).expect("a file");
    assert!(matches!(refusal(&path).await, OpenError::Unreadable { .. }));
    std::fs::write(&path, "").expect("a file");
    assert!(matches!(refusal(&path).await, OpenError::NotInro { .. }));
    execute(&path, "CREATE TABLE foreign_things (x)").await.expect("somebody else's");
    assert!(matches!(refusal(&path).await, OpenError::NotInro { .. }));
    std::fs::remove_file(&path).expect("removed");

    migrate(&path).await.expect("created");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99, 'later', 1, x'00', 0)";
    execute(&path, newer).await.expect("a later version's");
    assert!(matches!(refusal(&path).await, OpenError::Newer { found: 99, known: 1 }));
    execute(&path, "INSERT INTO schema_versions VALUES (99, 2)").await.expect("it works with 2 at least");
    assert!(matches!(refusal(&path).await, OpenError::Newer { found: 99, known: 1 }));
    assert!(matches!(migrate(&path).await, Err(OpenError::Newer { .. })));
    execute(&path, "UPDATE schema_versions SET works_with = 1 WHERE version = 99").await.expect("with 1");
    SqliteStore::open(&path, &Options::default()).await.expect("a newer schema that works").close().await;
    let unchanged = migrate(&path).await.expect("nothing to do for the older program");
    assert_eq!(unchanged, Migrated { from: Some(99), to: 99 });
    execute(&path, "DELETE FROM _sqlx_migrations WHERE version = 99").await.expect("undone");
    execute(&path, "UPDATE _sqlx_migrations SET checksum = x'00'").await.expect("another 1");
    assert!(matches!(refusal(&path).await, OpenError::Altered { version: 1 }));
    execute(&path, "UPDATE _sqlx_migrations SET version = 0").await.expect("an unknown one");
    assert!(matches!(refusal(&path).await, OpenError::Newer { found: 0, .. }));
}

#[tokio::test]
async fn a_closed_store_says_so_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let store = SqliteStore::open(&path, &Options::default()).await.expect("the store");
    store.register_contract(&contract(9), event("contract.registered")).await.expect("the contract");
    store.close().await;
    store.close().await;
    assert!(matches!(store.append(event("late")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.contracts().await, Err(StoreError::Unavailable(_))));
    let store = SqliteStore::open(&path, &Options::default()).await.expect("the store again");
    assert_eq!(store.contracts().await.expect("a query").len(), 1);
}

/// Whoever writes past the program meets the schema.
#[tokio::test]
async fn the_schema_itself_refuses_what_must_never_happen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let store = SqliteStore::open(&path, &Options::default()).await.expect("the store");
    customers(&store, 3).await;
    issue(&store, 1).await;
    intend(&store, 2).await.expect("an intent");
    issue(&store, 3).await;
    let reason = RevocationReason::KeyCompromise;
    store.revoke(&issuer(), &serial(1), reason, at(2), event("revoked")).await.expect("revoked");
    for sql in [
        "DELETE FROM contracts",
        "DELETE FROM users",
        "UPDATE users SET id = 'somebody-else' WHERE id = 'user-000001'",
        "UPDATE users SET role = 'master' WHERE id = 'user-000001'",
        "INSERT INTO users SELECT 'user-0', contract, role, 'x', NULL, state, NULL, NULL, NULL, 0 FROM users
         WHERE role = 'master'",
        "DELETE FROM certificates",
        "UPDATE certificates SET tbs = x'30'",
        "UPDATE certificates SET user_id = 'user-000003' WHERE user_id = 'user-000002'",
        "UPDATE certificates SET der = x'30' WHERE der IS NOT NULL",
        "UPDATE certificates SET revoked = 0 WHERE revoked = 1",
        "UPDATE certificates SET abandoned_at = 1 WHERE der IS NOT NULL",
        "UPDATE certificates SET confirmed_at = 1 WHERE der IS NULL",
        "DELETE FROM revocations",
        "UPDATE revocations SET reason = 0",
        "UPDATE revocations SET at = at + 1",
        "UPDATE revocations SET at = at - 1, reason = 0",
        "UPDATE revocations SET at = at - 1, number = number + 1",
        "UPDATE evidence SET verdict = 'accepted'",
        "INSERT INTO passwords VALUES ('user-000001', 'login', 'plain text', 0)",
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "UPDATE audit SET subject = 'x' WHERE sequence = 1",
        "INSERT INTO audit SELECT sequence + 2, at, actor, action, subject, details, hash FROM audit
         ORDER BY sequence DESC LIMIT 1",
    ] {
        let error = execute(&path, sql).await.expect_err(sql);
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).expect("a code");
        assert_eq!(code.parse::<i32>().expect("a number") & 0xff, 19, "{sql}: {error}");
    }
    verified_actions(&store).await;
}

/// An entity that no domain rule would let through fails by itself, although it is written in one statement with
/// others.
#[tokio::test]
async fn a_malformed_fact_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let store = std::sync::Arc::new(SqliteStore::open(&path, &Options::default()).await.expect("the store"));
    customers(&*store, 20).await;
    for n in 1..=20 {
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await.expect("opened");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=20 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move {
            let backwards = CertificateRecord { not_after: record(n).not_before, ..record(n) };
            let record = if n == 7 { backwards } else { record(n) };
            (n, store.record_intent(&record, &evidence("accepted"), event("certificate.intended")).await)
        });
    }
    for (n, result) in tasks.join_all().await {
        assert_eq!(result.is_ok(), n != 7, "{n}: {result:?}");
    }
    let intended =
        verified_actions(&*store).await.into_iter().filter(|action| action == "certificate.intended");
    assert_eq!(intended.count(), 19);
}

/// The operator's command line writes while the server does; the chain stays one chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_share_one_audit_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let server = std::sync::Arc::new(SqliteStore::open(&path, &Options::default()).await.expect("the store"));
    let operator = SqliteStore::open(&path, &Options::default()).await.expect("a second");
    customers(&operator, 0).await;
    let serving = std::sync::Arc::clone(&server);
    let serving = tokio::spawn(async move {
        for _ in 0..60 {
            serving.append(event("served")).await.expect("a row");
        }
    });
    for n in 1..=60 {
        operator.append(event("operated")).await.expect("a row");
        let taken = operator.register_user(&user(n, Role::General), event("user.registered")).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "the plan has no general users");
    }
    serving.await.expect("the server's rows");
    assert_eq!(verified_actions(&*server).await.len(), 122);
    assert!(server.user(&user_id(0)).await.expect("a query").is_some());
}

/// Each query of the crate, as it was checked at compile time, looks rows up by index. Those that read all of a table
/// on purpose are listed.
#[tokio::test]
async fn every_query_uses_an_index() {
    const WHOLE_TABLES: &[&str] = &[
        "SCAN contracts",
        "SCAN sessions",
        "SCAN logins", // what is kept no longer goes, once in a while
        "SCAN staff",
        "SCAN trust_staged",
        "SCAN a USING INDEX policy_assignments_of_contract", // the operator's list
        "SCAN puks USING COVERING INDEX puks_by_key",        // the operator's count
        "SCAN unblockings USING INDEX unblockings_that_wait", // a partial index: nothing else is in it
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let mut connection = raw(&path).await;
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut queries = 0;
    for file in std::fs::read_dir(cache).expect("the checked queries") {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("a checked query");
        let checked: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let query = checked["query"].as_str().expect("its text").to_owned();
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut connection)
            .await
            .expect("a plan");
        for step in plan {
            let detail: String = step.get("detail");
            let harmless = query.contains(" erasable ") // through everything, once in a while
                || detail.contains("VIRTUAL TABLE")
                || detail.starts_with("SCAN CONSTANT ROW")
                || detail.starts_with("SCAN (subquery")
                || detail == "SCAN j" // the rows that a bulk statement is given
                || detail.starts_with("SCAN p ") // the policies, a handful
                || detail == "SCAN a" // the last requests for approval, by the primary key
                || detail == "SCAN open" // open intents, each found by an index
                || detail.starts_with("SCAN audit") // its last row, by the primary key
                || detail == "SCAN trust_versions" // the last, by the primary key
                || WHOLE_TABLES.iter().any(|table| detail.starts_with(table));
            assert!(!detail.contains("SCAN") || harmless, "{detail}\n{query}");
        }
        queries += 1;
    }
    assert!(queries > 50, "only {queries} queries were found");
}
