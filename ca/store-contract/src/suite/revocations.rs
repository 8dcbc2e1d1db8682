//! Revocations and CRLs.

use ca_core::{
    domain::{
        certificate::{CertificateRecord, CertificateState},
        ids::{IssuerId, SerialNumber, SignerName},
        revocation::{Revocation, RevocationReason},
    },
    ports::store::{AuditStore, Conflict, LedgerStatus, NextCrl, Orphan, PublishedCrl, RevokeOutcome},
};

use super::signers::introduce;
use crate::samples::{
    Ledger, at, customers, der, enrolment, event, evidence, intend, intent_id, issue, issuer, position,
    record, refused, serial, signer, verified_actions,
};

fn revocation(n: u32, seconds: i64) -> Revocation {
    Revocation {
        issuer: issuer(),
        serial: serial(n),
        at: at(seconds),
        reason: RevocationReason::CessationOfOperation,
        not_after: record(n).not_after,
    }
}

async fn revoke(store: &impl Ledger, n: u32, seconds: i64) -> RevokeOutcome {
    let reason = RevocationReason::CessationOfOperation;
    store.revoke(&issuer(), &serial(n), reason, at(seconds), event("revoked")).await.expect("an outcome")
}

pub async fn nothing_unrevokes(store: impl Ledger) {
    customers(&store, 3).await;
    issue(&store, 1).await;
    intend(&store, 2).await.expect("the intent");
    let status = |n| {
        let store = &store;
        async move { store.status(&issuer(), &serial(n)).await.expect("a query") }
    };
    assert_eq!(status(1).await, LedgerStatus::Good);
    assert_eq!(status(2).await, LedgerStatus::Unknown, "an intent alone isn't good");
    assert_eq!(revoke(&store, 9, 1).await, RevokeOutcome::Unknown);
    assert_eq!(revoke(&store, 1, 5).await, RevokeOutcome::Revoked(revocation(1, 5)));
    let again =
        store.revoke(&issuer(), &serial(1), RevocationReason::KeyCompromise, at(9), event("revoked")).await;
    assert_eq!(again.expect("an outcome"), RevokeOutcome::Already(revocation(1, 5)));
    assert_eq!(revoke(&store, 2, 6).await, RevokeOutcome::Revoked(revocation(2, 6)));
    assert_eq!(status(1).await, LedgerStatus::Revoked(revocation(1, 5)));
    assert_eq!(status(2).await, LedgerStatus::Revoked(revocation(2, 6)));
    let other = IssuerId::parse("staff").expect("an issuer");
    assert_eq!(store.status(&other, &serial(1)).await.expect("a query"), LedgerStatus::Unknown);
    let rows = verified_actions(&store).await.into_iter().filter(|action| action == "revoked").count();
    assert_eq!(rows, 2, "what changed nothing leaves no row");

    intend(&store, 3).await.expect("the intent");
    store.abandon_intent(intent_id(3), event("intent.abandoned")).await.expect("abandoned");
    assert_eq!(revoke(&store, 3, 7).await, RevokeOutcome::Unknown, "there is nothing to revoke");
}

pub async fn the_head_rises_with_each_revocation_at_once(store: impl Ledger) {
    let head = async || store.revocation_head().await.expect("a query");
    customers(&store, 3).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    let empty = head().await;
    assert_eq!(head().await, empty, "nothing was revoked");
    revoke(&store, 1, 5).await;
    let first = head().await;
    assert!(first > empty);
    revoke(&store, 1, 6).await;
    assert_eq!(head().await, first, "it was revoked already");
    assert!(store.restore_revocation(&revocation(2, 7), event("restored")).await.expect("entered"));
    assert!(head().await > first);
}

