//! The books, as they are held against a signer's journal.

use ca_core::{
    domain::{ids::SignerName, revocation::RevocationReason},
    ports::books::Entered,
};

use crate::samples::{
    Ledger, at, customers, event, intend, intent_id, issue, issuer, position, record, serial, signer,
};

fn entered(n: u32) -> Entered {
    Entered { intent: intent_id(n), position: position(n), tbs: record(n).tbs }
}

pub async fn a_page_of_the_journal_is_looked_up_at_once(store: impl Ledger) {
    customers(&store, 6).await;
    for n in [3, 1, 2, 4] {
        issue(&store, n).await;
    }
    intend(&store, 5).await.expect("an intent");
    let reason = RevocationReason::Superseded;
    store.revoke(&issuer(), &serial(4), reason, at(9), event("certificate.revoked")).await.expect("revoked");
    let (first, last) = (position(1).sequence, position(4).sequence);
    let found = store.entered(&issuer(), &signer(), first, last).await.expect("a query");
    assert_eq!(
        found,
        [1, 2, 3, 4].map(entered),
        "in the journal's order, revoked ones as well, no mere intents"
    );
    let second = position(2).sequence;
    let found = store.entered(&issuer(), &signer(), second, second).await.expect("a query");
    assert_eq!(found, [entered(2)]);
    assert!(store.entered(&issuer(), &signer(), last + 1, u64::MAX).await.expect("a query").is_empty());
    let other = SignerName::parse("customer-b").expect("a signer name");
    assert!(store.entered(&issuer(), &other, first, last).await.expect("a query").is_empty());

    let asked = [1, 4, 77].map(serial);
    let revoked = store.revoked_among(&issuer(), &asked).await.expect("a query");
    assert_eq!(revoked.into_iter().collect::<Vec<_>>(), [(serial(4), at(9))]);
    assert!(store.revoked_among(&issuer(), &[]).await.expect("a query").is_empty());

    let rows = store.rows_after(1, 2).await.expect("a query");
    let hashes = store.audit_hashes(2, 3).await.expect("a query");
    assert_eq!(hashes, rows.iter().map(|row| (row.sequence, row.hash)).collect::<Vec<_>>());
    let head = store.head().await.expect("a query");
    let beyond = store.audit_hashes(head.sequence, u64::MAX).await.expect("a query");
    assert_eq!(beyond, [(head.sequence, head.hash)], "there are no more rows");
}
