//! Opening, upgrading and refusing databases, with programs of several versions side by side; what the schema refuses by
//! itself; and that queries use indexes.

use std::fmt::Write as _;

use ca_core::{
    domain::revocation::RevocationReason,
    ports::store::{AuditStore, CertificateStore, CustomerStore, RevocationStore},
};
use futures::future::join_all;
use store_contract::samples::{
    at, contract, customers, event, intend, issue, issuer, serial, verified_actions,
};
use store_postgres::{Migrated, OpenError, Options, PostgresStore, migrate};

use crate::rig::Database;

async fn refusal(database: &Database) -> OpenError {
    PostgresStore::open(&database.server(), &Options::default()).await.expect_err("a refusal")
}

#[tokio::test]
async fn a_ledger_is_never_created_silently() {
    let database = Database::empty().await;
    let missing = refusal(&database).await;
    assert!(matches!(missing, OpenError::NotInro { .. }), "{missing:?}");
    assert!(missing.to_string().contains("inro-ca migrate"), "{missing}");
    assert_eq!(migrate(&database.server()).await.expect("created"), Migrated { from: None, to: 1 });
    assert_eq!(migrate(&database.server()).await.expect("nothing to do"), Migrated { from: Some(1), to: 1 });
    database.open().await.close().await;
}

#[tokio::test]
async fn several_that_migrate_at_once_are_in_nobodys_way() {
    let database = Database::empty().await;
    let server = database.server();
    let (one, other) = tokio::join!(migrate(&server), migrate(&server));
    assert_eq!((one.expect("migrated").to, other.expect("migrated").to), (1, 1));
    database.open().await.append(event("test")).await.expect("a row");
}

#[tokio::test]
async fn another_schema_is_refused_by_what_is_wrong_with_it() {
    let database = Database::migrated().await;
    let execute = |sql| database.execute(sql).expect("as told");
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99, 'later', true, '\\x00', 0)";
    execute(later);
    assert!(
        matches!(refusal(&database).await, OpenError::Newer { found: 99, known: 1 }),
        "says nothing of itself"
    );
    execute("INSERT INTO schema_versions VALUES (99, 2)");
    assert!(
        matches!(refusal(&database).await, OpenError::Newer { found: 99, known: 1 }),
        "works with 2 at least"
    );
    assert!(matches!(migrate(&database.server()).await, Err(OpenError::Newer { .. })));
    execute("DELETE FROM _sqlx_migrations WHERE version = 99");
    execute("UPDATE _sqlx_migrations SET checksum = '\\x00'");
    assert!(matches!(refusal(&database).await, OpenError::Altered { version: 1 }));
    execute("UPDATE _sqlx_migrations SET version = 0");
    assert!(matches!(refusal(&database).await, OpenError::Newer { found: 0, .. }));
}

/// A later version's migration, as it would come to a running cluster: it only adds, and says whom it works with.
#[tokio::test]
async fn a_newer_schema_that_works_with_this_program_is_worked_with() {
    let database = Database::migrated().await;
    let running = database.open().await;
    customers(&running, 2).await;
    database
        .execute(
            "BEGIN;
             ALTER TABLE users ADD COLUMN nickname TEXT;
             CREATE TABLE notices (id BIGINT PRIMARY KEY);
             INSERT INTO schema_versions (version, works_with) VALUES (2, 1);
             INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (2, 'later', true, '\\x00', 0);
             COMMIT",
        )
        .expect("migrated by the newer program");
    issue(&running, 1).await;
    let restarted = database.open().await;
    issue(&restarted, 2).await;
    assert_eq!(verified_actions(&restarted).await.len(), 10);
    let unchanged = migrate(&database.server()).await.expect("nothing to do for the older program");
    assert_eq!(unchanged, Migrated { from: Some(2), to: 2 });
}