pub async fn an_orphan_can_be_revoked(store: impl Ledger) {
    let orphan = Orphan {
        issuer: issuer(),
        signer: signer(),
        intent: intent_id(1),
        serial: serial(1),
        not_after: record(1).not_after,
        der: der(1),
        position: position(1),
    };
    store.record_orphan(&orphan, event("orphan.found")).await.expect("kept");
    assert_eq!(store.status(&issuer(), &serial(1)).await.expect("a query"), LedgerStatus::Unknown);
    assert_eq!(revoke(&store, 1, 5).await, RevokeOutcome::Revoked(revocation(1, 5)));
    assert_eq!(store.revoked(&issuer(), at(6), u64::MAX).await.expect("a query"), [revocation(1, 5)]);
    assert_eq!(
        store.status(&issuer(), &serial(1)).await.expect("a query"),
        LedgerStatus::Revoked(revocation(1, 5))
    );
    assert_eq!(store.orphans(&issuer()).await.expect("a query"), [orphan]);
}

pub async fn each_journal_is_told_in_order_of_entry(store: impl Ledger) {
    customers(&store, 3).await;
    let other = SignerName::parse("customer-b").expect("a signer name");
    for name in [signer(), other.clone()] {
        introduce(&store, &name, 1).await.expect("introduced");
    }
    for n in 1..=3 {
        issue(&store, n).await;
    }
    for (n, seconds) in [(1, 30), (3, 10), (2, 20)] {
        revoke(&store, n, seconds).await;
    }
    let pending = |name: SignerName, limit| {
        let store = &store;
        async move {
            let pending = store.unjournaled_revocations(&issuer(), &name, limit).await.expect("a query");
            assert_eq!(pending.audit, AuditStore::head(store).await.expect("the head"));
            pending.revocations
        }
    };
    let serials = |pending: Vec<(u64, Revocation)>| {
        pending.into_iter().map(|(_, revocation)| revocation.serial).collect::<Vec<SerialNumber>>()
    };
    assert_eq!(serials(pending(signer(), 10).await), [serial(1), serial(3), serial(2)]);
    let first = pending(signer(), 2).await;
    let (up_to, last) = first.last().cloned().expect("a revocation");
    assert_eq!(last, revocation(3, 10));
    store.mark_journaled(&issuer(), &signer(), (up_to, position(7))).await.expect("marked");
    store.mark_journaled(&issuer(), &signer(), (up_to - 1, position(8))).await.expect("not moved back");
    assert_eq!(store.last_journaled(&issuer(), &signer()).await.expect("a query"), Some(position(7)));
    assert_eq!(serials(pending(signer(), 10).await), [serial(2)]);
    assert_eq!(pending(other, 10).await.len(), 3, "the other journal hasn't heard of them");
}

pub async fn a_revocation_comes_back_from_a_journal(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    let restore = |revocation: Revocation| {
        let store = &store;
        async move { store.restore_revocation(&revocation, event("revocation.restored")).await.expect("entered") }
    };
    assert!(restore(revocation(1, 5)).await);
    assert!(!restore(revocation(1, 9)).await, "its time never changes");
    assert!(restore(revocation(2, 6)).await, "the ledger knows no such certificate");
    for n in 1..=2 {
        assert!(matches!(
            store.status(&issuer(), &serial(n)).await.expect("a query"),
            LedgerStatus::Revoked(_)
        ));
    }
    assert_eq!(
        store.revoked(&issuer(), at(0), u64::MAX).await.expect("a query"),
        [revocation(1, 5), revocation(2, 6)]
    );
    verified_actions(&store).await;
}

