//! Personal data whose period is over: exactly that goes, and what the ledger rests on stays.

use ca_core::{
    domain::{
        mail::MailState,
        retention::PersonalData,
        revocation::RevocationReason,
        user::{Role, UserState},
    },
    ports::{
        outbox::{MailList, Settlement},
        rejudgements::PlanEnd,
        retention::RecordKey,
        store::Conflict,
    },
};

use super::{
    mail::session,
    trust::{fallen, plan},
};
use crate::samples::{
    Ledger, at, customers, digest, enrolment, event, evidence, intend, intent_id, issue, issuer, record,
    refused, serial, user, user_id, verified_actions,
};

/// Erases what is due and says how much it was.
async fn erase(store: &impl Ledger, kind: PersonalData, second: i64) -> usize {
    let keys = store.erasable(kind, at(second), 500).await.expect("a query");
    assert_eq!(store.count_erasable(kind, at(second)).await.expect("a query"), keys.len() as u64, "{kind:?}");
    if !keys.is_empty() {
        store.erase(kind, at(second), &keys, event("personal-data.erased")).await.expect("erased");
    }
    assert_eq!(store.count_erasable(kind, at(second)).await.expect("a query"), 0, "{kind:?}: a second run");
    keys.len()
}

/// Settles every mail that is due; each as delivered.
async fn deliver(store: &impl Ledger, second: i64) {
    while let Some(claimed) = store.claim_mail(at(second), at(second + 100)).await.expect("a claim") {
        let delivered =
            Settlement { state: MailState::Delivered, at: at(second), answer: "250 ok".to_owned() };
        assert!(store.settle_mail(&claimed.mail, &delivered, None).await.expect("settled"));
    }
}

/// notAfter of certificate `n`, in seconds after the beginning of time.
fn end_of(n: u32) -> i64 {
    record(n).not_after.as_second() - at(0).as_second()
}

async fn remove(store: &impl Ledger, n: u32) {
    store.set_user_state(&user_id(n), UserState::Removed, event("user.removed")).await.expect("removed");
}

pub async fn old_logins_go_and_young_ones_stay(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    for (n, second) in [(1, 20), (2, 30), (3, 40)] {
        let opened = ca_core::ports::store::Session {
            token_sha256: digest(5, n),
            opened_at: at(second),
            last_used_at: at(second),
            ..session(1)
        };
        store.open_session(&opened, event("login")).await.expect("a session");
    }
    assert_eq!(erase(&store, PersonalData::Logins, 20).await, 0, "not before the period is over");
    assert_eq!(erase(&store, PersonalData::Logins, 31).await, 2);
    let left = store.last_logins(&user_id(1), 9).await.expect("a query");
    assert_eq!(left.iter().map(|login| login.at).collect::<Vec<_>>(), [at(40)]);
    let actions = verified_actions(&store).await;
    assert_eq!(actions.iter().filter(|action| *action == "personal-data.erased").count(), 1);
}

pub async fn settled_mail_goes_and_what_was_told_stays(store: impl Ledger) {
    customers(&store, 3).await;
    for n in 1..=3 {
        issue(&store, n).await;
    }
    let planned = store.plan_rejudgement(&plan(vec![fallen(1)]), event("planned")).await.expect("planned");
    assert_eq!(erase(&store, PersonalData::Mail, 900).await, 0, "what waits is kept");
    deliver(&store, 50).await;
    assert_eq!(erase(&store, PersonalData::Mail, 50).await, 0);
    assert_eq!(erase(&store, PersonalData::Mail, 51).await, 3, "all but what user 1 was told of the plan");
    let kept = store.mails(&MailList::OfUser(user_id(1)), 9).await.expect("a query");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].kind.is_of_plans());
    store.end_rejudgement(planned, PlanEnd::Cancelled, at(60), event("ended")).await.expect("ended");
    deliver(&store, 70).await;
    assert_eq!(erase(&store, PersonalData::Mail, 71).await, 2, "that, and that it is called off");
}

