//! Two programs on one ledger: the node, and the operator's command line.

use ca_core::{
    domain::{revocation::RevocationReason, user::Role},
    ports::store::{CertificateStore, CustomerStore, LedgerStatus, RevocationStore, StoreResult},
};
use store_contract::samples::{
    at, complete, contract, enrolment, event, evidence, issuer, record, serial, user, verified_actions,
};
use store_sqlite::{Options, SqliteStore, migrate};

async fn two() -> (tempfile::TempDir, SqliteStore, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    migrate(&path).await.expect("created");
    let open = async || SqliteStore::open(&path, &Options::default()).await.expect("the store");
    let (node, desk) = (open().await, open().await);
    node.register_contract(&contract(u16::MAX), event("contract.registered")).await.expect("the contract");
    (folder, node, desk)
}

async fn enrol(store: &SqliteStore, n: u32) -> StoreResult<()> {
    store.register_user(&user(n, Role::General), event("user.registered")).await?;
    store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
    store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
    complete(store, n).await
}

/// Whoever writes goes on behind what the other one wrote meanwhile, whatever it remembers of the trail.
#[tokio::test]
async fn both_write_one_unbroken_trail() {
    let (_folder, node, desk) = two().await;
    for n in (1..=8).step_by(2) {
        enrol(&node, n).await.expect("enrolled by the node");
        let intending = async {
            desk.register_user(&user(n + 1, Role::General), event("user.registered")).await?;
            desk.open_enrolment(&enrolment(n + 1), None, event("enrolment.opened")).await
        };
        intending.await.expect("opened by the desk");
        node.record_intent(&record(n + 1), &evidence("accepted"), event("certificate.intended"))
            .await
            .expect("an intent");
        complete(&desk, n + 1).await.expect("issued by the desk");
    }
    let actions = verified_actions(&node).await;
    for action in ["certificate.intended", "certificate.issued"] {
        assert_eq!(actions.iter().filter(|found| *found == action).count(), 8, "{action}");
    }
    assert_eq!(verified_actions(&desk).await, actions);
    let evidence = node.evidence(record(2).intent).await.expect("a query");
    assert!(evidence.is_some(), "what was written again was written whole");
}

#[tokio::test]
async fn what_the_desk_revokes_shows_at_the_node() {
    let (_folder, node, desk) = two().await;
    enrol(&node, 1).await.expect("enrolled");
    let before = node.revocation_head().await.expect("a query");
    desk.revoke(&issuer(), &serial(1), RevocationReason::KeyCompromise, at(5), event("revoked"))
        .await
        .expect("revoked");
    while node.revocation_head().await.expect("a query") == before {
        tokio::task::yield_now().await;
    }
    let status = node.status(&issuer(), &serial(1)).await.expect("a query");
    assert!(matches!(status, LedgerStatus::Revoked(_)), "{status:?}");
}

/// Who has seen a revocation never calls the head the one from before it.
#[tokio::test]
async fn a_revocation_that_was_seen_is_in_the_head() {
    let (_folder, node, desk) = two().await;
    enrol(&node, 1).await.expect("enrolled");
    let before = node.revocation_head().await.expect("a query");
    desk.revoke(&issuer(), &serial(1), RevocationReason::KeyCompromise, at(5), event("revoked"))
        .await
        .expect("revoked");
    node.status(&issuer(), &serial(1)).await.expect("a query");
    assert!(node.revocation_head().await.expect("a query") > before);
}
