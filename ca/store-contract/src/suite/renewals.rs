//! Renewals: rule 1's overlap, and how it ends.

use std::sync::Arc;

use ca_core::{
    domain::{
        certificate::{CertificateRecord, CertificateState},
        enrolment::{Binding, Enrolment},
        mail::MailKind,
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        outbox::MailList,
        store::{
            Conflict, IntentReceipt, LedgerStatus, RevokeOutcome, Session, StoreError, StoreResult,
            StoredEvidence,
        },
    },
};
use tokio::task::JoinSet;

use crate::samples::{
    Ledger, at, complete, customers, der, device, digest, enrolment, event, evidence, intent_id, issue,
    issuer, record, refused, serial, user_id, verified_actions,
};

/// Enrolment `n`, which renews certificate 1.
fn renewing(n: u32) -> Enrolment {
    Enrolment {
        user: user_id(1),
        device: device(1),
        binding: Binding::Renewal,
        renews: Some(intent_id(1)),
        ..enrolment(n)
    }
}

/// The intent of enrolment `n`, which renews certificate 1.
fn renewal(n: u32) -> CertificateRecord {
    CertificateRecord { user: user_id(1), device: device(1), renews: Some(intent_id(1)), ..record(n) }
}

async fn open(store: &impl Ledger, n: u32) {
    let opened = store.open_enrolment(&renewing(n), None, event("enrolment.opened")).await.expect("opened");
    assert_eq!(opened, renewing(n));
}

async fn intended(store: &impl Ledger, renewal: CertificateRecord) -> StoreResult<IntentReceipt> {
    let evidence = StoredEvidence { predecessor_signature: Some(vec![9; 70]), ..evidence("accepted") };
    store.record_intent(&renewal, &evidence, event("certificate.intended")).await
}

/// Certificate 1 with its unconfirmed renewal 2.
async fn pending(store: &impl Ledger) {
    customers(store, 3).await;
    issue(store, 1).await;
    open(store, 2).await;
    intended(store, renewal(2)).await.expect("the intent");
    complete(store, 2).await.expect("issued");
}

async fn confirm(store: &impl Ledger, n: u32, seconds: i64) -> StoreResult<()> {
    store.confirm(&issuer(), &serial(n), at(seconds), event("certificate.renewed")).await
}

async fn state(store: &impl Ledger, n: u32) -> CertificateState {
    store.certificate(&issuer(), &serial(n)).await.expect("a query").expect("a certificate").state
}

async fn reason(store: &impl Ledger, n: u32) -> Option<RevocationReason> {
    match state(store, n).await {
        CertificateState::Revoked { reason, .. } => Some(reason),
        _ => None,
    }
}

async fn lapse(store: &impl Ledger, n: u32, seconds: i64) -> bool {
    let row = event("certificate.renewal-lapsed");
    store.lapse_renewal(&issuer(), &serial(n), at(seconds), row).await.expect("the ledger")
}

async fn told(store: &impl Ledger) -> Vec<MailKind> {
    let mails = store.mails(&MailList::OfUser(user_id(1)), 10).await.expect("a query");
    mails.into_iter().rev().map(|mail| mail.kind).collect()
}

pub async fn a_confirmed_renewal_supersedes_in_one_commit(store: impl Ledger) {
    pending(&store).await;
    let found = store.certificates_of(&user_id(1)).await.expect("a query");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].renews, found[1].renews), (Some(intent_id(1)), None));
    assert!(found[0].is_unconfirmed_renewal());
    let kept = store.evidence(intent_id(2)).await.expect("a query").expect("the evidence");
    assert_eq!(kept.predecessor_signature, Some(vec![9; 70]));
    assert_eq!(told(&store).await, [MailKind::Issued], "of an unconfirmed renewal nothing is told");
    let before = (store.revocation_head().await.expect("a query"), verified_actions(&store).await.len());

    confirm(&store, 2, 20).await.expect("confirmed");
    confirm(&store, 2, 30).await.expect("confirmed before");
    let confirmed = CertificateState::Issued { der: der(2), at: at(10), confirmed_at: Some(at(20)) };
    assert_eq!(state(&store, 2).await, confirmed);
    let superseded = Revocation {
        issuer: issuer(),
        serial: serial(1),
        at: at(20),
        reason: RevocationReason::Superseded,
        not_after: record(1).not_after,
    };
    let status = store.status(&issuer(), &serial(1)).await.expect("a query");
    assert_eq!(status, LedgerStatus::Revoked(superseded.clone()));
    assert_eq!(store.status(&issuer(), &serial(2)).await.expect("a query"), LedgerStatus::Good);
    assert_eq!(store.revoked(&issuer(), at(0), u64::MAX).await.expect("a query"), [superseded]);
    assert_eq!(store.revocation_head().await.expect("a query"), before.0 + 1, "OCSP notices");
    let actions = verified_actions(&store).await;
    assert_eq!(actions[before.1..], ["certificate.renewed"]);
    assert_eq!(told(&store).await, [MailKind::Issued, MailKind::Renewed]);

    // And it is renewed in its turn.
    open(&store, 3).await;
    let next = CertificateRecord { renews: Some(intent_id(2)), ..renewal(3) };
    intended(&store, next).await.expect("the intent");
    assert!(!lapse(&store, 2, 40).await, "what was confirmed doesn't lapse");
}

