//! Enrolments, codes and evidence.

use ca_core::{
    domain::{
        device::{Device, DeviceKind},
        enrolment::{AcquisitionCode, Binding, Enrolment, EnrolmentState},
        ids::TokenSerial,
    },
    ports::store::{Conflict, FreshChallenge},
};

use crate::samples::{
    Ledger, at, customers, digest, enrolment, event, evidence, intend, intent_id, key, record, refused,
    serial, user_id, verified_actions,
};

pub async fn a_repeat_finds_the_first_enrolment(store: impl Ledger) {
    refused(store.open_enrolment(&enrolment(1), None, event("enrolment.opened")).await, Conflict::Missing);
    customers(&store, 2).await;
    let opened = store.open_enrolment(&enrolment(1), None, event("enrolment.opened")).await.expect("opened");
    assert_eq!(opened, enrolment(1));
    let repeat = Enrolment { id: intent_id(99), challenge: digest(1, 99), ..enrolment(1) };
    let repeated = store.open_enrolment(&repeat, None, event("enrolment.opened")).await.expect("the first");
    assert_eq!(repeated, enrolment(1));
    let stolen = Enrolment { idempotency_key: key(1), ..enrolment(2) };
    refused(store.open_enrolment(&stolen, None, event("enrolment.opened")).await, Conflict::Taken);
    assert_eq!(store.enrolment(intent_id(1)).await.expect("a query"), Some(enrolment(1)));
    assert_eq!(store.enrolment_by_key(&key(1)).await.expect("a query"), Some(enrolment(1)));
    assert_eq!(store.enrolment(intent_id(99)).await.expect("a query"), None);
    let opened = verified_actions(&store).await.into_iter().filter(|action| action == "enrolment.opened");
    assert_eq!(opened.count(), 1);
}

/// Evidence by another attestation key than the challenge was wrapped for is refused, so its Name outlasts new challenges.
pub async fn the_name_of_a_tpms_attestation_key_is_kept(store: impl Ledger) {
    customers(&store, 2).await;
    let serial = TokenSerial::parse(&format!("0{}", "a".repeat(63))).expect("a serial");
    let device = Device { kind: DeviceKind::Tpm, serial };
    let name = [&[0, 0x0b][..], &[0xfe; 32]].concat();
    let new = Enrolment { device, ak_name: Some(name), ..enrolment(1) };
    let opened = store.open_enrolment(&new, None, event("enrolment.opened")).await.expect("opened");
    assert_eq!(opened, new);
    assert_eq!(store.enrolment(new.id).await.expect("a query"), Some(new.clone()));
    assert_eq!(store.enrolment_by_key(&key(1)).await.expect("a query"), Some(new.clone()));
    let fresh = FreshChallenge { challenge: digest(1, 7), bearer_sha256: digest(2, 7), expires_at: at(900) };
    let renewed = store.renew_challenge(new.id, &new.challenge, &fresh, event("challenge.renewed")).await;
    assert_eq!(renewed.expect("renewed").ak_name, new.ak_name);
}

/// Rule 12: the code is good once, before its deadline, and only for its user.
pub async fn an_acquisition_code_is_used_up(store: impl Ledger) {
    customers(&store, 2).await;
    let code = AcquisitionCode { sha256: digest(9, 1), expires_at: at(100), attempts_left: 3 };
    store.set_acquisition_code(&user_id(1), &code, event("code.issued")).await.expect("the code");
    let bound = |n, opened| Enrolment {
        binding: Binding::AcquisitionCode,
        opened_at: at(opened),
        expires_at: at(opened + 600),
        ..enrolment(n)
    };
    let open = |enrolment: Enrolment, code| {
        let store = &store;
        async move { store.open_enrolment(&enrolment, Some(code), event("enrolment.opened")).await }
    };
    refused(open(bound(1, 0), digest(9, 2)).await, Conflict::Code);
    refused(open(bound(1, 100), digest(9, 1)).await, Conflict::Code);
    refused(open(bound(2, 0), digest(9, 1)).await, Conflict::Code);
    assert_eq!(
        store.acquisition_code(&user_id(1)).await.expect("a query"),
        Some(code),
        "not used up by losers"
    );
    open(bound(1, 99), digest(9, 1)).await.expect("opened");
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), None);
    assert_eq!(open(bound(1, 99), digest(9, 1)).await.expect("a repeat"), bound(1, 99));
    let another = Enrolment { id: intent_id(3), idempotency_key: key(3), ..bound(1, 99) };
    refused(open(another, digest(9, 1)).await, Conflict::Code);
}

pub async fn a_challenge_is_renewed_by_one(store: impl Ledger) {
    customers(&store, 1).await;
    intend(&store, 1).await.expect("the intent");
    let fresh =
        |n| FreshChallenge { challenge: digest(1, n), bearer_sha256: digest(2, n), expires_at: at(1200) };
    let renew = |seen: [u8; 32], fresh: FreshChallenge| {
        let store = &store;
        async move { store.renew_challenge(intent_id(1), &seen, &fresh, event("challenge.renewed")).await }
    };
    let renewed = renew(digest(1, 1), fresh(50)).await.expect("renewed");
    assert_eq!((renewed.challenge, renewed.bearer_sha256), (digest(1, 50), digest(2, 50)));
    assert_eq!(renewed.expires_at, at(1200));
    assert_eq!(renewed.state, EnrolmentState::Certified { serial: serial(1) }, "also when certified");
    let slower = renew(digest(1, 1), fresh(51)).await.expect("the other's");
    assert_eq!(slower, renewed);
    refused(
        store.renew_challenge(intent_id(9), &digest(1, 1), &fresh(1), event("challenge.renewed")).await,
        Conflict::Missing,
    );
    let renewals = verified_actions(&store).await.into_iter().filter(|action| action == "challenge.renewed");
    assert_eq!(renewals.count(), 1);
}

pub async fn a_refusal_is_for_good_and_keeps_the_evidence(store: impl Ledger) {
    customers(&store, 2).await;
    store.open_enrolment(&enrolment(1), None, event("enrolment.opened")).await.expect("opened");
    let shown = evidence("evidence-untrusted");
    let refuse = |n, detail: &'static str| {
        let (store, shown) = (&store, &shown);
        async move {
            let audit = event("enrolment.refused");
            store.refuse_enrolment(intent_id(n), "evidence-untrusted", detail, Some(shown), audit).await
        }
    };
    refuse(1, "first").await.expect("refused");
    refused(refuse(1, "second").await, Conflict::Missing);
    refused(refuse(9, "never opened").await, Conflict::Missing);
    let state = store.enrolment(intent_id(1)).await.expect("a query").expect("the enrolment").state;
    assert_eq!(
        state,
        EnrolmentState::Refused { code: "evidence-untrusted".to_owned(), detail: "first".to_owned() }
    );
    assert_eq!(store.evidence(intent_id(1)).await.expect("a query"), Some(shown.clone()));
    refused(
        store.record_intent(&record(1), &evidence("accepted"), event("certificate.intended")).await,
        Conflict::Missing,
    );
    intend(&store, 2).await.expect("another user's");
    refused(refuse(2, "too late").await, Conflict::Missing);
    assert_eq!(store.evidence(intent_id(9)).await.expect("a query"), None);
}
