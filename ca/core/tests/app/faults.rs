//! Faults at steps 6, 7 and 9, each persisted and not; R2, R9; what the reconciliation finds afterwards.

use std::sync::Arc;

use async_trait::async_trait;
use ca_core::{
    app::{
        enrol::certify::{CertifyEnrolment, CertifyError},
        failure::Failure,
        issue::Issue,
    },
    domain::{
        audit::{AuditEvent, AuditPosition},
        certificate::CertificateState,
        ids::{EnrolmentId, IssuerId, SignerName},
        policy::Reason,
        revocation::{Revocation, RevocationReason},
        user::UserState,
    },
    ports::{
        signer::{
            JournalEntry, JournalHead, JournalPosition, Journaled, JournaledSignature, OUTSIDE_VALIDITY,
            Signer, SignerError,
        },
        store::{CertificateStore, RevocationStore, RevokeOutcome, SignerStore},
    },
    testing::{Fault, MemorySigner, MemoryStore},
};
use jiff::SignedDuration;

use crate::{
    device::Statement,
    pki::{issuer_id, signer_name},
    world::{GENERAL, World, clerk, user},
};

const SERIAL: u32 = 1_000_001;
const BOTH: [Fault; 2] = [Fault::Before, Fault::After];

fn is_transient(error: &CertifyError) -> bool {
    matches!(error, CertifyError::Failure(failure) if failure.is_transient())
}

/// Step 6 fails, persisted or not: nothing was signed; the same request again issues one certificate.
#[tokio::test]
async fn step_6_a_lost_intent_or_its_lost_receipt_is_made_good_by_the_repeat() {
    for fault in BOTH {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "a").await;
        let token = world.maker.token(&Statement::of(SERIAL));
        world.store.faults().order("record_intent", fault);
        let error = world.certified(&opened, &token).await.expect_err("a fault");
        assert!(is_transient(&error), "{error:?}");
        assert_eq!(world.signer.certificates_signed(), 0, "no signature without an acknowledged intent");

        let certified = world.certified(&opened, &token).await.expect("a certificate");
        assert_eq!(world.signer.certificates_signed(), 1);
        assert_eq!(world.record(&opened).await.der(), Some(certified.certificate.der()));
        assert_eq!(world.rows("certificate.intended"), 1);
    }
}

/// Step 7 fails, journaled or not: the repeat gets the one signature.
#[tokio::test]
async fn step_7_a_lost_signature_is_made_good_by_the_repeat() {
    for fault in BOTH {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "a").await;
        let token = world.maker.token(&Statement::of(SERIAL));
        world.signer.faults().order("sign_certificate", fault);
        let error = world.certified(&opened, &token).await.expect_err("a fault");
        assert!(is_transient(&error), "{error:?}");
        assert_eq!(world.record(&opened).await.state, CertificateState::Intended);

        let again = world.certified(&opened, &token).await.expect("a certificate");
        assert!(!again.is_new, "the enrolment's intent was there");
        assert_eq!(world.signer.certificates_signed(), 1);
    }
}

/// Step 9 fails, persisted or not: the certificate isn't handed out; the repeat hands out the same one.
#[tokio::test]
async fn step_9_a_lost_certificate_row_is_made_good_by_the_repeat() {
    for fault in BOTH {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "a").await;
        let token = world.maker.token(&Statement::of(SERIAL));
        world.store.faults().order("record_issued", fault);
        let error = world.certified(&opened, &token).await.expect_err("a fault");
        assert!(is_transient(&error), "{error:?}");
        assert_eq!(world.signer.certificates_signed(), 1);

        let certified = world.certified(&opened, &token).await.expect("a certificate");
        assert_eq!(world.signer.certificates_signed(), 1, "never signed twice");
        assert_eq!(world.rows("certificate.issued"), 1);
        assert_eq!(world.record(&opened).await.der(), Some(certified.certificate.der()));
    }
}