pub async fn a_revocation_only_moves_back(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    let predate = async |n, seconds| {
        store.predate_revocation(&issuer(), &serial(n), at(seconds), event("revocation.predated")).await
    };
    let lacking = async || store.revoked_since_crl(&issuer()).await.expect("a query");
    let publish = async |number| {
        let (this_update, next_update) = (at(50), at(1000));
        let crl =
            PublishedCrl { number, this_update, next_update, listed_from: at(50), entries: 1, der: vec![1] };
        store.publish_crl(&issuer(), &crl, event("crl.published")).await.expect("published");
    };
    refused(predate(1, 5).await, Conflict::Missing);
    revoke(&store, 1, 9).await;
    refused(predate(2, 5).await, Conflict::Missing);
    assert!(!predate(1, 10).await.expect("an outcome"), "later");
    assert!(!predate(1, 9).await.expect("an outcome"), "the same");
    publish(1).await;
    let begun = store.next_crl_number(&issuer()).await.expect("a number");
    assert_eq!(lacking().await, 0);

    assert!(predate(1, 5).await.expect("moved"));
    assert!(!predate(1, 5).await.expect("an outcome"), "a repeat");
    assert!(!predate(1, 7).await.expect("an outcome"), "not forth again");
    assert_eq!(
        store.status(&issuer(), &serial(1)).await.expect("a query"),
        LedgerStatus::Revoked(revocation(1, 5))
    );
    assert_eq!(store.revoked(&issuer(), at(0), begun.head).await.expect("a query"), [revocation(1, 5)]);
    let among = store.revoked_among(&issuer(), &[serial(1)]).await.expect("a query");
    assert_eq!(among.into_values().collect::<Vec<_>>(), [at(5)]);
    let record = store.certificate(&issuer(), &serial(1)).await.expect("a query").expect("a certificate");
    assert!(
        matches!(record.state, CertificateState::Revoked { at: since, .. } if since == at(5)),
        "{:?}",
        record.state
    );
    assert_eq!(lacking().await, 1, "the current CRL says the later time");
    publish(begun.number).await;
    assert_eq!(lacking().await, 1, "what was read for this one, nobody knows");
    publish(store.next_crl_number(&issuer()).await.expect("a number").number).await;
    assert_eq!(lacking().await, 0);
    let actions = verified_actions(&store).await;
    assert_eq!(actions.iter().filter(|action| *action == "revocation.predated").count(), 1);
}

pub async fn a_crl_holds_what_has_not_expired(store: impl Ledger) {
    customers(&store, 3).await;
    for n in [3, 1] {
        issue(&store, n).await;
        revoke(&store, n, 5).await;
    }
    store.open_enrolment(&enrolment(2), None, event("enrolment.opened")).await.expect("opened");
    let brief = CertificateRecord { not_after: at(100), ..record(2) };
    store
        .record_intent(&brief, &evidence("accepted"), event("certificate.intended"))
        .await
        .expect("intended");
    revoke(&store, 2, 6).await;
    let revoked = |seconds| {
        let store = &store;
        async move {
            let revoked = store.revoked(&issuer(), at(seconds), u64::MAX).await.expect("a query");
            revoked.into_iter().map(|revocation| revocation.serial).collect::<Vec<SerialNumber>>()
        }
    };
    assert_eq!(revoked(99).await, [serial(1), serial(2), serial(3)], "by serial number");
    assert_eq!(revoked(100).await, [serial(1), serial(2), serial(3)], "its last second (RFC 5280, 4.1.2.5)");
    assert_eq!(revoked(101).await, [serial(1), serial(3)]);
    let at_the_last_second = PublishedCrl {
        number: 1,
        this_update: at(100),
        next_update: at(1000),
        listed_from: at(100),
        entries: 3,
        der: vec![1],
    };
    store.publish_crl(&issuer(), &at_the_last_second, event("crl.published")).await.expect("published");
    assert_eq!(store.revoked_since_crl(&issuer()).await.expect("a query"), 0, "counted alike");
    let short = PublishedCrl { number: 2, entries: 2, ..at_the_last_second };
    store.publish_crl(&issuer(), &short, event("crl.published")).await.expect("published");
    assert_eq!(store.revoked_since_crl(&issuer()).await.expect("a query"), 1);
    // One that no longer lists what expired before 101.
    let later = PublishedCrl {
        number: 3,
        this_update: at(200),
        next_update: at(1000),
        listed_from: at(101),
        entries: 2,
        der: vec![1],
    };
    store.publish_crl(&issuer(), &later, event("crl.published")).await.expect("published");
    assert_eq!(store.revoked_since_crl(&issuer()).await.expect("a query"), 0);
}

