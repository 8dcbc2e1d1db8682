//! The certificates of OCSP responders.

use ca_core::{
    domain::{
        certificate::CertificateState,
        ids::{EnrolmentId, SignerName},
        ocsp::LedgerStatus,
        responder::ResponderRecord,
        revocation::RevocationReason,
    },
    ports::store::{Conflict, RevokeOutcome, StoreResult},
};
use uuid::Uuid;

use crate::samples::{Ledger, at, event, issuer, position, refused, serial, signer, verified_actions};

const KEY: [u8; 32] = [7; 32];

/// The `n`th renewal: it begins at the second `n` and ends 100 seconds later.
pub fn renewal(n: u32) -> ResponderRecord {
    ResponderRecord {
        intent: EnrolmentId(Uuid::from_u128(n.into())),
        issuer: issuer(),
        signer: signer(),
        serial: serial(n),
        public_key_sha256: KEY,
        not_before: at(n.into()),
        not_after: at(i64::from(n) + 100),
        tbs: vec![0x30, 0],
        state: CertificateState::Intended,
    }
}

/// Records the intent of a renewal.
///
/// # Errors
/// The store's.
pub async fn intend(store: &impl Ledger, record: &ResponderRecord) -> StoreResult<()> {
    let receipt = store.record_responder_intent(record, event("responder.intended")).await?;
    assert_eq!(receipt.audit_head, store.head().await?);
    Ok(())
}

async fn issue(store: &impl Ledger, n: u32, der: &[u8]) -> StoreResult<()> {
    let intent = renewal(n).intent;
    store.record_responder(intent, der, position(n), at(n.into()), event("responder.issued")).await
}

async fn live(store: &impl Ledger, now: i64) -> Vec<EnrolmentId> {
    let found = store.responders(&issuer(), &KEY, at(now)).await.expect("a query");
    found.into_iter().map(|record| record.intent).collect()
}

pub async fn a_renewal_goes_from_intent_to_certificate(store: impl Ledger) {
    for n in [1, 2] {
        intend(&store, &renewal(n)).await.expect("an intent");
    }
    refused(intend(&store, &renewal(1)).await, Conflict::Taken);
    let same_serial = ResponderRecord { intent: renewal(9).intent, ..renewal(1) };
    refused(intend(&store, &same_serial).await, Conflict::Taken);
    let open = store.open_responder_intents(&issuer(), &signer()).await.expect("a query");
    assert_eq!(open, [renewal(2), renewal(1)], "the newest first");
    let other = SignerName::parse("customer-b").expect("a signer name");
    assert!(store.open_responder_intents(&issuer(), &other).await.expect("a query").is_empty());
    assert!(live(&store, 0).await.is_empty(), "nothing is signed");
    assert_eq!(store.last_journaled(&issuer(), &signer()).await.expect("a query"), None);

    issue(&store, 1, b"one").await.expect("issued");
    issue(&store, 1, b"one").await.expect("once more");
    refused(issue(&store, 1, b"other").await, Conflict::Missing);
    refused(issue(&store, 9, b"nine").await, Conflict::Missing);
    let known = store.responder_of_intent(renewal(1).intent).await.expect("a query").expect("a record");
    let issued = CertificateState::Issued { der: b"one".to_vec(), at: at(1), confirmed_at: None };
    assert_eq!(known, ResponderRecord { state: issued, ..renewal(1) });
    assert_eq!(store.responder_of_intent(renewal(9).intent).await.expect("a query"), None);
    assert_eq!(store.last_journaled(&issuer(), &signer()).await.expect("a query"), Some(position(1)));

    issue(&store, 2, b"two").await.expect("issued");
    assert_eq!(live(&store, 0).await, [renewal(2).intent, renewal(1).intent], "the newest first");
    assert_eq!(live(&store, 101).await, [renewal(2).intent], "what has ended is left out");
    let another_key = store.responders(&issuer(), &[8; 32], at(0)).await.expect("a query");
    assert!(another_key.is_empty());
    let actions = ["responder.intended", "responder.intended", "responder.issued", "responder.issued"];
    assert_eq!(verified_actions(&store).await, actions, "a repeat and a refusal change nothing");
}

pub async fn a_renewal_that_was_given_up_is_never_issued(store: impl Ledger) {
    intend(&store, &renewal(1)).await.expect("an intent");
    let abandon = async |n| {
        store.abandon_responder_intent(renewal(n).intent, event("responder.intent-abandoned")).await
    };
    abandon(1).await.expect("given up");
    refused(abandon(1).await, Conflict::Missing);
    refused(abandon(9).await, Conflict::Missing);
    refused(issue(&store, 1, b"one").await, Conflict::Missing);
    assert!(store.open_responder_intents(&issuer(), &signer()).await.expect("a query").is_empty());
    let known = store.responder_of_intent(renewal(1).intent).await.expect("a query").expect("a record");
    assert_eq!(known.state, CertificateState::Abandoned);

    intend(&store, &renewal(2)).await.expect("an intent");
    issue(&store, 2, b"two").await.expect("issued");
    refused(abandon(2).await, Conflict::Missing);
}

pub async fn a_revoked_responder_is_not_listed_for_use(store: impl Ledger) {
    let revoke = async |n| {
        let reason = RevocationReason::KeyCompromise;
        store.revoke(&issuer(), &serial(n), reason, at(50), event("certificate.revoked")).await
    };
    for n in [1, 2, 3] {
        intend(&store, &renewal(n)).await.expect("an intent");
    }
    issue(&store, 1, b"one").await.expect("issued");
    issue(&store, 2, b"two").await.expect("issued");
    let RevokeOutcome::Revoked(revocation) = revoke(2).await.expect("a write") else { panic!("not revoked") };
    assert_eq!(revocation.not_after, renewal(2).not_after);
    assert_eq!(live(&store, 0).await, [renewal(1).intent]);
    let listed = store.revoked(&issuer(), at(0), u64::MAX).await.expect("a query");
    assert_eq!(listed, [revocation]);
    assert!(matches!(store.status(&issuer(), &serial(2)).await.expect("a query"), LedgerStatus::Revoked(_)));

    // Revoked before it was seen signed: it isn't open any more, and the certificate only joins the revocation.
    assert!(matches!(revoke(3).await.expect("a write"), RevokeOutcome::Revoked(_)));
    assert!(store.open_responder_intents(&issuer(), &signer()).await.expect("a query").is_empty());
    let abandoned = event("responder.intent-abandoned");
    refused(store.abandon_responder_intent(renewal(3).intent, abandoned).await, Conflict::Missing);
    issue(&store, 3, b"three").await.expect("issued");
    let known = store.responder_of_intent(renewal(3).intent).await.expect("a query").expect("a record");
    assert!(matches!(known.state, CertificateState::Revoked { der: Some(_), .. }), "{known:?}");
    assert_eq!(live(&store, 0).await, [renewal(1).intent]);
}
