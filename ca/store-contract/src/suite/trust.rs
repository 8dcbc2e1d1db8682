//! Trust bundles, and plans after a new judgement.

use ca_core::{
    domain::{
        ids::UserId,
        mail::{MailKind, MailState, OutboxMail},
        revocation::RevocationReason,
    },
    ports::{
        outbox::{Announcement, MailList, Settlement},
        rejudgements::{Fallen, NewRejudgement, PlanEnd},
        store::{Conflict, LedgerStatus, RevokeOutcome},
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

pub(super) fn fallen(n: u32) -> Fallen {
    Fallen {
        issuer: issuer(),
        serial: serial(n),
        user: user_id(n),
        code: "evidence-firmware-too-old".to_owned(),
        detail: "firmware 5.4.3 is too old\n😀".to_owned(),
    }
}

pub(super) fn plan(fallen: Vec<Fallen>) -> NewRejudgement {
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

/// Whether a plan has ended is known inside the commit that would revoke for it.
pub async fn a_plan_revokes_whom_it_names_while_it_stands(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=4 {
        issue(&store, n).await;
    }
    let revoke = async |plan, n| {
        store.revoke_fallen(plan, &issuer(), &serial(n), at(6), event("certificate.revoked")).await
    };
    let first = planned(&store, 1000, &[1, 2]).await;
    let second = planned(&store, 1000, &[1, 2, 3]).await;
    let outcome = revoke(first, 1).await.expect("an outcome");
    let RevokeOutcome::Revoked(revocation) = outcome else { panic!("{outcome:?}") };
    assert_eq!((&revocation.serial, revocation.at), (&serial(1), at(6)));
    assert_eq!(revocation.reason, RevocationReason::PrivilegeWithdrawn);
    assert_eq!(revoke(second, 1).await.expect("an outcome"), RevokeOutcome::Already(revocation));
    let head = store.revocation_head().await.expect("a query");

    call_off(&store, first).await;
    let rows = verified_actions(&store).await.len();
    for (plan, n) in [(first, 1), (first, 2), (second, 4), (9, 3)] {
        refused(revoke(plan, n).await, Conflict::Missing);
    }
    for n in 2..=4 {
        assert_eq!(store.status(&issuer(), &serial(n)).await.expect("a query"), LedgerStatus::Good);
    }
    assert_eq!(verified_actions(&store).await.len(), rows, "what changed nothing leaves no row");
    assert_eq!(store.revocation_head().await.expect("a query"), head);

    assert!(matches!(revoke(second, 2).await, Ok(RevokeOutcome::Revoked(_))), "the other plan stands");
    assert!(store.revocation_head().await.expect("a query") > head, "seen at once");
    let row = event("rejudgement.ended");
    store.end_rejudgement(second, PlanEnd::Done, at(8), row).await.expect("ended");
    refused(revoke(second, 3).await, Conflict::Missing);
}

/// The mails to user `n` of plans for their certificate, the first one first.
async fn told(store: &impl Ledger, n: u32) -> Vec<OutboxMail> {
    let mails = store.mails(&MailList::OfUser(user_id(n)), 50).await.expect("a query");
    mails.into_iter().rev().filter(|mail| mail.kind.is_of_plans()).collect()
}

/// Plans to revoke these users' certificates at a second; returns the plan's number.
async fn planned(store: &impl Ledger, second: i64, of: &[u32]) -> u64 {
    let new = NewRejudgement { revoke_at: at(second), ..plan(of.iter().copied().map(fallen).collect()) };
    store.plan_rejudgement(&new, event("rejudgement.planned")).await.expect("planned")
}

async fn call_off(store: &impl Ledger, plan: u64) {
    let row = event("rejudgement.ended");
    store.end_rejudgement(plan, PlanEnd::Cancelled, at(7), row).await.expect("ended");
}

/// Claims the next mail of a plan, settles it like this, and says what it was and what it says.
async fn settle(store: &impl Ledger, state: MailState) -> Option<(UserId, Announcement)> {
    let claimed = store.claim_mail(at(600), at(700)).await.expect("a claim")?;
    let settlement = Settlement { state, at: at(601), answer: "so".to_owned() };
    assert!(store.settle_mail(&claimed.mail, &settlement, None).await.expect("settled"));
    assert!(claimed.mail.kind.is_of_plans());
    Some((claimed.mail.user, claimed.announcement))
}

fn says(second: Option<i64>, told: Option<i64>) -> Announcement {
    Announcement { revoke_at: second.map(at), told: told.map(at), is_overtaken: false }
}

pub async fn a_plan_is_told_to_who_has_a_living_certificate(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    let reason = RevocationReason::KeyCompromise;
    store.revoke(&issuer(), &serial(3), reason, at(4), event("revoked")).await.expect("revoked");
    store.withdraw_all_mail(at(500), "not these").await.expect("withdrawn");
    let date = async |n| store.planned_revocation(&issuer(), &serial(n)).await.expect("a query");
    let first = planned(&store, 1000, &[1, 3]).await;
    assert_eq!((date(1).await, date(2).await), (Some(at(1000)), None));
    let queued = told(&store, 1).await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].certificate, Some((issuer(), serial(1))));
    assert_eq!((queued[0].kind, queued[0].state), (MailKind::ToBeRevoked, MailState::Queued));
    assert_eq!(queued[0].queued_at, at(5));
    assert_eq!(told(&store, 2).await, [], "no plan names it");
    assert_eq!(told(&store, 3).await, [], "it is revoked already");
    call_off(&store, first).await;
    assert_eq!(date(1).await, None);
    let kinds = async |n| told(&store, n).await.iter().map(|mail| mail.kind).collect::<Vec<_>>();
    let (to_be, not_to_be) = (MailKind::ToBeRevoked, MailKind::NotToBeRevoked);
    assert_eq!(kinds(1).await, [to_be, not_to_be]);

    let halfway = planned(&store, 900, &[1, 2]).await;
    let row = event("certificate.revoked");
    store.revoke_fallen(halfway, &issuer(), &serial(1), at(6), row).await.expect("revoked");
    call_off(&store, halfway).await;
    assert_eq!(kinds(1).await, [to_be, not_to_be, to_be], "it was revoked");
    assert_eq!(kinds(2).await, [to_be, not_to_be]);
}

/// The first date of the plans that stand counts; who was told of it isn't told again, who was told another one is.
pub async fn each_change_of_a_plan_is_told_once(store: impl Ledger) {
    use MailState::Delivered;
    customers(&store, 2).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    store.withdraw_all_mail(at(500), "not these").await.expect("withdrawn");
    let first = planned(&store, 1000, &[1]).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(1000), None))));
    let later = planned(&store, 2000, &[1]).await;
    let same = planned(&store, 1000, &[1]).await;
    assert_eq!(settle(&store, Delivered).await, None, "the first date is the same");
    let earlier = planned(&store, 900, &[1, 2]).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(900), Some(1000)))));
    assert_eq!(settle(&store, Delivered).await, Some((user_id(2), says(Some(900), None))));
    call_off(&store, earlier).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(1000), Some(900)))));
    assert_eq!(settle(&store, Delivered).await, Some((user_id(2), says(None, Some(900)))));
    call_off(&store, first).await;
    assert_eq!(settle(&store, Delivered).await, None, "another plan has the same date");
    call_off(&store, same).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(2000), Some(1000)))));
    call_off(&store, later).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(None, Some(2000)))));
    planned(&store, 2000, &[1]).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(2000), None))), "told anew");
    let kinds: Vec<MailKind> = told(&store, 1).await.iter().map(|mail| mail.kind).collect();
    let (planned, called_off) = (MailKind::ToBeRevoked, MailKind::NotToBeRevoked);
    assert_eq!(kinds, [planned, planned, planned, planned, called_off, planned]);
}