pub async fn crl_numbers_rise(store: impl Ledger) {
    customers(&store, 3).await;
    let crl = |number, entries| PublishedCrl {
        number,
        this_update: at(50),
        next_update: at(1000),
        listed_from: at(50),
        entries,
        der: vec![u8::try_from(number).expect("a small number"); 10],
    };
    let next = || async { store.next_crl_number(&issuer()).await.expect("a number").number };
    let publish = |crl: PublishedCrl| {
        let store = &store;
        async move { store.publish_crl(&issuer(), &crl, event("crl.published")).await }
    };
    let lacking = || async { store.revoked_since_crl(&issuer()).await.expect("a query") };
    assert_eq!((next().await, next().await), (1, 2));
    assert_eq!(store.current_crl(&issuer()).await.expect("a query"), None);
    publish(crl(2, 0)).await.expect("published");
    refused(publish(crl(1, 0)).await, Conflict::CrlNumber);
    refused(publish(crl(2, 0)).await, Conflict::CrlNumber);
    assert_eq!(store.current_crl(&issuer()).await.expect("a query"), Some(crl(2, 0)));
    publish(crl(7, 0)).await.expect("a number from elsewhere");
    assert_eq!(next().await, 8, "beyond it");
    assert_eq!(lacking().await, 0);
    store.raise_crl_number(&issuer(), 8).await.expect("as it is");
    assert_eq!(lacking().await, 0);
    store.raise_crl_number(&issuer(), 20).await.expect("raised");
    assert_eq!(lacking().await, 1, "the one with that number is lost, and the next is due");
    store.raise_crl_number(&issuer(), 3).await.expect("not lowered");
    assert_eq!(next().await, 21);

    for n in 1..=2 {
        issue(&store, n).await;
        revoke(&store, n, 5).await;
    }
    assert_eq!(lacking().await, 3);
    publish(crl(22, 2)).await.expect("published");
    assert_eq!(lacking().await, 0);
    issue(&store, 3).await;
    revoke(&store, 3, 5).await;
    assert_eq!(lacking().await, 1, "though revoked before that CRL's thisUpdate");
    let other = IssuerId::parse("staff").expect("an issuer");
    assert_eq!(store.next_crl_number(&other).await.expect("a number").number, 1);
}

/// Two that are made at once: the later number's list has all that the earlier one's has, whenever each is read.
pub async fn a_crl_lists_what_was_revoked_when_it_got_its_number(store: impl Ledger) {
    customers(&store, 3).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    let next = async || store.next_crl_number(&issuer()).await.expect("a number");
    let listed = async |next: NextCrl| {
        let revoked = store.revoked(&issuer(), at(0), next.head).await.expect("a query");
        revoked.into_iter().map(|revocation| revocation.serial).collect::<Vec<SerialNumber>>()
    };
    let empty = next().await;
    revoke(&store, 3, 5).await;
    let first = next().await;
    assert_eq!(first.head, store.revocation_head().await.expect("a query"));
    assert!(store.restore_revocation(&revocation(1, 7), event("restored")).await.expect("entered"));
    revoke(&store, 2, 5).await;
    let second = next().await;
    assert_eq!(listed(empty).await, []);
    assert_eq!(listed(first).await, [serial(3)], "though revoked in the same second as another");
    assert_eq!(listed(second).await, [serial(1), serial(2), serial(3)]);

    let crl = PublishedCrl {
        number: first.number,
        this_update: at(50),
        next_update: at(1000),
        listed_from: at(50),
        entries: 1,
        der: vec![1],
    };
    store.publish_crl(&issuer(), &crl, event("crl.published")).await.expect("published");
    assert_eq!(store.revoked_since_crl(&issuer()).await.expect("a query"), 2, "the next CRL is due");
}