/// The same faults, and nobody comes back: the reconciliation adopts what was signed, and gives up what wasn't.
#[tokio::test]
async fn what_was_signed_is_adopted_and_what_was_not_is_given_up() {
    type Order = fn(&World);
    let cases: [(&str, Order, bool); 3] = [
        ("intent only", |w| w.signer.faults().order("sign_certificate", Fault::Before), false),
        ("journaled only", |w| w.signer.faults().order("sign_certificate", Fault::After), true),
        ("row lost", |w| w.store.faults().order("record_issued", Fault::Before), true),
    ];
    for (case, order, was_signed) in cases {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "a").await;
        let token = world.maker.token(&Statement::of(SERIAL));
        order(&world);
        world.certified(&opened, &token).await.expect_err(case);

        let early = world.reconcile.run().await.expect("a walk");
        assert_eq!(early.adopted.len(), usize::from(was_signed), "{case}: the journal is enough");
        assert!(early.abandoned.is_empty(), "{case}: too young to be given up");
        world.clock.advance(SignedDuration::from_mins(15));
        let late = world.reconcile.run().await.expect("a walk");
        assert_eq!(late.abandoned.len(), usize::from(!was_signed), "{case}");
        assert!(late.orphans.is_empty() && late.unreadable == 0, "{case}: {late:?}");

        let record = world.record(&opened).await;
        if was_signed {
            assert!(matches!(record.state, CertificateState::Issued { .. }), "{case}");
            assert_eq!(world.rows("certificate.adopted"), 1, "{case}");
        } else {
            assert_eq!(record.state, CertificateState::Abandoned, "{case}");
            let fresh = world.opened(GENERAL, SERIAL, "b").await;
            world.certified(&fresh, &token).await.expect("the user begins anew with the same key");
        }
        world.audit.run().await.expect("a whole chain");
    }
}

/// A signature journaled after the intent's row moved past the walk's checkpoint is found by its intent.
#[tokio::test]
async fn an_open_intent_behind_the_checkpoint_is_asked_for() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.store.faults().order("record_issued", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    let entries = world.signer.journaled_after(&issuer_id(), 0, 10).await.expect("the journal");
    let reached = entries.last().expect("the certificate").position;
    world.store.set_reconciled(&issuer_id(), &signer_name(), reached).await.expect("the store");
    world.clock.advance(SignedDuration::from_mins(2));
    let report = world.reconcile.run().await.expect("a walk");
    assert_eq!(report.adopted, [world.record(&opened).await.serial]);
}

/// R2: final insert fails: the intent lets the serial be revoked; no orphan.
#[tokio::test]
async fn r2_a_certificate_whose_row_is_missing_is_revocable_by_its_intent() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.store.faults().order("record_issued", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    let serial = world.record(&opened).await.serial;

    let outcome = world.revoke_serial(&serial, RevocationReason::KeyCompromise).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)));
    let report = world.reconcile.run().await.expect("a walk");
    assert_eq!((report.adopted.len(), report.orphans.len()), (1, 0));
    let record = world.record(&opened).await;
    assert!(matches!(&record.state, CertificateState::Revoked { der: Some(_), .. }), "{:?}", record.state);
    let error = world.certified(&opened, &token).await.expect_err("revoked");
    assert!(matches!(error, CertifyError::Ended), "{error:?}");
    let crl = world.publish.run().await.expect("a CRL").expect("due");
    assert_eq!(crl.entries, 1);
}

/// A ledger restored from a backup: the journal's certificate has no intent, is kept and alarmed once, and can be
/// revoked.
#[tokio::test]
async fn a_journaled_certificate_without_intent_is_an_orphan_that_can_be_revoked() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, SERIAL).await;
    world.store.forget_intent(record.intent);
    let report = world.reconcile.run().await.expect("a walk");
    assert_eq!(report.orphans, std::slice::from_ref(&record.serial));
    assert!(report.adopted.is_empty());
    assert_eq!(world.reconcile.run().await.expect("a walk").orphans, [], "alarmed once");
    assert_eq!(world.rows("journal.orphan-found"), 1);

    let blocked = world.logged_in(record.der().expect("a certificate"), crate::world::PASSWORD).await;
    assert!(blocked.is_err(), "blocked at login");
    let outcome = world.revoke_serial(&record.serial, RevocationReason::Superseded).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)));
    assert_eq!(world.publish.run().await.expect("a CRL").expect("due").entries, 1);
}

