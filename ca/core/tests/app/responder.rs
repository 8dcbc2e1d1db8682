//! The renewal of an OCSP responder's certificate: when, by whom, and what faults at each step leave behind.

use std::sync::Arc;

use ca_core::{
    app::{
        answer_ocsp::AnswerOcsp,
        failure::Failure,
        renew_responder::{RenewError, RenewResponder, When, in_use},
    },
    domain::{
        anchor::Halt,
        audit::Actor,
        ids::SerialNumber,
        ocsp::Responder,
        responder::{ResponderPolicy, ResponderRecord},
        revocation::RevocationReason,
    },
    ports::{
        clock::Clock,
        responders::ResponderStore,
        signer::{OUTSIDE_VALIDITY, SignerError},
        store::{AuditStore, RevocationStore, RevokeOutcome},
    },
    testing::Fault,
};
use ca_x509::ocsp::{BasicOcspResponse, OcspResponse};
use der::{Decode, Encode};
use jiff::SignedDuration;

use crate::{
    pki::{issuer_id, signer_name},
    publish::question,
    world::{GENERAL, World, at, clerk},
};

/// Ends a week after the world's morning.
fn ending(world: &World) -> Responder {
    world.authority.responder_until(2026, 12, 1)
}

fn renewing(world: &World) -> RenewResponder {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    RenewResponder {
        responders: world.store.clone(),
        audit: world.store.clone(),
        signer: world.signer.clone(),
        clock: world.clock.clone(),
        rng: world.open.rng.clone(),
        accord: world.accord.clone(),
        issuer: Arc::new(world.authority.issuer.clone()),
        policy: ResponderPolicy::new(days(30), days(10)).expect("a policy"),
    }
}

async fn renew(world: &World) -> Result<Option<Responder>, RenewError> {
    renewing(world).run(Actor::System, ending(world), When::Due).await
}

async fn used(world: &World) -> Responder {
    let (store, issuer) = (&*world.store, &world.authority.issuer);
    in_use(store, issuer, ending(world), world.clock.now()).await.expect("the ledger")
}

async fn open(world: &World) -> Vec<ResponderRecord> {
    world.store.open_responder_intents(&issuer_id(), &signer_name()).await.expect("the store")
}

fn serial(responder: &Responder) -> SerialNumber {
    responder.serial().expect("a serial number")
}

/// The certificates that an OCSP response carries, DER.
fn carried(response: &[u8]) -> Vec<Vec<u8>> {
    let response = OcspResponse::from_der(response).expect("an OCSP response");
    let bytes = response.response_bytes.expect("an answer").response;
    let basic = BasicOcspResponse::from_der(bytes.as_bytes()).expect("a basic response");
    basic.certs.unwrap_or_default().iter().map(|certificate| certificate.to_der().expect("DER")).collect()
}

#[tokio::test]
async fn it_is_renewed_once_and_answers_are_given_with_the_new_one() {
    let world = World::new().await;
    let renewed = renew(&world).await.expect("no fault").expect("a certificate");
    assert_eq!(renewed.not_after(), at("2026-12-24T00:55:00Z"));
    assert_eq!(serial(&used(&world).await), serial(&renewed));
    assert!(renew(&world).await.expect("no fault").is_none(), "it isn't due any more");
    assert_eq!((world.rows("responder.intended"), world.rows("responder.issued")), (1, 1));
    let rows = world.store.audit_rows();
    let row = rows.iter().find(|row| row.action == "responder.issued").expect("a row");
    assert_eq!((&*row.subject, &*row.actor), (&*serial(&renewed).to_string(), "system"));

    // The reconciliation finds the journal's entry in the ledger, and nothing to be done.
    let report = world.reconcile.run().await.expect("no fault");
    assert_eq!((report.adopted.len(), report.orphans.len(), report.divergence), (0, 0, None));
    let record = world.enrol(GENERAL, 1_000_001).await;
    let store = world.store.clone();
    let issuers = vec![(world.authority.issuer.clone(), renewed.clone())];
    let ocsp = AnswerOcsp::new(store.clone(), store, world.signer.clone(), world.clock.clone(), issuers);
    let reply = ocsp.run(&question(&world.authority, &record.serial, None)).await;
    let carried = carried(&reply.der);
    assert_eq!(carried.len(), 1);
    assert_eq!(SerialNumber::of_certificate(&carried[0]), renewed.serial());
}

#[tokio::test]
async fn what_is_not_due_is_renewed_only_when_somebody_asks() {
    let world = World::new().await;
    let (renewing, far) = (renewing(&world), world.authority.responder.clone());
    assert!(renewing.run(Actor::System, far.clone(), When::Due).await.expect("no fault").is_none());
    assert_eq!(world.signer.certificates_signed(), 0);
    let renewed = renewing.run(clerk(), far, When::Now).await.expect("no fault").expect("a certificate");
    assert!(world.last_row().starts_with("responder.issued "), "{}", world.last_row());
    assert_eq!(serial(&used(&world).await), serial(&renewed));
}

