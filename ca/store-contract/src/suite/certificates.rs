//! Intents, certificates and orphans.

use ca_core::{
    domain::{
        certificate::{CertificateRecord, CertificateState},
        enrolment::EnrolmentState,
        ids::{SerialNumber, SignerName},
        revocation::RevocationReason,
        user::{Role, UserState},
    },
    ports::store::{AuditStore, Conflict, Orphan},
};

use crate::samples::{
    Ledger, at, complete, customers, der, device, digest, enrolment, event, evidence, intend, intent_id,
    issue, issuer, position, record, refused, serial, signer, user_id, verified_actions,
};

async fn intend_as(
    store: &impl Ledger,
    record: CertificateRecord,
) -> ca_core::ports::store::StoreResult<ca_core::ports::store::IntentReceipt> {
    store.record_intent(&record, &evidence("accepted"), event("certificate.intended")).await
}

pub async fn a_certificate_goes_from_intent_to_confirmed(store: impl Ledger) {
    customers(&store, 1).await;
    store.open_enrolment(&enrolment(1), None, event("enrolment.opened")).await.expect("opened");
    let receipt = intend_as(&store, record(1)).await.expect("the intent");
    assert_eq!(receipt.audit_head, AuditStore::head(&store).await.expect("the head"));
    let state = store.enrolment(intent_id(1)).await.expect("a query").expect("the enrolment").state;
    assert_eq!(state, EnrolmentState::Certified { serial: serial(1) });
    assert_eq!(store.evidence(intent_id(1)).await.expect("a query"), Some(evidence("accepted")));
    assert_eq!(store.certificate_of_intent(intent_id(1)).await.expect("a query"), Some(record(1)));

    let confirm = |seconds| {
        let store = &store;
        async move { store.confirm(&issuer(), &serial(1), at(seconds), event("certificate.confirmed")).await }
    };
    refused(confirm(5).await, Conflict::Missing);
    complete(&store, 1).await.expect("issued");
    confirm(20).await.expect("confirmed");
    confirm(30).await.expect("confirmed before");
    let state = CertificateState::Issued { der: der(1), at: at(10), confirmed_at: Some(at(20)) };
    let expected = CertificateRecord { state, ..record(1) };
    assert_eq!(store.certificate(&issuer(), &serial(1)).await.expect("a query"), Some(expected.clone()));
    assert_eq!(store.certificates_of(&user_id(1)).await.expect("a query"), [expected]);
    assert_eq!(store.certificate(&issuer(), &serial(2)).await.expect("a query"), None);
    let actions = verified_actions(&store).await;
    assert_eq!(
        actions[actions.len() - 3..],
        ["certificate.intended", "certificate.issued", "certificate.confirmed"]
    );
}

/// Rule 1, and a key is certified once, ever.
pub async fn an_intent_needs_a_free_user_key_and_token(store: impl Ledger) {
    customers(&store, 4).await;
    for n in 1..=4 {
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await.expect("opened");
    }
    refused(
        intend_as(&store, CertificateRecord { intent: intent_id(9), ..record(1) }).await,
        Conflict::Missing,
    );
    let set_state = |state| {
        let store = &store;
        async move { store.set_user_state(&user_id(1), state, event("user.state")).await.expect("set") }
    };
    set_state(UserState::Suspended).await;
    refused(intend_as(&store, record(1)).await, Conflict::Missing);
    let late = ca_core::domain::enrolment::Enrolment { user: user_id(1), ..enrolment(6) };
    refused(store.open_enrolment(&late, None, event("enrolment.opened")).await, Conflict::Missing);
    set_state(UserState::Active).await;
    intend_as(&store, record(1)).await.expect("the first");
    refused(intend_as(&store, record(1)).await, Conflict::Taken);

    let second = ca_core::domain::enrolment::Enrolment { user: user_id(1), ..enrolment(5) };
    store.open_enrolment(&second, None, event("enrolment.opened")).await.expect("opened");
    refused(
        intend_as(&store, CertificateRecord { user: user_id(1), ..record(5) }).await,
        Conflict::OnePerUser,
    );

    let same_key = CertificateRecord { public_key_sha256: digest(3, 1), ..record(2) };
    refused(intend_as(&store, same_key.clone()).await, Conflict::DeviceInUse);
    refused(
        intend_as(&store, CertificateRecord { device: device(1), ..record(2) }).await,
        Conflict::DeviceInUse,
    );
    store.assign_device(&user_id(4), Some(&device(2)), event("token.assigned")).await.expect("assigned");
    refused(intend_as(&store, record(2)).await, Conflict::DeviceInUse);
    store.assign_device(&user_id(4), None, event("token.taken")).await.expect("taken away");
    assert_eq!(store.evidence(intent_id(2)).await.expect("a query"), None, "a loser leaves nothing");

    let reason = RevocationReason::KeyCompromise;
    store.revoke(&issuer(), &serial(1), reason, at(2), event("revoked")).await.expect("revoked");
    refused(intend_as(&store, same_key).await, Conflict::DeviceInUse);
    intend_as(&store, CertificateRecord { device: device(1), ..record(2) }).await.expect("the token is free");
    intend_as(&store, CertificateRecord { user: user_id(1), ..record(5) }).await.expect("the user is free");
}

