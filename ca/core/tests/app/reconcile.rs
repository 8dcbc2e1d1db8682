//! Ledger and journal, each cut, rewritten and restored: who is believed, who is told, and that nothing is issued
//! meanwhile (R17, R18).

use ca_core::{
    app::{
        accord::Verdict,
        failure::Failure,
        issue::IssueError,
        reconcile::accept::AcceptError,
        retire_signer::{RetireError, RetireSigner},
    },
    domain::{
        anchor::{Divergence, Halt},
        certificate::{CertificateRecord, CertificateState},
        ocsp::LedgerStatus,
        revocation::RevocationReason,
        user::{PasswordKind, Role},
    },
    ports::{
        signer::Signer,
        store::{CertificateStore, RevocationStore, RevokeOutcome, SignerStore},
    },
    testing::{Fault, store::Backup},
};

use crate::{
    device::Statement,
    pki::{issuer_id, signer_name},
    world::{GENERAL, World, clerk},
};

const SERIAL: u32 = 1_000_001;
const OTHER: &str = "hokkai-02";
const THIRD: &str = "hokkai-03";

/// A bank that was backed up after one certificate; since then that one was revoked, another issued, two CRLs published.
async fn bank() -> (World, Backup, CertificateRecord, CertificateRecord) {
    let world = World::new().await;
    world.register(OTHER, Role::General, Some(1_000_002)).await;
    world.register(THIRD, Role::General, Some(1_000_003)).await;
    let kept = world.enrol(GENERAL, SERIAL).await;
    world.reconcile.run().await.expect("they agree");
    world.publish.run().await.expect("a CRL").expect("the first");
    let backup = world.store.backup();

    let lost = world.enrol(OTHER, 1_000_002).await;
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    world.publish.run().await.expect("a CRL").expect("for the revocation");
    world.reconcile.run().await.expect("they agree");
    (world, backup, kept, lost)
}

async fn restored() -> (World, CertificateRecord, CertificateRecord) {
    let (world, backup, kept, lost) = bank().await;
    world.store.restore(&backup);
    (world.restarted(), kept, lost)
}

fn code(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unexamined => "unexamined",
        Verdict::Agreed => "agreed",
        Verdict::Diverged(divergence) => divergence.code(),
    }
}

async fn run(world: &World) -> &'static str {
    world.reconcile.run().await.expect("no fault");
    code(&world.accord.verdict())
}

/// An enrolment of a user who has no certificate fails, and why.
async fn refusal(world: &World) -> Option<Halt> {
    let open = World::asked(THIRD, 1_000_003, "halted");
    match world.open.run(open).await {
        Err(ca_core::app::enrol::open::OpenError::Failure(Failure::Halted(halt))) => Some(halt),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    }
}

#[tokio::test]
async fn nothing_is_issued_before_ledger_and_journal_were_compared() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let world = world.restarted();
    assert!(!world.accord.is_caught_up());
    assert_eq!(refusal_of_new(&world).await, Some(Halt::Unexamined));
    let error = world.certify.issue.resume(opened.enrolment.id, &clerk()).await.expect_err("no intent");
    assert!(matches!(error, IssueError::Failure(_)), "{error:?}");
    assert_eq!(run(&world).await, "agreed");
    assert!(world.accord.is_caught_up());
    world.enrol(GENERAL, SERIAL).await;
}

async fn refusal_of_new(world: &World) -> Option<Halt> {
    world.register(THIRD, Role::General, Some(1_000_003)).await;
    refusal(world).await
}