pub async fn the_first_login_confirms_a_renewal(store: impl Ledger) {
    pending(&store).await;
    let session = |n: u32, token: u32| Session {
        token_sha256: digest(5, token),
        csrf_sha256: digest(6, token),
        user: user_id(1),
        issuer: issuer(),
        serial: serial(n),
        opened_at: at(20),
        last_used_at: at(20),
    };
    store.open_session(&session(1, 1), event("login.admitted")).await.expect("the old one works");
    assert!(renewal(2).is_unconfirmed_renewal() && reason(&store, 1).await.is_none());
    store.open_session(&session(2, 2), event("login.admitted")).await.expect("the new one works");
    assert_eq!(reason(&store, 1).await, Some(RevocationReason::Superseded));
    refused(store.open_session(&session(1, 3), event("login.admitted")).await, Conflict::Missing);
    assert_eq!(told(&store).await, [MailKind::Issued, MailKind::Renewed]);
}

pub async fn a_user_has_one_unconfirmed_renewal(store: impl Ledger) {
    pending(&store).await;
    open(&store, 3).await;
    refused(intended(&store, renewal(3)).await, Conflict::OnePerUser);
    // The place of the certificate itself is taken as well.
    let new = Enrolment { user: user_id(1), device: device(1), ..enrolment(4) };
    store.open_enrolment(&new, None, event("enrolment.opened")).await.expect("opened");
    let second = CertificateRecord { user: user_id(1), device: device(1), ..record(4) };
    refused(intended(&store, second).await, Conflict::OnePerUser);
    // The token serves its user, with both.
    let other = CertificateRecord { device: device(1), ..record(5) };
    let opening = Enrolment { user: user_id(2), device: device(1), ..enrolment(5) };
    store.open_enrolment(&opening, None, event("enrolment.opened")).await.expect("opened");
    refused(intended(&store, CertificateRecord { user: user_id(2), ..other }).await, Conflict::DeviceInUse);
    let applicant = store.applicant(&user_id(2)).await.expect("a query").expect("the user");
    assert_eq!(applicant.other_holders, 1, "a user with two is one");
}

pub async fn only_what_stands_on_the_token_is_renewed(store: impl Ledger) {
    pending(&store).await;
    issue(&store, 3).await;
    for n in 4..=7 {
        open(&store, n).await;
    }
    let of_unconfirmed = CertificateRecord { renews: Some(intent_id(2)), ..renewal(4) };
    refused(intended(&store, of_unconfirmed).await, Conflict::Missing);
    let of_another = CertificateRecord { renews: Some(intent_id(3)), ..renewal(5) };
    refused(intended(&store, of_another).await, Conflict::Missing);
    let elsewhere = CertificateRecord { device: device(6), ..renewal(6) };
    refused(intended(&store, elsewhere).await, Conflict::Missing);
    confirm(&store, 2, 20).await.expect("confirmed");
    refused(intended(&store, renewal(7)).await, Conflict::Missing);
}

