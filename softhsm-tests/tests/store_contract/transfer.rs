//! The move of a ledger with content of every table from SQLite to PostgreSQL.

use std::path::{Path, PathBuf};

use ca_core::{
    app::move_ledger::{MoveError, Moved, move_ledger},
    domain::{
        enrolment::AcquisitionCode,
        revocation::RevocationReason,
        user::{PasswordHash, PasswordKind, UserState},
    },
    ports::{
        email::EmailStore,
        outbox::{MailList, OutboxStore},
        store::{
            AuditStore, CertificateStore, CustomerStore, LoginStore, Orphan, PasswordBy, PublishedCrl,
            RevocationStore, Session, SignerStore,
        },
        transfer::TABLES,
    },
    testing::clock::ManualClock,
};
use softhsm_tests::postgres::Postgres;
use store_contract::{
    samples::{
        Ledger, at, complete, customers, der, digest, enrolment, event, evidence, intend, intent_id, issue,
        issuer, position, serial, signer, user_id, verified_actions,
    },
    suite::{custody, mail, policies, responders::renewal, staff, tokens, trust},
};
use store_postgres::{Arrival, PostgresStore, Server};
use store_sqlite::{Departure, OpenError, Options, SqliteStore};

use crate::rig::{Database, blocking};

/// At least a row in every table, and every state.
async fn fill(store: &impl Ledger) {
    customers(store, 8).await;
    let code = AcquisitionCode { sha256: digest(9, 1), expires_at: at(100), attempts_left: 2 };
    store.set_acquisition_code(&user_id(7), &code, event("code.issued")).await.expect("a code");
    let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$x".to_owned());
    store
        .set_password(&user_id(1), PasswordKind::Login, &hash, PasswordBy::Issuer, event("password.set"))
        .await
        .expect("a password");
    store
        .count_wrong_password(&user_id(2), PasswordKind::Login, at(1), 5, event("login.wrong"))
        .await
        .expect("counted");
    for n in 1..=3 {
        issue(store, n).await;
    }
    for n in [4, 5] {
        intend(store, n).await.expect("an intent");
    }
    store.abandon_intent(intent_id(5), event("intent.abandoned")).await.expect("abandoned");
    store.open_enrolment(&enrolment(6), None, event("enrolment.opened")).await.expect("opened");
    let shown = evidence("evidence-untrusted");
    store
        .refuse_enrolment(
            intent_id(6),
            "evidence-untrusted",
            "a\tb\\c",
            Some(&shown),
            event("enrolment.refused"),
        )
        .await
        .expect("refused");
    let orphan = Orphan {
        issuer: issuer(),
        signer: signer(),
        intent: intent_id(90),
        serial: serial(90),
        not_after: at(1000),
        der: der(90),
        position: position(90),
    };
    store.record_orphan(&orphan, event("orphan.found")).await.expect("kept");
    let renewal = renewal(80);
    store.record_responder_intent(&renewal, event("responder.intended")).await.expect("an intent");
    store
        .record_responder(renewal.intent, &der(80), position(80), at(80), event("responder.issued"))
        .await
        .expect("issued");
    store
        .revoke(&issuer(), &serial(3), RevocationReason::Superseded, at(5), event("revoked"))
        .await
        .expect("revoked");
    store.next_crl_number(&issuer()).await.expect("a number");
    let crl = PublishedCrl {
        number: 1,
        this_update: at(50),
        next_update: at(1000),
        listed_from: at(50),
        entries: 1,
        der: vec![0, 92, 10],
    };
    store.publish_crl(&issuer(), &crl, event("crl.published")).await.expect("published");
    let journal = uuid::Uuid::from_u128(1);
    store
        .introduce_signer(&issuer(), &signer(), journal, event("signer.introduced"))
        .await
        .expect("introduced");
    let session = Session {
        token_sha256: digest(5, 1),
        csrf_sha256: digest(6, 1),
        user: user_id(1),
        issuer: issuer(),
        serial: serial(1),
        opened_at: at(20),
        last_used_at: at(20),
    };
    store.open_session(&session, event("login")).await.expect("a session");
    mail::keep_some(store).await;
    policies::keep_some(store).await;
    tokens::keep_some(store).await;
    custody::keep_some(store).await;
    staff::keep_some(store).await;
    trust::keep_some(store).await;
    store.set_user_state(&user_id(5), UserState::Removed, event("user.removed")).await.expect("removed");
}

async fn sqlite(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &Options::default()).await.expect("the source")
}

/// A folder with a full ledger.
async fn full() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    store_sqlite::migrate(&path).await.expect("a ledger");
    let store = sqlite(&path).await;
    fill(&store).await;
    store.close().await;
    (folder, path)
}

async fn moved(path: &Path, to: &Server) -> Result<Moved, MoveError> {
    let mut source = Departure::open(path).await.expect("the source");
    let mut target = Arrival::open(to).await.expect("the target");
    move_ledger(&mut source, &mut target, "the new database", &ManualClock::at(at(77)), &mut |_| {}).await
}