/// R18: "refuses to issue until reconciled with the journal; nothing un-revoked".
#[tokio::test]
async fn r18_a_restored_ledger_issues_nothing_until_a_person_accepts_and_un_revokes_nothing() {
    let (world, kept, lost) = restored().await;
    let report = world.reconcile.run().await.expect("a walk");
    let Some(Divergence::Ledger(found)) = &report.divergence else { panic!("{report:?}") };
    assert!(found.entries >= 3 && found.common.is_some(), "{found:?}");
    assert_eq!(report.orphans, std::slice::from_ref(&lost.serial));
    assert_eq!(report.restored, std::slice::from_ref(&kept.serial));

    assert!(
        world
            .reconcile
            .restored_since(found.common.map_or(0, |row| row.sequence))
            .await
            .is_ok_and(|r| r.len() == 1)
    );
    let status = world.store.status(&issuer_id(), &kept.serial).await.expect("the store");
    let LedgerStatus::Revoked(revocation) = status else { panic!("{status:?}") };
    assert_eq!(revocation.reason, RevocationReason::KeyCompromise);
    assert!(world.signer.revocations().contains(&revocation), "with its time");
    assert!(world.accord.is_caught_up(), "relying parties are answered again");
    assert!(!world.accord.is_current_crl(1), "but not with the CRL from the backup");
    let crl = world.publish.run().await.expect("a CRL").expect("due");
    assert_eq!((crl.number, crl.entries), (3, 1), "numbers rise, and the revocation is on it");
    assert!(world.accord.is_current_crl(crl.number));

    assert!(matches!(refusal(&world).await, Some(Halt::Diverged(Divergence::Ledger(_)))));
    world.revoke_serial(&lost.serial, RevocationReason::Superseded).await;
    assert_eq!(world.publish.run().await.expect("a CRL").expect("due").entries, 2, "revoking goes on");
    for _ in 0..2 {
        let again = world.reconcile.run().await.expect("a walk");
        assert_eq!((again.orphans.len(), again.restored.len()), (0, 0), "idempotent");
    }
    assert_eq!((world.rows("reconcile.diverged"), world.rows("revocation.restored")), (1, 1));
    assert_eq!(world.certify.issue.accord.verdict(), world.accord.verdict());

    accept(&world).await;
    assert_eq!(run(&world).await, "agreed");
    world.enrol(THIRD, 1_000_003).await;
    world.audit.run().await.expect("a whole chain");
    let world = world.restarted();
    assert_eq!(run(&world).await, "agreed", "and it stays so");
    assert_eq!((world.rows("reconcile.loss-accepted"), world.rows("reconcile.agreed")), (1, 1));
}

async fn accept(world: &World) {
    let refused = world.reconcile.accept(clerk(), &signer_name(), " ").await;
    assert!(matches!(refused, Err(AcceptError::NoReason)), "{refused:?}");
    let other = ca_core::domain::ids::SignerName::parse("other").expect("a name");
    let refused = world.reconcile.accept(clerk(), &other, "restored").await;
    assert!(matches!(refused, Err(AcceptError::OtherSigner { .. })), "{refused:?}");
    let reason = "restored from last night's backup\n";
    world.reconcile.accept(clerk(), &signer_name(), reason).await.expect("accepted");
    let row = world.last_row();
    assert!(row.starts_with("reconcile.loss-accepted") && row.contains(reason.trim()), "{row}");
    world.reconcile.run().await.expect("a walk");
    let refused = world.reconcile.accept(clerk(), &signer_name(), "again").await;
    assert!(matches!(refused, Err(AcceptError::Agreed)), "{refused:?}");
}

/// The acceptance reaches a process that found the loss itself, and one loss isn't all losses.
#[tokio::test]
async fn a_second_loss_is_not_covered_by_the_first_acceptance() {
    let (world, ..) = restored().await;
    assert_eq!(run(&world).await, "ledger-behind");
    accept(&world).await;
    assert_eq!(run(&world).await, "agreed");
    let backup = world.store.backup();
    world.enrol(THIRD, 1_000_003).await;
    world.store.restore(&backup);
    let world = world.restarted();
    assert_eq!(run(&world).await, "ledger-behind");
}

#[tokio::test]
async fn a_ledger_that_went_on_after_its_restoration_is_another_history() {
    let (world, ..) = restored().await;
    for _ in 0..20 {
        world.set_password(GENERAL, PasswordKind::Login, "another day, another password").await;
    }
    assert_eq!(run(&world).await, "ledger-differs");
    let look = world.reconcile.look(false).await.expect("a look");
    assert_eq!(look.divergence.as_ref().map(Divergence::code), Some("ledger-differs"));
    assert_eq!((look.lost.certificates, look.lost.revocations, look.lost.crls), (1, 1, 1));
    assert_eq!(world.reconcile.restored_since(0).await.expect("rows").len(), 1);
}

/// R17: "tail cut past the last cross-anchor", noticed by a process that runs and by one that starts.
#[tokio::test]
async fn r17_a_trail_whose_end_was_cut_off_is_noticed_though_nothing_new_is_journaled() {
    let (world, ..) = bank().await;
    let whole = world.store.audit_rows().len();
    assert_eq!(run(&world).await, "agreed");
    world.store.cut_trail(whole - 3);
    assert_eq!(run(&world).await, "ledger-behind");
    world.store.cut_trail(whole - 3);
    let world = world.restarted();
    let look = world.reconcile.look(false).await.expect("a look");
    assert_eq!(look.divergence.as_ref().map(Divergence::code), Some("ledger-behind"));
    let whole = world.reconcile.look(true).await.expect("a look");
    assert!(whole.entries > look.entries && whole.divergence.is_some(), "the whole journal is read");
    assert!(refusal(&world).await.is_some());
}

