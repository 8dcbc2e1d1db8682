//! Trust bundles, and plans after a new judgement.

use ca_core::{
    domain::revocation::RevocationReason,
    ports::{
        rejudgements::{Fallen, NewRejudgement, PlanEnd},
        store::Conflict,
        trust::{OfficerSignature, StagedTrust, TrustRecord},
    },
};

use crate::samples::{
    Ledger, at, customers, event, issue, issuer, refused, serial, user_id, verified_actions,
};

fn signature(officer: &str, seconds: i64) -> OfficerSignature {
    OfficerSignature { officer: officer.to_owned(), at: at(seconds), cms: vec![0x30, 0x80, 0] }
}

fn staged(version: u32, content: &[u8]) -> StagedTrust {
    StagedTrust { version, bundle: content.to_vec(), first: signature("sato", 1) }
}

fn fallen(n: u32) -> Fallen {
    Fallen {
        issuer: issuer(),
        serial: serial(n),
        user: user_id(n),
        code: "evidence-firmware-too-old".to_owned(),
        detail: "firmware 5.4.3 is too old\n😀".to_owned(),
    }
}

fn plan(fallen: Vec<Fallen>) -> NewRejudgement {
    NewRejudgement {
        by: "operator:sato".to_owned(),
        at: at(5),
        basis: "trust version 2".to_owned(),
        judged: 100,
        revoke_at: at(1000),
        reason: RevocationReason::PrivilegeWithdrawn,
        fallen,
    }
}

/// A version, another that is staged, and a plan for certificate 1 that has ended.
pub async fn keep_some(store: &impl Ledger) {
    let first = staged(1, b"{}");
    store.stage_trust(&first, event("trust.staged")).await.expect("staged");
    store.approve_trust(&first, &signature("suzuki", 2), event("trust.approved")).await.expect("approved");
    store.stage_trust(&staged(2, b"{}"), event("trust.staged")).await.expect("staged");
    let number = store.plan_rejudgement(&plan(vec![fallen(1)]), event("rejudgement.planned")).await;
    let number = number.expect("planned");
    let ended = store.end_rejudgement(number, PlanEnd::Done, at(7), event("rejudgement.ended")).await;
    ended.expect("ended");
}

pub async fn a_trust_bundle_takes_two_steps(store: impl Ledger) {
    assert_eq!(store.trust_head().await.expect("a query"), None);
    refused(store.withdraw_trust(event("trust.withdrawn")).await, Conflict::Missing);
    refused(store.stage_trust(&staged(2, b"{}"), event("trust.staged")).await, Conflict::Missing);
    store.stage_trust(&staged(1, b"{\"a\":1}"), event("trust.staged")).await.expect("staged");
    let second = staged(1, b"{\"a\":2}");
    store.stage_trust(&second, event("trust.staged")).await.expect("another in its place");
    assert_eq!(store.staged_trust().await.expect("a query"), Some(second.clone()));
    assert_eq!(store.trust_head().await.expect("a query"), None, "nothing is trusted yet");

    let (suzuki, approved) = (signature("suzuki", 2), "trust.approved");
    refused(store.approve_trust(&staged(1, b"{\"a\":1}"), &suzuki, event(approved)).await, Conflict::Missing);
    store.approve_trust(&second, &suzuki, event(approved)).await.expect("approved");
    refused(store.approve_trust(&second, &suzuki, event(approved)).await, Conflict::Missing);
    assert_eq!(store.staged_trust().await.expect("a query"), None);
    assert_eq!(store.trust_head().await.expect("a query"), Some(1));
    let record = TrustRecord {
        version: 1,
        bundle: second.bundle.clone(),
        first: second.first.clone(),
        second: suzuki,
    };
    assert_eq!(store.trust(1).await.expect("a query"), Some(record));
    assert_eq!(store.trust(2).await.expect("a query"), None);

    store.stage_trust(&staged(2, b"{}"), event("trust.staged")).await.expect("the next");
    store.withdraw_trust(event("trust.withdrawn")).await.expect("taken back");
    assert_eq!(store.staged_trust().await.expect("a query"), None);
    assert_eq!(
        verified_actions(&store).await,
        ["trust.staged", "trust.staged", approved, "trust.staged", "trust.withdrawn"]
    );
}

pub async fn a_rejudgement_is_planned_and_ends_once(store: impl Ledger) {
    customers(&store, 3).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    let before = verified_actions(&store).await.len();
    let plan = plan(vec![fallen(3), fallen(1), fallen(2)]);
    assert_eq!(store.plan_rejudgement(&plan, event("rejudgement.planned")).await.expect("planned"), 1);
    let empty = NewRejudgement { fallen: Vec::new(), ..plan.clone() };
    assert_eq!(store.plan_rejudgement(&empty, event("rejudgement.planned")).await.expect("planned"), 2);
    assert_eq!(store.fallen(1).await.expect("a query"), [fallen(1), fallen(2), fallen(3)]);
    assert_eq!(store.fallen(2).await.expect("a query"), []);
    let end = async |plan, end| store.end_rejudgement(plan, end, at(7), event("rejudgement.ended")).await;
    end(1, PlanEnd::Cancelled).await.expect("ended");
    refused(end(1, PlanEnd::Done).await, Conflict::Missing);
    refused(end(3, PlanEnd::Done).await, Conflict::Missing);
    let plans = store.rejudgements().await.expect("a query");
    let ends: Vec<_> = plans.iter().map(|plan| (plan.id, plan.fallen, plan.ended)).collect();
    assert_eq!(ends, [(1, 3, Some((PlanEnd::Cancelled, at(7)))), (2, 0, None)]);
    assert_eq!((&plans[0].by, plans[0].judged, plans[0].revoke_at), (&plan.by, 100, at(1000)));
    assert_eq!((&plans[0].basis, plans[0].reason, plans[0].at), (&plan.basis, plan.reason, at(5)));
    assert_eq!(verified_actions(&store).await.len(), before + 3);
}