/// Of what is decided before anything was sent the last word counts.
pub async fn a_change_overtakes_what_waits(store: impl Ledger) {
    use MailState::{Delivered, Withdrawn};
    customers(&store, 1).await;
    issue(&store, 1).await;
    store.withdraw_all_mail(at(500), "not these").await.expect("withdrawn");
    let overtaken = Announcement { is_overtaken: true, ..says(Some(1000), None) };
    let first = planned(&store, 1000, &[1]).await;
    call_off(&store, first).await;
    let second = planned(&store, 2000, &[1]).await;
    assert_eq!(settle(&store, Withdrawn).await, Some((user_id(1), overtaken)));
    assert_eq!(settle(&store, Withdrawn).await, Some((user_id(1), says(Some(2000), None))));
    assert_eq!(settle(&store, Withdrawn).await, Some((user_id(1), says(None, None))), "nobody was told");
    // What was withdrawn told nobody.
    planned(&store, 2000, &[1]).await;
    assert_eq!(settle(&store, Delivered).await, Some((user_id(1), says(Some(2000), None))));
    call_off(&store, second).await;
    assert_eq!(settle(&store, Delivered).await, None, "the other one stands");

    // A mail whose attempt was lost may have arrived: that it is called off is told.
    let earlier = planned(&store, 900, &[1]).await;
    store.claim_mail(at(600), at(700)).await.expect("a claim").expect("a mail");
    call_off(&store, earlier).await;
    let again = store.claim_mail(at(600), at(710)).await.expect("a claim").expect("what is so by now");
    assert_eq!(again.announcement, says(Some(2000), Some(900)), "the user may have got the other");
    let lost = store.claim_mail(at(705), at(800)).await.expect("a claim").expect("the lost one");
    assert!(lost.announcement.is_overtaken);
}
