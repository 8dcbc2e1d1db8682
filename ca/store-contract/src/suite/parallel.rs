//! The invariants under 50 tasks at once.

use std::{future::Future, sync::Arc};

use ca_core::{
    domain::{
        certificate::CertificateRecord, enrolment::Enrolment, ids::EnrolmentId, revocation::RevocationReason,
    },
    ports::store::{Conflict, RevokeOutcome, StoreError, StoreResult},
};
use tokio::task::JoinSet;

use crate::samples::{
    Ledger, at, complete, customers, device, digest, enrolment, event, evidence, intent_id, issue, issuer,
    key, record, serial, user_id, verified_actions,
};

const TASKS: u32 = 50;

/// Runs `task` for 1 to 50 at once.
async fn at_once<S, T, F>(store: &Arc<S>, task: impl Fn(Arc<S>, u32) -> F) -> Vec<(u32, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 1..=TASKS {
        let done = task(Arc::clone(store), n);
        tasks.spawn(async move { (n, done.await) });
    }
    tasks.join_all().await
}

fn count<T>(results: &[(u32, StoreResult<T>)], conflict: Conflict) -> usize {
    let is =
        |result: &StoreResult<T>| matches!(result, Err(StoreError::Conflict(found)) if *found == conflict);
    results.iter().filter(|(_, result)| is(result)).count()
}

fn winners<T>(results: &[(u32, StoreResult<T>)]) -> Vec<u32> {
    results.iter().filter(|(_, result)| result.is_ok()).map(|(n, _)| *n).collect()
}

/// R10.
pub async fn one_idempotency_key_opens_one_enrolment(store: impl Ledger) {
    customers(&store, 1).await;
    let store = Arc::new(store);
    let results = at_once(&store, |store, n| async move {
        let attempt =
            Enrolment { id: intent_id(n), idempotency_key: key(1), user: user_id(1), ..enrolment(n) };
        store.open_enrolment(&attempt, None, event("enrolment.opened")).await.expect("the enrolment").id
    })
    .await;
    let mut ids: Vec<EnrolmentId> = results.into_iter().map(|(_, id)| id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "everybody is told the same");
    let opened = verified_actions(&*store).await.into_iter().filter(|action| action == "enrolment.opened");
    assert_eq!(opened.count(), 1);
}

pub async fn one_user_gets_one_intent(store: impl Ledger) {
    customers(&store, 1).await;
    let of_one_user = |n| Enrolment { user: user_id(1), ..enrolment(n) };
    for n in 1..=TASKS {
        store.open_enrolment(&of_one_user(n), None, event("enrolment.opened")).await.expect("opened");
    }
    let store = Arc::new(store);
    let results = at_once(&store, |store, n| async move {
        let attempt = CertificateRecord { user: user_id(1), ..record(n) };
        store.record_intent(&attempt, &evidence("accepted"), event("certificate.intended")).await
    })
    .await;
    assert_eq!(winners(&results).len(), 1);
    assert_eq!(count(&results, Conflict::OnePerUser), 49);
    let rows = store.certificates_of(&user_id(1)).await.expect("a query");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].serial, serial(winners(&results)[0]), "the winner was told so");
}

/// Half of them claim one key, or one token; the other half is honest and mustn't be pulled down.
pub async fn losers_never_take_others_with_them(store: impl Ledger) {
    customers(&store, TASKS).await;
    for n in 1..=TASKS {
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await.expect("opened");
    }
    let store = Arc::new(store);
    let results = at_once(&store, |store, n| async move {
        let attempt = match n % 4 {
            0 => CertificateRecord { public_key_sha256: digest(3, 999), ..record(n) },
            2 => CertificateRecord { device: device(999), ..record(n) },
            _ => record(n),
        };
        let intended =
            store.record_intent(&attempt, &evidence("accepted"), event("certificate.intended")).await;
        if intended.is_ok() {
            complete(&*store, n).await.expect("issued");
            complete(&*store, n).await.expect("repeated");
        }
        intended
    })
    .await;
    let winners = winners(&results);
    assert_eq!(winners.iter().filter(|n| *n % 2 == 1).count(), 25, "every honest one");
    assert_eq!(
        (winners.iter().filter(|n| *n % 4 == 0).count(), winners.iter().filter(|n| *n % 4 == 2).count()),
        (1, 1)
    );
    assert_eq!(count(&results, Conflict::DeviceInUse), 23);
    let actions = verified_actions(&*store).await;
    for action in ["certificate.intended", "certificate.issued"] {
        assert_eq!(actions.iter().filter(|found| *found == action).count(), 27, "{action}");
    }
    let listed = store.certificates(&issuer(), None, 100).await.expect("a query");
    assert_eq!(listed.iter().filter(|record| record.der().is_some()).count(), 27);
}

/// Each while others revoke: a higher number never comes with a lower head.
pub async fn crl_numbers_are_given_once_and_heads_rise_with_them(store: impl Ledger) {
    customers(&store, TASKS).await;
    let store = Arc::new(store);
    let results = at_once(&store, |store, n| async move {
        issue(&*store, n).await;
        let revoked =
            store.revoke(&issuer(), &serial(n), RevocationReason::Superseded, at(5), event("revoked")).await;
        assert!(matches!(revoked, Ok(RevokeOutcome::Revoked(_))), "{revoked:?}");
        let next = store.next_crl_number(&issuer()).await.expect("a number");
        let listed = store.revoked(&issuer(), at(0), next.head).await.expect("a query");
        assert_eq!(listed.len() as u64, next.head);
        assert!(listed.iter().any(|revocation| revocation.serial == serial(n)), "what was revoked before");
        next
    })
    .await;
    let mut next: Vec<(u64, u64)> = results.into_iter().map(|(_, next)| (next.number, next.head)).collect();
    next.sort_unstable();
    assert!(next.iter().map(|(number, _)| *number).eq(1..=u64::from(TASKS)), "{next:?}");
    assert!(next.is_sorted_by_key(|(_, head)| *head), "{next:?}");
}