pub async fn an_enrolment_without_certificate_goes_with_its_evidence(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=2 {
        store.open_enrolment(&enrolment(n), None, event("opened")).await.expect("opened");
    }
    let refused = store
        .refuse_enrolment(
            intent_id(2),
            "key-quality",
            "weak",
            Some(&evidence("key-quality")),
            event("refused"),
        )
        .await;
    refused.expect("refused");
    issue(&store, 3).await;
    intend(&store, 4).await.expect("an intent");
    assert_eq!(erase(&store, PersonalData::Enrolments, 600).await, 0, "the challenges end at that second");
    assert_eq!(erase(&store, PersonalData::Enrolments, 601).await, 2, "what nothing came of");
    for n in 1..=4 {
        let found = store.enrolment(intent_id(n)).await.expect("a query").is_some();
        let proven = store.evidence(intent_id(n)).await.expect("a query").is_some();
        assert_eq!((found, proven), (n > 2, n > 2), "enrolment {n}");
    }
    // The key of an attempt that is forgotten begins a new one.
    let again = ca_core::domain::enrolment::Enrolment { id: intent_id(9), ..enrolment(1) };
    assert_eq!(store.open_enrolment(&again, None, event("opened")).await.expect("opened").id, intent_id(9));
}

pub async fn evidence_goes_after_its_certificate(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    let end = end_of(1);
    assert_eq!(erase(&store, PersonalData::Evidence, end).await, 0, "the certificate stands");
    assert_eq!(erase(&store, PersonalData::Enrolments, end).await, 0, "they came to certificates");
    assert_eq!(erase(&store, PersonalData::Evidence, end + 1).await, 2);
    assert_eq!(store.evidence(intent_id(1)).await.expect("a query"), None);
    assert!(store.certificate(&issuer(), &serial(1)).await.expect("a query").is_some(), "it stays");
    assert!(store.enrolment(intent_id(1)).await.expect("a query").is_some(), "so does its intent");
    verified_actions(&store).await;
}

pub async fn a_removed_user_leaves_an_id(store: impl Ledger) {
    customers(&store, 3).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    store.open_session(&session(1), event("login")).await.expect("a session");
    let reason = RevocationReason::CessationOfOperation;
    store.revoke(&issuer(), &serial(1), reason, at(40), event("revoked")).await.expect("revoked");
    for n in 1..=2 {
        remove(&store, n).await;
    }
    assert_eq!(erase(&store, PersonalData::RemovedUsers, 900).await, 0, "mail to them waits");
    deliver(&store, 50).await;
    assert_eq!(erase(&store, PersonalData::RemovedUsers, 0).await, 0, "they were removed at second 0");
    assert_eq!(erase(&store, PersonalData::RemovedUsers, 1).await, 1, "the other's certificate stands");
    let left = store.user(&user_id(1)).await.expect("a query").expect("the ID stays");
    assert_eq!((left.state, &*left.display_name, left.email), (UserState::Removed, "", None));
    assert_eq!(store.last_logins(&user_id(1), 9).await.expect("a query"), []);
    assert_eq!(store.mails(&MailList::OfUser(user_id(1)), 9).await.expect("a query"), []);
    assert_eq!(store.certificates_of(&user_id(1)).await.expect("a query").len(), 1, "certificates stay");
    let again = store.register_user(&user(1, Role::General), event("registered")).await;
    refused(again, Conflict::Taken);
    let others = store.user(&user_id(3)).await.expect("a query").expect("a user");
    assert_eq!(others, user(3, Role::General), "who wasn't removed");
    let end = end_of(2);
    assert_eq!(erase(&store, PersonalData::RemovedUsers, end).await, 0);
    assert_eq!(erase(&store, PersonalData::RemovedUsers, end + 1).await, 1, "after its end");
}

pub async fn what_somebody_else_erased_is_not_erased_again(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    store.open_session(&session(1), event("login")).await.expect("a session");
    let before = verified_actions(&store).await.len();
    for kind in PersonalData::ALL {
        let none = [RecordKey("7700".to_owned())];
        refused(store.erase(kind, at(900), &none, event("erased")).await, Conflict::Missing);
    }
    let keys = store.erasable(PersonalData::Logins, at(900), 9).await.expect("a query");
    assert_eq!(keys.len(), 1);
    // Another period would have kept it: what may go is decided in the commit.
    refused(store.erase(PersonalData::Logins, at(0), &keys, event("erased")).await, Conflict::Missing);
    let (one, other) = tokio::join!(
        store.erase(PersonalData::Logins, at(900), &keys, event("erased")),
        store.erase(PersonalData::Logins, at(900), &keys, event("erased")),
    );
    assert_ne!(one.is_ok(), other.is_ok(), "one of two: {one:?}, {other:?}");
    assert_eq!(verified_actions(&store).await.len(), before + 1);
}
