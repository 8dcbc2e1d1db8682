//! Trust bundles, and plans after a new judgement.

use ca_core::{
    domain::{
        mail::{MailKind, MailState, OutboxMail},
        revocation::RevocationReason,
    },
    ports::{
        outbox::{MailList, Settlement},
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

/// The mails to user `n` of a plan for their certificate.
async fn told(store: &impl Ledger, n: u32) -> Vec<OutboxMail> {
    let mails = store.mails(&MailList::OfUser(user_id(n)), 50).await.expect("a query");
    mails.into_iter().filter(|mail| mail.kind == MailKind::ToBeRevoked).collect()
}

pub async fn a_plan_is_told_once_per_certificate(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    store.withdraw_all_mail(at(500), "not these").await.expect("withdrawn");
    store
        .revoke(&issuer(), &serial(3), RevocationReason::KeyCompromise, at(4), event("revoked"))
        .await
        .expect("revoked");
    store.withdraw_all_mail(at(500), "nor this").await.expect("withdrawn");
    let planned = async |revoke_at, of: &[u32]| {
        let new =
            NewRejudgement { revoke_at: at(revoke_at), ..plan(of.iter().copied().map(fallen).collect()) };
        store.plan_rejudgement(&new, event("rejudgement.planned")).await.expect("planned")
    };
    let date = async |n| store.planned_revocation(&issuer(), &serial(n)).await.expect("a query");
    let end = async |plan, end| {
        store.end_rejudgement(plan, end, at(7), event("rejudgement.ended")).await.expect("ended");
    };
    let first = planned(1000, &[1, 3]).await;
    assert_eq!((date(1).await, date(2).await), (Some(at(1000)), None));
    let queued = told(&store, 1).await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].certificate, Some((issuer(), serial(1))));
    assert_eq!((queued[0].queued_at, queued[0].state), (at(5), MailState::Queued));
    assert_eq!(told(&store, 2).await, [], "no plan names it");
    assert_eq!(told(&store, 3).await, [], "it is revoked already");

    // The text is made of what stands when the mail goes out: the first date of all plans.
    let second = planned(900, &[1, 2]).await;
    assert_eq!(
        (date(1).await, told(&store, 1).await.len(), told(&store, 2).await.len()),
        (Some(at(900)), 1, 1)
    );
    let mut claimed = Vec::new();
    while let Some(mail) = store.claim_mail(at(600), at(700)).await.expect("a claim") {
        claimed.push(mail);
    }
    let dates: Vec<_> =
        claimed.iter().map(|mail| (mail.mail.user.clone(), mail.to_be_revoked_at, mail.is_revoked)).collect();
    assert_eq!(dates, [(user_id(1), Some(at(900)), false), (user_id(2), Some(at(900)), false)]);
    end(second, PlanEnd::Cancelled).await;
    assert_eq!((date(1).await, date(2).await), (Some(at(1000)), None));
    end(first, PlanEnd::Done).await;
    assert_eq!(date(1).await, None);

    // What was delivered isn't told again; what was withdrawn is, by the next plan.
    for (mail, state) in claimed.iter().zip([MailState::Delivered, MailState::Withdrawn]) {
        let settlement = Settlement { state, at: at(601), answer: "so".to_owned() };
        assert!(store.settle_mail(&mail.mail, &settlement, None).await.expect("settled"));
    }
    planned(2000, &[1, 2]).await;
    let states = async |n| {
        let mails = told(&store, n).await;
        mails.iter().map(|mail| (mail.state, mail.attempts)).collect::<Vec<_>>()
    };
    assert_eq!(states(1).await, [(MailState::Delivered, 1)]);
    assert_eq!(states(2).await, [(MailState::Queued, 0)]);
    let again = store.claim_mail(at(602), at(702)).await.expect("a claim").expect("a mail");
    assert_eq!((again.mail.user, again.to_be_revoked_at), (user_id(2), Some(at(2000))));
}