/// Whoever writes past the program meets the schema.
#[tokio::test]
async fn the_schema_itself_refuses_what_must_never_happen() {
    let database = Database::migrated().await;
    let store = database.open().await;
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
        "TRUNCATE certificates CASCADE",
        "UPDATE certificates SET tbs = '\\x30'",
        "UPDATE certificates SET user_id = 'user-000003' WHERE user_id = 'user-000002'",
        "UPDATE certificates SET der = '\\x30' WHERE der IS NOT NULL",
        "UPDATE certificates SET revoked = FALSE WHERE revoked",
        "UPDATE certificates SET abandoned_at = 1 WHERE der IS NOT NULL",
        "UPDATE certificates SET confirmed_at = 1 WHERE der IS NULL",
        "DELETE FROM revocations",
        "UPDATE revocations SET reason = 0",
        "UPDATE revocations SET at = at + 1",
        "UPDATE revocations SET at = at - 1, reason = 0",
        "UPDATE revocations SET at = at - 1, number = number + 1",
        "UPDATE evidence SET verdict = 'accepted'",
        "INSERT INTO passwords VALUES ('user-000001', 'login', 'plain text', FALSE)",
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "TRUNCATE audit",
        "UPDATE audit SET subject = 'x' WHERE sequence = 1",
        "INSERT INTO audit SELECT sequence + 2, at, actor, action, subject, details, hash FROM audit
         ORDER BY sequence DESC LIMIT 1",
    ] {
        let error = database.execute(sql).expect_err(sql);
        assert!(format!("{error:#}").contains("ERROR"), "{sql}: {error:#}");
    }
    verified_actions(&store).await;
}

/// Each query of the crate, as it was checked at compile time, looks rows up by index. Those that read all of a table on
/// purpose are listed. Judged as the store's connections are set up: the tables are empty, and the planner would rather
/// read them whole.
#[tokio::test]
async fn every_query_uses_an_index() {
    const WHOLE_TABLES: &[&str] =
        &["Seq Scan on sessions", "Seq Scan on logins", "Seq Scan on staff", "Seq Scan on trust_staged"];
    let database = Database::migrated().await;
    let store = database.open().await;
    store.register_contract(&contract(1), event("contract.registered")).await.expect("the contract");
    let cache = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ca/store-postgres/.sqlx");
    let mut script = String::from("SET enable_seqscan = off;\n");
    let mut queries = Vec::new();
    for file in std::fs::read_dir(cache).expect("the checked queries") {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("a checked query");
        let checked: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let query = checked["query"].as_str().expect("its text").to_owned();
        let parameters = checked["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
        let nulls = vec!["NULL"; parameters].join(", ");
        let (name, arguments) =
            (queries.len(), if parameters == 0 { String::new() } else { format!("({nulls})") });
        writeln!(
            script,
            "SET plan_cache_mode = force_generic_plan;\nPREPARE q{name} AS {query};\nSELECT '== {name}';\n\
             EXPLAIN (COSTS OFF) EXECUTE q{name}{arguments};"
        )
        .expect("written");
        queries.push(query);
    }
    assert!(queries.len() > 50, "only {} queries were found", queries.len());
    let plans = database.execute(&script).expect("plans");
    for plan in plans.split("== ").skip(1) {
        let (number, plan) = plan.split_once('\n').expect("a number and a plan");
        let query = &queries[number.trim().parse::<usize>().expect("a number")];
        // What may be erased is looked for through everything, once in a while.
        let once_in_a_while = query.contains(" erasable ");
        let harmless = once_in_a_while || WHOLE_TABLES.iter().any(|table| plan.contains(table));
        assert!(!plan.contains("Seq Scan") || harmless, "{plan}\n{query}");
    }
    store.certificates(&issuer(), None, 1).await.expect("a query");
}

/// A young ledger that grows fast: the server hasn't analysed its tables yet, and a plan that was made when they were empty
/// would read all of them for each batch.
#[tokio::test]
async fn a_growing_ledger_is_not_read_whole() {
    const CERTIFICATES: u32 = 1500;
    let database = Database::migrated().await;
    database.execute("ALTER TABLE certificates SET (autovacuum_enabled = off)").expect("as told");
    let store = database.open().await;
    customers(&store, CERTIFICATES).await;
    join_all((1..=CERTIFICATES).map(|n| issue(&store, n))).await;
    // What a connection has done is told when it ends.
    store.close().await;
    let read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'certificates'";
    let read = database.execute(read).expect("a number");
    let read: u32 = read.trim().parse().expect("a number");
    assert!(read < 10 * CERTIFICATES, "{read} entries of indexes were read for {CERTIFICATES} certificates");
}