#[tokio::test]
async fn a_full_ledger_arrives_whole_and_is_left_for_good() {
    let (_folder, path) = full().await;
    let database = Database::migrated().await;
    let report = moved(&path, &database.server()).await.expect("moved");
    assert!(!report.was_copied);
    assert_eq!(report.tables.len(), TABLES.len());
    for table in &report.tables {
        assert!(table.rows > 0, "the test has nothing in {}", table.name);
    }
    let refused = SqliteStore::open(&path, &Options::default()).await.expect_err("a refusal");
    assert!(matches!(&refused, OpenError::Moved { destination, .. } if destination == "the new database"));
    assert!(matches!(Departure::open(&path).await, Err(OpenError::Moved { .. })));

    let store = database.open().await;
    assert_eq!(store.head().await.expect("the head"), report.audit_head);
    same(&store).await;
    // And it goes on from there.
    complete(&store, 4).await.expect("the open intent");
    issue(&store, 8).await;
    assert_eq!(store.next_crl_number(&issuer()).await.expect("a number").number, 2);
    store
        .revoke(&issuer(), &serial(1), RevocationReason::Superseded, at(9), event("revoked"))
        .await
        .expect("revoked");
    let pending = store.unjournaled_revocations(&issuer(), &signer(), 10).await.expect("a query").revocations;
    assert_eq!(pending.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
    verified_actions(&store).await;
}

/// What the ports tell of the copy is what they tell of a ledger that was filled directly.
async fn same(copy: &PostgresStore) {
    let direct = ca_core::testing::MemoryStore::default();
    fill(&direct).await;
    for n in 0..=8 {
        let id = user_id(n);
        assert_eq!(copy.user(&id).await.expect("a query"), direct.user(&id).await.expect("a query"));
        let mails = MailList::OfUser(id.clone());
        assert_eq!(
            copy.mails(&mails, 9).await.expect("a query"),
            direct.mails(&mails, 9).await.expect("a query")
        );
        assert_eq!(
            copy.email_change(&id).await.expect("a query"),
            direct.email_change(&id).await.expect("a query")
        );
        assert_eq!(
            copy.certificates_of(&id).await.expect("a query"),
            direct.certificates_of(&id).await.expect("a query")
        );
        let (id, evidence) = (intent_id(n), direct.evidence(intent_id(n)).await.expect("a query"));
        assert_eq!(copy.evidence(id).await.expect("a query"), evidence);
        assert_eq!(copy.enrolment(id).await.expect("a query"), direct.enrolment(id).await.expect("a query"));
    }
    assert_eq!(
        copy.orphans(&issuer()).await.expect("a query"),
        direct.orphans(&issuer()).await.expect("a query")
    );
    assert_eq!(
        copy.current_crl(&issuer()).await.expect("a query"),
        direct.current_crl(&issuer()).await.expect("a query")
    );
    assert_eq!(
        copy.signers(&issuer()).await.expect("a query"),
        direct.signers(&issuer()).await.expect("a query")
    );
    assert!(copy.session(&digest(5, 1)).await.expect("a query").is_some());
    assert_eq!(copy.last_logins(&user_id(1), 5).await.expect("a query").len(), 1);
    assert_eq!(verified_actions(copy).await, verified_actions(&direct).await);
}

#[tokio::test]
async fn a_ledger_in_use_is_not_moved() {
    let (_folder, path) = full().await;
    let node = sqlite(&path).await;
    assert!(matches!(Departure::open(&path).await, Err(OpenError::InUse { .. })));
    node.append(event("undisturbed")).await.expect("a row");
    node.close().await;
    let departure = Departure::open(&path).await.expect("nobody is at it");
    drop(departure);
    sqlite(&path).await.append(event("as it was")).await.expect("a row");
}

#[tokio::test]
async fn a_target_with_another_ledger_is_refused_and_left_alone() {
    let (_folder, path) = full().await;
    let database = Database::migrated().await;
    let store = database.open().await;
    customers(&store, 1).await;
    let refused = moved(&path, &database.server()).await.expect_err("a refusal");
    assert!(matches!(refused, MoveError::NotEmpty { .. }), "{refused:?}");
    assert_eq!(store.contracts().await.expect("a query").len(), 1);
    sqlite(&path).await.append(event("not left")).await.expect("a row");
}

/// The power went between the copy's commit and the mark on the source.
#[tokio::test]
async fn a_move_that_was_cut_short_is_ended_by_doing_it_again() {
    let (_folder, path) = full().await;
    let copy = path.with_extension("copy");
    std::fs::copy(&path, &copy).expect("a copy");
    let database = Database::migrated().await;
    moved(&copy, &database.server()).await.expect("moved, as far as the target goes");
    let report = moved(&path, &database.server()).await.expect("the rest");
    assert!(report.was_copied);
    assert!(matches!(SqliteStore::open(&path, &Options::default()).await, Err(OpenError::Moved { .. })));
}

/// The roles are those of the guide: what the nodes' may is enough for a node, and not for this.
#[tokio::test]
async fn the_owner_of_the_tables_fills_them_and_the_nodes_role_works_on_them() {
    let (_folder, path) = full().await;
    let cluster = blocking(|| {
        let cluster = Postgres::shared().expect("a cluster");
        cluster.create_by_guide().expect("a database and two roles");
        cluster
    })
    .await;
    let connected_as = |role| Server::parse(&cluster.url_of(role, "inro")).expect("an address");
    let (owner, node) = (connected_as("inro_owner"), connected_as("inro"));
    store_postgres::migrate(&owner).await.expect("a ledger");
    let refused = Arrival::open(&node).await.expect_err("a refusal");
    assert!(matches!(&refused, store_postgres::OpenError::NotOwner { role, .. } if role == "inro"));

    moved(&path, &owner).await.expect("moved");
    let unknown =
        "SELECT count(*) FROM pg_class WHERE relname IN ('certificates', 'audit') AND reltuples <= 0";
    assert_eq!(cluster.execute("inro", unknown).expect("a count"), "0", "the planner knows the tables");
    let store = PostgresStore::open(&node, &store_postgres::Options::default()).await.expect("the store");
    complete(&store, 4).await.expect("the open intent");
    issue(&store, 8).await;
    store
        .revoke(&issuer(), &serial(1), RevocationReason::Superseded, at(9), event("revoked"))
        .await
        .expect("revoked");
    verified_actions(&store).await;
}