#[tokio::test]
async fn a_journal_that_was_cut_rewritten_or_replaced_is_not_issued_with_until_the_right_one_is_back() {
    type Harm = fn(&World);
    let harms: [(&str, Harm); 4] = [
        ("journal-behind", |world| world.signer.cut_journal(2)),
        ("journal-behind", |world| world.signer.cut_journal(0)),
        ("journal-differs", |world| (2..9).for_each(|entry| world.signer.rewrite_entry(entry))),
        ("journal-replaced", |world| world.signer.replace_journal()),
    ];
    for (expected, harm) in harms {
        let (world, ..) = bank().await;
        let good = world.signer.copy_journal();
        harm(&world);
        let world = world.restarted();
        let look = world.reconcile.look(false).await.expect("a look");
        assert_eq!(look.divergence.as_ref().map(Divergence::code), Some(expected));
        assert_eq!(run(&world).await, expected);
        assert!(refusal(&world).await.is_some(), "{expected}");
        assert!(world.accord.is_caught_up(), "{expected}: the ledger knows enough");
        let refused = world.reconcile.accept(clerk(), &signer_name(), "never mind").await;
        assert!(matches!(refused, Err(AcceptError::Journal(_))), "{expected}: {refused:?}");

        // What the wrong journal is told, the right one would lack.
        world.revoke_user(OTHER, RevocationReason::KeyCompromise).await;
        let crl = world.publish.run().await.expect("a CRL").expect("due");
        assert_eq!(crl.entries, 2, "{expected}");
        world.signer.restore_journal(&good);
        assert_eq!(run(&world).await, "agreed", "{expected}");
        assert_eq!(world.signer.revocations().len(), 2, "{expected}: it has them all");
        world.clock.advance(jiff::SignedDuration::from_hours(24));
        world.publish.run().await.expect("a CRL").expect("due");
        world.enrol(THIRD, 1_000_003).await;
        assert_eq!(world.rows("reconcile.diverged"), 1, "{expected}");
    }
}

/// A walk breaks off at any of its looks into the ledger, and an older ledger is put in place: what was read counts for
/// nothing there.
#[tokio::test]
async fn a_walk_that_failed_says_nothing_of_a_ledger_that_went_back() {
    for looks in 0..5 {
        let (world, ..) = bank().await;
        let older = world.store.backup();
        world.revoke_user(OTHER, RevocationReason::KeyCompromise).await;
        world.publish.push().await.expect("told");
        (0..looks).for_each(|_| world.store.faults().pass("audit_hashes"));
        world.store.faults().order("audit_hashes", Fault::Before);
        let failed = world.reconcile.run().await;
        assert!(failed.is_err() || looks > 0, "the first look fails");
        world.store.faults().clear();
        world.store.restore(&older);

        let report = world.reconcile.run().await.expect("no fault");
        assert_eq!(report.restored.len(), 1, "after {looks} looks");
    }
}

/// No certificate was issued in the tail, and it is younger than the last reconciliation.
#[tokio::test]
async fn a_lost_tail_of_revocations_is_noticed() {
    let (world, ..) = bank().await;
    assert_eq!(run(&world).await, "agreed");
    let copy = world.signer.copy_journal();
    world.revoke_user(OTHER, RevocationReason::KeyCompromise).await;
    world.publish.push().await.expect("told");
    world.signer.restore_journal(&copy);
    let world = world.restarted();
    assert_eq!(run(&world).await, "journal-behind");
    assert!(refusal(&world).await.is_some());
}

/// The signer's host is restored from an old copy while the authority runs: its first signature gives it away.
#[tokio::test]
async fn a_signature_from_a_journal_that_went_back_is_not_handed_out() {
    let (world, ..) = bank().await;
    world.signer.cut_journal(1);
    let opened = world.opened(THIRD, 1_000_003, "a").await;
    let token = world.maker.token(&Statement::of(1_000_003));
    let error = world.certified(&opened, &token).await.expect_err("it went back");
    let halted = ca_core::app::enrol::certify::CertifyError::Failure(Failure::Halted(Halt::Unexamined));
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&halted), "{error:?}");
    assert_eq!(world.record(&opened).await.state, CertificateState::Intended);
    assert!(world.certified(&opened, &token).await.is_err(), "nothing more is issued");
    assert_eq!(run(&world).await, "journal-behind");
}