pub async fn issuing_is_idempotent_for_the_same_bytes(store: impl Ledger) {
    customers(&store, 2).await;
    refused(complete(&store, 1).await, Conflict::Missing);
    issue(&store, 1).await;
    let rows = verified_actions(&store).await.len();
    complete(&store, 1).await.expect("the same again");
    assert_eq!(verified_actions(&store).await.len(), rows, "a repeat decides nothing");
    let other = store
        .record_issued(&issuer(), &serial(1), &der(2), position(1), at(11), event("certificate.issued"))
        .await;
    refused(other, Conflict::Missing);

    intend(&store, 2).await.expect("the intent");
    let reason = RevocationReason::Superseded;
    store.revoke(&issuer(), &serial(2), reason, at(3), event("revoked")).await.expect("revoked");
    let revoked = |der| CertificateState::Revoked { der, at: at(3), reason };
    let state =
        || async { store.certificate(&issuer(), &serial(2)).await.expect("a query").expect("a row").state };
    assert_eq!(state().await, revoked(None));
    let stored = |n| {
        let (store, row) = (&store, event("certificate.issued"));
        async move {
            let stored = store.record_issued(&issuer(), &serial(n), &der(n), position(n), at(10), row).await;
            stored.expect("in the ledger")
        }
    };
    assert!(stored(2).await.is_revoked, "the signature came after all");
    assert_eq!(state().await, revoked(Some(der(2))), "and changes nothing of the revocation");
    assert!(stored(2).await.is_revoked, "also for a repeat");
    assert!(!stored(1).await.is_revoked);
}

pub async fn an_abandoned_intent_frees_everything(store: impl Ledger) {
    customers(&store, 1).await;
    intend(&store, 1).await.expect("the intent");
    store.abandon_intent(intent_id(1), event("intent.abandoned")).await.expect("abandoned");
    refused(store.abandon_intent(intent_id(1), event("intent.abandoned")).await, Conflict::Missing);
    refused(complete(&store, 1).await, Conflict::Missing);
    let again = ca_core::domain::enrolment::Enrolment { user: user_id(1), ..enrolment(2) };
    store.open_enrolment(&again, None, event("enrolment.opened")).await.expect("opened");
    let second = CertificateRecord {
        user: user_id(1),
        device: device(1),
        public_key_sha256: digest(3, 1),
        ..record(2)
    };
    intend_as(&store, second).await.expect("same user, token and key");
    complete(&store, 2).await.expect("issued");
    refused(store.abandon_intent(intent_id(2), event("intent.abandoned")).await, Conflict::Missing);
    let newest_first: Vec<SerialNumber> =
        store.certificates_of(&user_id(1)).await.expect("a query").into_iter().map(|c| c.serial).collect();
    assert_eq!(newest_first, [serial(2), serial(1)]);
    assert_eq!(
        store.certificate_of_intent(intent_id(1)).await.expect("a query").expect("a row").state,
        CertificateState::Abandoned
    );
}

pub async fn lists_are_in_order(store: impl Ledger) {
    customers(&store, 6).await;
    for n in [3, 1, 2] {
        issue(&store, n).await;
    }
    for n in [5, 4] {
        intend(&store, n).await.expect("an intent");
    }
    let open = |before| {
        let store = &store;
        async move {
            let open = store.open_intents(&issuer(), &signer(), at(before)).await.expect("a query");
            let mut serials: Vec<SerialNumber> = open.into_iter().map(|record| record.serial).collect();
            serials.sort();
            serials
        }
    };
    assert_eq!(open(1000).await, [serial(4), serial(5)]);
    assert_eq!(open(5).await, [serial(4)]);
    let elsewhere = SignerName::parse("customer-b").expect("a signer name");
    let open = store.open_intents(&issuer(), &elsewhere, at(1000)).await.expect("a query");
    assert!(open.is_empty(), "another signer's journal is another node's to ask");
    let page = |after: Option<u32>, limit| {
        let store = &store;
        async move {
            let after = after.map(serial);
            let page = store.certificates(&issuer(), after.as_ref(), limit).await.expect("a query");
            page.into_iter().map(|record| record.serial).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(None, 2).await, [serial(3), serial(1)]);
    assert_eq!(page(Some(1), 10).await, [serial(2), serial(5), serial(4)]);
    assert!(page(Some(4), 10).await.is_empty());
    assert!(page(Some(77), 10).await.is_empty(), "no such serial number");

    let others = async |user| {
        let applicant = store.applicant(&user_id(user)).await.expect("a query").expect("a user");
        assert_eq!(applicant.user.id, user_id(user));
        assert_eq!(applicant.contract.number, applicant.user.contract);
        let own = store.certificates_of(&user_id(user)).await.expect("a query");
        assert_eq!(applicant.certificates, own);
        if let Some(record) = own.first() {
            let application = store.application(record.intent).await.expect("a query").expect("an enrolment");
            let enrolment = store.enrolment(record.intent).await.expect("a query");
            assert_eq!(Some(application.enrolment), enrolment);
            assert_eq!(application.applicant, applicant);
        }
        applicant.other_holders
    };
    assert_eq!((others(6).await, others(1).await), (5, 4));
    assert_eq!(others(0).await, 0, "no other {:?}", Role::Master);
    store.abandon_intent(intent_id(4), event("intent.abandoned")).await.expect("abandoned");
    assert_eq!(others(6).await, 4);
    assert_eq!(store.applicant(&user_id(77)).await.expect("a query"), None);
    assert_eq!(store.application(intent_id(77)).await.expect("a query"), None);
}

pub async fn orphans_are_kept_once_in_the_journals_order(store: impl Ledger) {
    let orphan = |n| Orphan {
        issuer: issuer(),
        signer: signer(),
        intent: intent_id(n),
        serial: serial(n),
        not_after: at(1000),
        der: der(n),
        position: position(n),
    };
    for n in [2, 1] {
        assert!(store.record_orphan(&orphan(n), event("orphan.found")).await.expect("kept"));
        assert!(!store.record_orphan(&orphan(n), event("orphan.found")).await.expect("kept before"));
    }
    assert_eq!(store.orphans(&issuer()).await.expect("a query"), [orphan(1), orphan(2)]);
    assert_eq!(verified_actions(&store).await.len(), 2);
}
