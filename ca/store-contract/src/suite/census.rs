//! What operations count.

use ca_core::{
    domain::{crl::PublishedCrl, revocation::RevocationReason},
    ports::{
        census::{CrlHead, Unfinished},
        store::Orphan,
    },
};
use jiff::SignedDuration;

use super::{
    responders::{intend as renew, renewal},
    signers::introduce,
};
use crate::samples::{
    Ledger, at, customers, der, event, intend, intent_id, issue, issuer, position, record, serial, signer,
    verified_actions,
};

async fn revoke(store: &impl Ledger, n: u32) {
    let reason = RevocationReason::Unspecified;
    store.revoke(&issuer(), &serial(n), reason, at(20), event("certificate.revoked")).await.expect("revoked");
}

pub async fn what_is_unfinished_is_counted(store: impl Ledger) {
    assert_eq!(store.unfinished(&issuer()).await.expect("a query"), Unfinished::default());
    customers(&store, 5).await;
    introduce(&store, &signer(), 1).await.expect("introduced");
    for n in 1..=2 {
        issue(&store, n).await;
    }
    for n in 3..=4 {
        intend(&store, n).await.expect("the intent");
    }
    let orphan = |n: u32| Orphan {
        issuer: issuer(),
        signer: signer(),
        intent: intent_id(n),
        serial: serial(n),
        not_after: record(n).not_after,
        der: der(n),
        position: position(n),
    };
    for n in [10, 11] {
        store.record_orphan(&orphan(n), event("orphan.found")).await.expect("kept");
    }
    for n in [2, 4, 11] {
        revoke(&store, n).await;
    }
    let counted = store.unfinished(&issuer()).await.expect("a query");
    let expected = Unfinished {
        open_intents: 1,
        oldest_intent: Some(record(3).not_before),
        orphans: 1,
        unjournaled_revocations: 3,
    };
    assert_eq!(counted, expected);
    let pending = store.unjournaled_revocations(&issuer(), &signer(), 10).await.expect("a query");
    let (up_to, _) = pending.revocations[1].clone();
    store.mark_journaled(&issuer(), &signer(), (up_to, position(2))).await.expect("marked");
    let counted = store.unfinished(&issuer()).await.expect("a query");
    assert_eq!(counted.unjournaled_revocations, 1);
}

pub async fn open_renewals_of_responders_are_counted(store: impl Ledger) {
    for n in 1..=4 {
        renew(&store, &renewal(n)).await.expect("an intent");
    }
    let issued = event("responder.issued");
    store.record_responder(renewal(1).intent, b"one", position(1), at(1), issued).await.expect("issued");
    let abandoned = event("responder.intent-abandoned");
    store.abandon_responder_intent(renewal(2).intent, abandoned).await.expect("given up");
    revoke(&store, 3).await;
    let counted = store.unfinished(&issuer()).await.expect("a query");
    assert_eq!((counted.open_intents, counted.oldest_intent), (1, Some(renewal(4).not_before)));
}

pub async fn certificates_that_expire_soon_are_counted(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    intend(&store, 4).await.expect("the intent");
    revoke(&store, 3).await;
    let expiry = record(1).not_after;
    let second = SignedDuration::from_secs(1);
    let count = async |from, until| store.expiring(&issuer(), from, until).await.expect("a query");
    assert_eq!(count(at(0), expiry + second).await, 2, "those that stand");
    assert_eq!(count(expiry, expiry + second).await, 2, "from the first on");
    assert_eq!(count(at(0), expiry).await, 0, "before the last");
    assert_eq!(count(expiry + second, expiry + second).await, 0);
}

pub async fn a_crl_says_what_it_is_without_its_entries(store: impl Ledger) {
    assert_eq!(store.crl(&issuer()).await.expect("a query"), None);
    let published = PublishedCrl {
        number: 7,
        this_update: at(10),
        next_update: at(20),
        listed_from: at(10),
        entries: 3,
        der: vec![1; 4000],
    };
    store.publish_crl(&issuer(), &published, event("crl.published")).await.expect("published");
    let head = CrlHead { number: 7, this_update: at(10), next_update: at(20), entries: 3 };
    assert_eq!(store.crl(&issuer()).await.expect("a query"), Some(head));
}

pub async fn a_probe_writes_and_changes_nothing(store: impl Ledger) {
    assert!(store.schema_fits().await.expect("a query"));
    let before = verified_actions(&store).await;
    for _ in 0..3 {
        store.probe().await.expect("written");
    }
    assert_eq!(verified_actions(&store).await, before, "a probe is no fact");
    customers(&store, 1).await;
}