/// A standby that was behind is promoted while the authority runs: the first intent gives it away, and isn't signed.
#[tokio::test]
async fn an_intent_in_a_ledger_that_went_back_is_not_signed() {
    let (world, backup, ..) = bank().await;
    world.store.restore(&backup);
    let signed = world.signer.certificates_signed();
    let opened = world.opened(THIRD, 1_000_003, "a").await;
    let token = world.maker.token(&Statement::of(1_000_003));
    let error = world.certified(&opened, &token).await.expect_err("it went back");
    assert!(format!("{error:?}").contains("Halted"), "{error:?}");
    assert_eq!(world.signer.certificates_signed(), signed);
    assert!(refusal(&world).await.is_some());
    assert!(run(&world).await.starts_with("ledger-"));
}

/// The ledger came back from a copy, and before anybody compared it with the journal, the same was revoked once more.
#[tokio::test]
async fn what_was_revoked_again_is_revoked_since_the_first_time() {
    for fault in [None, Some(Fault::Before), Some(Fault::After)] {
        let (world, backup, kept, _) = bank().await;
        let [journaled] = <[_; 1]>::try_from(world.signer.revocations()).expect("one");
        world.store.restore(&backup);
        world.clock.advance(jiff::SignedDuration::from_secs(5));
        let outcome = world.revoke_serial(&kept.serial, RevocationReason::KeyCompromise).await;
        assert!(matches!(outcome, RevokeOutcome::Revoked(again) if again.at > journaled.at));
        world.publish.run().await.expect_err("the signer says since when it is revoked");

        if let Some(fault) = fault {
            world.store.faults().order("predate_revocation", fault);
            world.reconcile.run().await.expect_err("a fault");
        }
        let report = world.reconcile.run().await.expect("a walk");
        let moved = usize::from(fault != Some(Fault::After));
        assert_eq!((report.predated.len(), report.restored.len()), (moved, 0), "{fault:?}");
        assert_eq!(world.rows("revocation.predated"), 1, "{fault:?}");
        let status = world.store.status(&issuer_id(), &kept.serial).await.expect("the store");
        assert_eq!(status, LedgerStatus::Revoked(journaled.clone()), "{fault:?}");
        let crl = world.publish.run().await.expect("a CRL").expect("due");
        assert_eq!(crl.entries, 1, "{fault:?}");
        assert_eq!(world.reconcile.run().await.expect("a walk").predated, [], "{fault:?}");
        assert!(world.publish.run().await.expect("no fault").is_none(), "{fault:?}: nothing is due");
    }
}

/// A crash after any step of the walk, the step persisted or not: the next run ends where one without a fault ends.
#[tokio::test]
async fn a_walk_that_fails_half_way_is_made_good_by_the_next() {
    for method in ["record_orphan", "restore_revocation", "raise_crl_number", "set_reconciled", "append"] {
        for fault in [Fault::Before, Fault::After] {
            let (world, ..) = restored().await;
            world.store.faults().order(method, fault);
            world.reconcile.run().await.expect_err("a fault");
            assert!(refusal(&world).await.is_some(), "{method} {fault:?}");
            assert!(run(&world).await.starts_with("ledger-"), "{method} {fault:?}");
            for action in ["journal.orphan-found", "revocation.restored"] {
                assert_eq!(world.rows(action), 1, "{method} {fault:?}: {action}");
            }
            assert!(world.rows("reconcile.diverged") >= 1, "{method} {fault:?}");
            assert_eq!(world.publish.run().await.expect("a CRL").expect("due").number, 3);
        }
    }
    for fault in [Fault::Before, Fault::After] {
        let (world, ..) = restored().await;
        world.store.faults().order("accept_lost_anchors", fault);
        world.reconcile.accept(clerk(), &signer_name(), "restored").await.expect_err("a fault");
        let again = world.reconcile.accept(clerk(), &signer_name(), "restored").await;
        assert_eq!(again.is_ok(), fault == Fault::Before, "{again:?}");
        assert_eq!(run(&world).await, "agreed");
        assert_eq!(world.rows("reconcile.loss-accepted"), 1);
    }
}