pub async fn an_unconfirmed_renewal_lapses_once(store: impl Ledger) {
    pending(&store).await;
    let due = |seconds| {
        let store = &store;
        async move {
            let due = store.unconfirmed_renewals(at(seconds), 10).await.expect("a query");
            due.into_iter().map(|renewal| renewal.serial).collect::<Vec<_>>()
        }
    };
    assert_eq!(due(2).await, []);
    assert_eq!(due(3).await, [serial(2)]);
    assert!(!lapse(&store, 1, 20).await, "a certificate is no renewal");
    assert!(lapse(&store, 2, 20).await);
    assert!(!lapse(&store, 2, 30).await);
    assert_eq!(due(3).await, []);
    assert_eq!(reason(&store, 2).await, Some(RevocationReason::CessationOfOperation));
    assert!(matches!(state(&store, 1).await, CertificateState::Issued { .. }));
    refused(confirm(&store, 2, 40).await, Conflict::Missing);
    assert_eq!(told(&store).await, [MailKind::Issued], "the user's certificate is the same as before");
    open(&store, 3).await;
    intended(&store, renewal(3)).await.expect("there is room for another");
    assert!(lapse(&store, 3, 50).await, "also one that was never signed");
}

/// Rule 1: "unconfirmed after 72 hours it is revoked", also by nobody yet.
pub async fn a_lapsed_renewal_is_not_confirmed(store: impl Ledger) {
    pending(&store).await;
    let last = 2 + 72 * 60 * 60;
    let session = Session {
        token_sha256: digest(5, 1),
        csrf_sha256: digest(6, 1),
        user: user_id(1),
        issuer: issuer(),
        serial: serial(2),
        opened_at: at(last + 1),
        last_used_at: at(last + 1),
    };
    refused(confirm(&store, 2, last + 1).await, Conflict::Missing);
    refused(store.open_session(&session, event("login.admitted")).await, Conflict::Missing);
    assert!(matches!(state(&store, 1).await, CertificateState::Issued { .. }), "the old one stays");
    assert!(matches!(state(&store, 2).await, CertificateState::Issued { confirmed_at: None, .. }));
    confirm(&store, 2, last).await.expect("on a node whose clock says so");
    confirm(&store, 2, last + 1).await.expect("confirmed before");
}

pub async fn a_renewal_falls_with_its_predecessor(store: impl Ledger) {
    pending(&store).await;
    let compromised = RevocationReason::KeyCompromise;
    let outcome =
        store.revoke(&issuer(), &serial(1), compromised, at(20), event("certificate.revoked")).await;
    assert!(matches!(outcome, Ok(RevokeOutcome::Revoked(_))));
    assert_eq!((reason(&store, 1).await, reason(&store, 2).await), (Some(compromised), Some(compromised)));
    refused(confirm(&store, 2, 30).await, Conflict::Missing);
    assert_eq!(told(&store).await, [MailKind::Issued, MailKind::Revoked], "of one certificate");
    // Both places are free.
    let new = Enrolment { user: user_id(1), device: device(1), ..enrolment(3) };
    store.open_enrolment(&new, None, event("enrolment.opened")).await.expect("opened");
    let second = CertificateRecord { user: user_id(1), device: device(1), ..record(3) };
    intended(&store, second).await.expect("the intent");
}

/// R10: whichever is first counts.
pub async fn a_confirmation_and_a_lapse_at_once_leave_one_certificate(store: impl Ledger) {
    pending(&store).await;
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            if n % 2 == 0 { lapse(&*store, 2, 20).await } else { confirm(&*store, 2, 20).await.is_ok() }
        });
    }
    tasks.join_all().await;
    let standing = match (state(&*store, 1).await, state(&*store, 2).await) {
        (CertificateState::Issued { .. }, CertificateState::Revoked { reason, .. })
        | (CertificateState::Revoked { reason, .. }, CertificateState::Issued { .. }) => reason,
        neither => panic!("{neither:?}"),
    };
    let found = [RevocationReason::CessationOfOperation, RevocationReason::Superseded];
    assert!(found.contains(&standing));
    assert_eq!(store.revoked(&issuer(), at(0), u64::MAX).await.expect("a query").len(), 1);
    verified_actions(&*store).await;
}

/// R10: of renewals that didn't see each other one is intended.
pub async fn of_many_renewals_at_once_one_is_intended(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    for n in 2..=21 {
        open(&store, n).await;
    }
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for n in 2..=21 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { intended(&*store, renewal(n)).await });
    }
    let results = tasks.join_all().await;
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(StoreError::Conflict(Conflict::OnePerUser))))
        .count();
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), refused), (1, 19));
    assert_eq!(store.certificates_of(&user_id(1)).await.expect("a query").len(), 2);
}