/// R9: verify-after-sign catches a corrupt signature: nothing is stored as issued, nothing leaves.
#[tokio::test]
async fn r9_a_corrupt_signature_never_leaves() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.signer.corrupt_next();
    let error = world.certified(&opened, &token).await.expect_err("corrupt");
    assert!(matches!(&error, CertifyError::Failure(Failure::Defect(_))), "{error:?}");
    assert_eq!(world.record(&opened).await.state, CertificateState::Intended);
    assert_eq!(world.rows("certificate.signature-wrong"), 1);
    let report = world.reconcile.run().await.expect("a walk");
    assert_eq!((report.adopted.len(), report.unreadable), (0, 1));
    world.clock.advance(SignedDuration::from_mins(20));
    let report = world.reconcile.run().await.expect("a walk");
    assert_eq!((report.abandoned.len(), report.unreadable), (0, 1), "it may be signed: never given up");
    assert_eq!(world.rows("journal.signature-wrong"), 1, "written once");
}

#[tokio::test]
async fn a_walk_that_fails_is_resumed_by_the_next() {
    let world = World::new().await;
    world.enrol(GENERAL, SERIAL).await;
    world.signer.faults().order("journaled_after", Fault::Before);
    assert!(world.reconcile.run().await.expect_err("a fault").is_transient());
    world.reconcile.run().await.expect("a walk");
    let signers = world.store.signers(&issuer_id()).await.expect("the store");
    let reached: Vec<_> = signers.iter().filter_map(|signer| signer.reconciled).collect();
    assert_eq!(reached.iter().map(|position| position.sequence).collect::<Vec<_>>(), [1]);
}

/// An intent that the signer won't sign any more ends with the repeat, and the user begins anew.
#[tokio::test]
async fn an_intent_too_old_to_be_signed_ends_with_the_repeat() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.signer.faults().order("sign_certificate", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    world.signer.refuse_certificates(Some(OUTSIDE_VALIDITY));
    let error = world.certified(&opened, &token).await.expect_err("too old");
    assert!(matches!(error, CertifyError::Ended), "{error:?}");
    assert_eq!(world.record(&opened).await.state, CertificateState::Abandoned);
    world.signer.refuse_certificates(None);
    let fresh = world.opened(GENERAL, SERIAL, "b").await;
    world.certified(&fresh, &token).await.expect("a certificate");
}

/// A signer's refusal is an alarm, so it isn't asked for what it would refuse.
#[tokio::test]
async fn an_intent_too_old_to_be_signed_ends_without_a_refusal() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.signer.faults().order("sign_certificate", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    world.clock.advance(SignedDuration::from_mins(11));
    world.signer.refuse_certificates(Some("malformed"));
    let error = world.certified(&opened, &token).await.expect_err("too old");
    assert!(matches!(error, CertifyError::Ended), "{error:?}");
    assert_eq!(world.record(&opened).await.state, CertificateState::Abandoned);
}

/// The signer's clock is set while an intent is open: that passes, and the repeat has what it asked for.
#[tokio::test]
async fn an_intent_that_is_refused_for_the_signers_clock_yields_its_certificate_later() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.signer.faults().order("sign_certificate", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    world.signer.refuse_certificates(Some("clock_behind"));
    let error = world.certified(&opened, &token).await.expect_err("refused");
    assert!(matches!(error, CertifyError::Failure(Failure::Signer(_))), "{error:?}");
    assert_eq!(world.record(&opened).await.state, CertificateState::Intended);
    world.signer.refuse_certificates(None);
    world.certified(&opened, &token).await.expect("a certificate");
    assert_eq!(world.rows("certificate.intent-abandoned"), 0);
}