/// A journal that lacks revocations of the ledger has them before relying parties are answered by its signer.
#[tokio::test]
async fn a_signer_is_told_every_revocation_before_anybody_is_answered() {
    let (world, ..) = bank().await;
    world.signer.faults().order("signer_revoke", Fault::Before);
    world.revoke_user(OTHER, RevocationReason::Superseded).await;
    let world = world.restarted();
    world.signer.faults().order("signer_revoke", Fault::Before);
    world.reconcile.run().await.expect_err("a fault");
    assert!(!world.accord.is_caught_up());
    assert_eq!(run(&world).await, "agreed");
    assert!(world.accord.is_caught_up());
    assert_eq!(world.signer.revocations().len(), 2);
}

fn retiring(world: &World) -> RetireSigner {
    RetireSigner {
        certificates: world.store.clone(),
        responders: world.store.clone(),
        revocations: world.store.clone(),
        signers: world.store.clone(),
        clock: world.clock.clone(),
        issuer: issuer_id(),
    }
}

/// A signer whose host burnt down, with two intents of which one was signed.
async fn burnt() -> (World, CertificateRecord, CertificateRecord) {
    let (world, ..) = bank().await;
    let mut records = Vec::new();
    world.register("hokkai-04", Role::General, Some(1_000_004)).await;
    for (id, serial, fault) in [(THIRD, 1_000_003, Fault::After), ("hokkai-04", 1_000_004, Fault::Before)] {
        let opened = world.opened(id, serial, id).await;
        world.signer.faults().order("sign_certificate", fault);
        let token = world.maker.token(&Statement::of(serial));
        world.certified(&opened, &token).await.expect_err("a fault");
        records.push(world.record(&opened).await);
    }
    let [signed, unsigned] = <[_; 2]>::try_from(records).expect("two");
    (world, signed, unsigned)
}

async fn state(world: &World, record: &CertificateRecord) -> CertificateState {
    let found = world.store.certificate(&issuer_id(), &record.serial).await.expect("the store");
    found.expect("a certificate").state
}

#[tokio::test]
async fn what_a_retired_signer_may_have_signed_is_dead() {
    let (world, signed, unsigned) = Box::pin(burnt()).await;
    let retire = retiring(&world);
    let (_, open) = retire.prepare(&signer_name()).await.expect("known");
    assert_eq!(open.len(), 2);
    let retired = retire.run(clerk(), &signer_name(), None).await.expect("retired");
    assert_eq!(retired.revoked, [signed.serial.clone(), unsigned.serial.clone()]);
    for record in [&signed, &unsigned] {
        let state = state(&world, record).await;
        assert!(matches!(state, CertificateState::Revoked { der: None, .. }), "{state:?}");
    }
    let again = retire.run(clerk(), &signer_name(), None).await;
    assert!(matches!(again, Err(RetireError::Already(_))), "{again:?}");
    let stranger = ca_core::domain::ids::SignerName::parse("stranger").expect("a name");
    assert!(matches!(retire.prepare(&stranger).await, Err(RetireError::Unknown(_))));
    assert_eq!(run(&world).await, "signer-retired", "should it come back");
    assert!(refusal(&world.restarted()).await.is_some());
}

#[tokio::test]
async fn a_copy_of_a_retired_signers_journal_saves_what_was_signed() {
    let (world, signed, unsigned) = Box::pin(burnt()).await;
    let retired = retiring(&world).run(clerk(), &signer_name(), Some(&world.reconcile)).await;
    let retired = retired.expect("retired");
    assert_eq!(retired.copy.expect("the copy").adopted, std::slice::from_ref(&signed.serial));
    assert_eq!(retired.revoked, std::slice::from_ref(&unsigned.serial));
    let adopted = state(&world, &signed).await;
    assert!(matches!(adopted, CertificateState::Issued { .. }), "{adopted:?}");

    let (world, ..) = Box::pin(burnt()).await;
    world.signer.cut_journal(1);
    let refused = retiring(&world).run(clerk(), &signer_name(), Some(&world.reconcile)).await;
    assert!(matches!(refused, Err(RetireError::Copy(_))), "an old copy: {refused:?}");
    let known = world.store.signers(&issuer_id()).await.expect("the store");
    assert!(known.iter().all(|signer| signer.retired_at.is_none()));
    let head = world.signer.journal(&issuer_id()).await.expect("the journal");
    assert_eq!(head.last.map(|last| last.sequence), Some(1));
}
