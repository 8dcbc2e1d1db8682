//! Signers, and leases.

use ca_core::{
    domain::ids::SignerName,
    ports::{
        signer::JournalPosition,
        store::{Conflict, SignerRecord, StoreResult},
    },
};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::samples::{
    Ledger, at, customers, event, issue, issuer, position, refused, signer, verified_actions,
};

/// Introduces a signer.
///
/// # Errors
/// The store's.
pub async fn introduce(store: &impl Ledger, name: &SignerName, journal: u128) -> StoreResult<SignerRecord> {
    store.introduce_signer(&issuer(), name, Uuid::from_u128(journal), event("signer.introduced")).await
}

pub async fn a_signer_keeps_its_journal(store: impl Ledger) {
    let record = introduce(&store, &signer(), 1).await.expect("introduced");
    assert_eq!((record.reconciled, record.revocations_to, record.anchors_accepted_to), (None, 0, 0));
    assert_eq!(introduce(&store, &signer(), 1).await.expect("known"), record);
    refused(introduce(&store, &signer(), 2).await, Conflict::OtherJournal);
    let other = SignerName::parse("customer-b").expect("a signer name");
    introduce(&store, &other, 2).await.expect("introduced");
    let names: Vec<_> =
        store.signers(&issuer()).await.expect("a query").into_iter().map(|record| record.name).collect();
    assert_eq!(names, [signer(), other]);
    assert_eq!(verified_actions(&store).await.len(), 2, "known ones change nothing");
}

pub async fn reconciliation_goes_forward_only(store: impl Ledger) {
    introduce(&store, &signer(), 1).await.expect("introduced");
    let reach = async |sequence: u8| {
        let position = JournalPosition { sequence: sequence.into(), hash: [sequence; 32] };
        store.set_reconciled(&issuer(), &signer(), position).await
    };
    reach(12).await.expect("set");
    reach(7).await.expect("not moved back");
    store.accept_lost_anchors(&issuer(), &signer(), 9, event("journal.accepted")).await.expect("accepted");
    let standing = store.signers(&issuer()).await.expect("a query").remove(0);
    assert_eq!(standing.reconciled, Some(JournalPosition { sequence: 12, hash: [12; 32] }));
    assert_eq!(standing.anchors_accepted_to, 9);

    store.retire_signer(&issuer(), &signer(), at(5), event("signer.retired")).await.expect("retired");
    refused(
        store.retire_signer(&issuer(), &signer(), at(6), event("signer.retired")).await,
        Conflict::Missing,
    );
    assert_eq!(store.signers(&issuer()).await.expect("a query").remove(0).retired_at, Some(at(5)));
    let unknown = SignerName::parse("nobody").expect("a signer name");
    refused(
        store.accept_lost_anchors(&issuer(), &unknown, 9, event("journal.accepted")).await,
        Conflict::Missing,
    );
}

pub async fn the_furthest_journaled_entry_is_known(store: impl Ledger) {
    customers(&store, 3).await;
    assert_eq!(store.last_journaled(&issuer(), &signer()).await.expect("a query"), None);
    for n in [3, 1, 2] {
        issue(&store, n).await;
    }
    assert_eq!(store.last_journaled(&issuer(), &signer()).await.expect("a query"), Some(position(3)));
    let other = SignerName::parse("customer-b").expect("a signer name");
    assert_eq!(store.last_journaled(&issuer(), &other).await.expect("a query"), None);
}

pub async fn a_lease_has_one_holder(store: impl Ledger) {
    let long = SignedDuration::from_mins(10);
    let take = |holder: &'static str, lifetime| store.take_lease("crl", holder, lifetime);
    assert!(take("a", long).await.expect("a query"));
    assert!(!take("b", long).await.expect("a query"), "another has it");
    assert!(take("a", long).await.expect("a query"), "prolonged");
    assert!(store.take_lease("other", "b", long).await.expect("a query"), "another lease");
    store.release_lease("crl", "b").await.expect("nothing to give back");
    assert!(!take("b", long).await.expect("a query"));
    store.release_lease("crl", "a").await.expect("given back");
    assert!(take("b", SignedDuration::ZERO).await.expect("a query"), "free");
    assert!(take("a", long).await.expect("a query"), "it had lapsed");
}