/// Suspended between step 3 and step 6: nothing is signed, and the repeat says why.
#[tokio::test]
async fn a_user_suspended_before_the_intent_gets_nothing_and_is_told_at_the_repeat() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let before = world.store.applicant(&user(GENERAL)).await.expect("the store").expect("a user");
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    world.store.read_applicant_as(before);
    let error = world.certified(&opened, &token).await.expect_err("suspended");
    assert!(is_transient(&error), "{error:?}");
    let error = world.certified(&opened, &token).await.expect_err("suspended");
    assert!(matches!(error, CertifyError::Policy(Reason::UserSuspended)), "{error:?}");
    assert_eq!((world.signer.certificates_signed(), world.rows("certificate.intended")), (0, 0));
}

/// Revoked between steps 6 and 9: the certificate is in the ledger, revoked, and isn't handed out.
#[tokio::test]
async fn a_certificate_revoked_while_it_was_signed_is_not_handed_out() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let signer = RevokedMeanwhile { signer: world.signer.clone(), store: world.store.clone() };
    let certify = CertifyEnrolment {
        certificates: world.store.clone(),
        audit: world.store.clone(),
        clock: world.clock.clone(),
        trust: world.certify.trust.clone(),
        policies: world.certify.policies.clone(),
        inventory: world.certify.inventory.clone(),
        issue: Arc::new(Issue {
            certificates: world.store.clone(),
            audit: world.store.clone(),
            signer: Arc::new(signer),
            clock: world.clock.clone(),
            rng: world.open.rng.clone(),
            profile: Arc::new(world.authority.profile.clone()),
            accord: world.accord.clone(),
        }),
        budget: Arc::default(),
    };
    let certified = certify.run(World::certify_with(&opened, &token)).await;
    assert!(matches!(certified, Err(CertifyError::Ended)), "{certified:?}");
    assert!(world.last_row().contains("why=enrolment-ended"), "{}", world.last_row());
    let record = world.record(&opened).await;
    assert!(matches!(&record.state, CertificateState::Revoked { der: Some(_), .. }), "{:?}", record.state);
    let again = world.certified(&opened, &token).await;
    assert!(matches!(again, Err(CertifyError::Ended)), "{again:?}");
    assert_eq!(world.signer.certificates_signed(), 1);
    assert_eq!(world.publish.run().await.expect("a CRL").expect("due").entries, 1);
}

/// A signer during whose work the certificate's intent is revoked.
struct RevokedMeanwhile {
    signer: Arc<MemorySigner>,
    store: Arc<MemoryStore>,
}

#[async_trait]
impl Signer for RevokedMeanwhile {
    fn name(&self, issuer: &IssuerId) -> Result<SignerName, SignerError> {
        self.signer.name(issuer)
    }

    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        let signature = self.signer.sign_certificate(issuer, intent, audit_head, tbs).await?;
        let record = self.store.certificate_of_intent(intent).await.expect("the store").expect("an intent");
        let row = AuditEvent {
            at: record.not_before,
            actor: clerk(),
            action: "certificate.revoked",
            subject: record.serial.to_string(),
            details: Vec::new(),
        };
        let reason = RevocationReason::KeyCompromise;
        let revoked = self.store.revoke(issuer, &record.serial, reason, record.not_before, row).await;
        assert!(matches!(revoked, Ok(RevokeOutcome::Revoked(_))), "{revoked:?}");
        Ok(signature)
    }

    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        self.signer.sign_crl(issuer, audit_head, tbs).await
    }

    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_ocsp(issuer, tbs).await
    }

    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        self.signer.revoke(issuer, audit_head, revocations).await
    }

    async fn recorded(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
    ) -> Result<Option<Journaled>, SignerError> {
        self.signer.recorded(issuer, intent).await
    }

    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError> {
        self.signer.journaled_after(issuer, sequence, limit).await
    }

    async fn journal(&self, issuer: &IssuerId) -> Result<JournalHead, SignerError> {
        self.signer.journal(issuer).await
    }

    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError> {
        self.signer.healthy(issuer).await
    }
}