/// After each fault the same call again ends with one certificate that ledger and journal both have.
#[tokio::test]
async fn a_fault_at_any_step_is_carried_on_from() {
    for (method, fault, signed) in [
        ("record_responder_intent", Fault::Before, 0),
        ("record_responder_intent", Fault::After, 0),
        ("sign_certificate", Fault::Before, 0),
        ("sign_certificate", Fault::After, 1),
        ("record_responder", Fault::Before, 1),
        ("record_responder", Fault::After, 1),
    ] {
        let world = World::new().await;
        let faults = if method == "sign_certificate" { world.signer.faults() } else { world.store.faults() };
        faults.order(method, fault);
        renew(&world).await.expect_err("a fault");
        assert_eq!(world.signer.certificates_signed(), signed, "{method} {fault:?}");
        if (method, fault) != ("record_responder", Fault::After) {
            let current = used(&world).await;
            assert_eq!(
                current.not_after(),
                ending(&world).not_after(),
                "{method} {fault:?}: the old one serves"
            );
        }
        renew(&world).await.expect("no fault");
        assert_eq!(world.signer.certificates_signed(), 1, "{method} {fault:?}: one signature");
        assert_eq!(used(&world).await.not_after(), at("2026-12-24T00:55:00Z"), "{method} {fault:?}");
        let report = world.reconcile.run().await.expect("no fault");
        assert_eq!((report.orphans.len(), report.adopted.len(), report.divergence), (0, 0, None));
        assert!(open(&world).await.is_empty());
    }
}

/// Signed, and then nobody asked again: the reconciliation takes it over, and a signature that never came is given up.
#[tokio::test]
async fn the_reconciliation_settles_what_was_left_open() {
    let world = World::new().await;
    world.store.faults().order("record_responder", Fault::Before);
    renew(&world).await.expect_err("a fault");
    let report = world.reconcile.run().await.expect("no fault");
    assert_eq!((report.adopted.len(), report.orphans.len()), (1, 0));
    assert_eq!(world.rows("responder.adopted"), 1);
    assert_eq!(used(&world).await.serial().as_ref(), report.adopted.first());

    let world = World::new().await;
    world.signer.faults().order("sign_certificate", Fault::Before);
    renew(&world).await.expect_err("a fault");
    assert_eq!(world.reconcile.run().await.expect("no fault").abandoned.len(), 0, "it may still be signed");
    world.clock.advance(SignedDuration::from_mins(15));
    let report = world.reconcile.run().await.expect("no fault");
    assert_eq!((report.abandoned.len(), report.orphans.len()), (1, 0));
    assert!(open(&world).await.is_empty());
}

#[tokio::test]
async fn what_the_signer_refuses_is_given_up_and_the_old_certificate_serves_on() {
    let world = World::new().await;
    world.signer.refuse_certificates(Some(OUTSIDE_VALIDITY));
    let refused = renew(&world).await.expect_err("a refusal");
    let RenewError::Failure(Failure::Signer(SignerError::Refused { .. })) = &refused else {
        panic!("{refused:?}")
    };
    assert!(open(&world).await.is_empty());
    assert_eq!(world.rows("responder.intent-abandoned"), 1);
    assert_eq!(used(&world).await.not_after(), ending(&world).not_after());
    world.signer.refuse_certificates(None);
    assert!(renew(&world).await.expect("no fault").is_some());
}

#[tokio::test]
async fn a_wrong_signature_is_never_used() {
    let world = World::new().await;
    world.signer.corrupt_next();
    let wrong = renew(&world).await.expect_err("a wrong signature");
    assert!(matches!(wrong, RenewError::Signature(_)), "{wrong:?}");
    assert_eq!(world.rows("responder.signature-wrong"), 1);
    assert_eq!(used(&world).await.not_after(), ending(&world).not_after());
}

/// While ledger and journal contradict each other, or nobody has looked, nothing is renewed either.
#[tokio::test]
async fn nothing_is_renewed_while_issuing_halts() {
    let world = World::new().await.restarted();
    let halted = renew(&world).await.expect_err("nobody has looked yet");
    assert!(matches!(halted, RenewError::Failure(Failure::Halted(Halt::Unexamined))), "{halted:?}");
    assert_eq!(world.rows("responder.intended"), 0);
}

/// A responder whose key is suspect: the renewed certificate is revoked like any other and not used any more.
#[tokio::test]
async fn a_revoked_certificate_is_not_used() {
    let world = World::new().await;
    let renewed = renew(&world).await.expect("no fault").expect("a certificate");
    let outcome = world.revoke_serial(&serial(&renewed), RevocationReason::KeyCompromise).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)), "{outcome:?}");
    assert_eq!(used(&world).await.not_after(), ending(&world).not_after());
    let listed = world.store.revoked(&issuer_id(), world.clock.now(), u64::MAX).await.expect("the store");
    assert_eq!(listed.first().map(|revocation| &revocation.serial), Some(&serial(&renewed)));
    assert_eq!(listed[0].not_after, renewed.not_after());
}

/// A ledger from before the renewal doesn't know the certificate: the journal's is an orphan, as any other.
#[tokio::test]
async fn a_restored_ledger_takes_a_lost_renewal_for_an_orphan() {
    let world = World::new().await;
    let backup = world.store.backup();
    let renewed = renew(&world).await.expect("no fault").expect("a certificate");
    world.store.restore(&backup);
    let world = world.restarted();
    let report = world.reconcile.run().await.expect("no fault");
    assert_eq!(report.orphans, [serial(&renewed)]);
    assert!(report.divergence.is_some());
    assert!(world.store.head().await.is_ok());
}
