//! 失効: who may revoke what, and that nothing is ever un-revoked.

use ca_core::{
    app::{
        revoke::{MASTER_REASONS, MasterRevocation, RevokeError, TargetRefusal},
        session::{Ended, SessionError},
    },
    domain::{
        certificate::CertificateState,
        contract::Plan,
        ids::{ContractNumber, SerialNumber},
        login::Reason,
        revocation::RevocationReason,
        user::Role,
    },
    ports::store::{CertificateStore, CustomerStore, RevokeOutcome},
    testing::Fault,
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::{
    pki::issuer_id,
    world::{CONFIRMATION, GENERAL, MASTER, PASSWORD, World, clerk, user},
};

fn request(targets: &[&str]) -> MasterRevocation {
    MasterRevocation {
        targets: targets.iter().map(|id| (*id).to_owned()).collect(),
        reason: RevocationReason::KeyCompromise.as_str().to_owned(),
        confirmation: CONFIRMATION.to_owned().into(),
    }
}

#[tokio::test]
async fn a_master_revokes_general_users_of_the_own_contract_and_no_one_else() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    world.enrol(MASTER, 1_000_000).await;
    world.register("hokkai-02", Role::General, None).await;
    let other = ContractNumber::parse("7654321").expect("a number");
    let new = ca_core::app::customers::NewContract {
        number: other.clone(),
        name: "他社".to_owned(),
        plan: Plan::default(),
    };
    world.customers.register_contract(clerk(), new).await.expect("a contract");
    let stranger = ca_core::app::customers::NewUser {
        id: user("stranger-1"),
        contract: other,
        role: Role::General,
        display_name: "他人".to_owned(),
        email: None,
    };
    world.customers.register_user(clerk(), stranger).await.expect("a user");

    let targets = [GENERAL, MASTER, "hokkai-02", "stranger-1", "nobody-00"];
    let results = world.revoke.by_master(&user(MASTER), request(&targets)).await.expect("results");
    let refusals: Vec<_> = results.iter().map(|line| line.result.as_ref().err().copied()).collect();
    assert_eq!(
        refusals,
        [
            None,
            Some(TargetRefusal::Master),
            Some(TargetRefusal::NothingToRevoke),
            Some(TargetRefusal::NotYours),
            Some(TargetRefusal::NotYours),
        ]
    );
    assert_eq!(world.rows("certificate.revoked"), 1);
    assert_eq!(world.rows("certificate.revoke-refused"), 4);
    assert_eq!(world.signer.revocations().len(), 1, "the journal has it");
    let state = world.store.certificate(&issuer_id(), &record.serial).await.expect("the store");
    assert!(matches!(state.expect("a row").state, CertificateState::Revoked { .. }));
}

/// Rule 10: "a second password of the master, asked for to execute a revocation".
#[tokio::test]
async fn rule_10_without_the_confirmation_password_nothing_is_revoked() {
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    for _ in 0..3 {
        let wrong =
            MasterRevocation { confirmation: "the wrong one".to_owned().into(), ..request(&[GENERAL]) };
        let error = world.revoke.by_master(&user(MASTER), wrong).await;
        assert!(matches!(error, Err(RevokeError::Confirmation)), "{error:?}");
    }
    let locked = world.store.user(&user(MASTER)).await.expect("the store").expect("a user");
    assert!(locked.locked_at.is_some(), "guessing locks");
    let error = world.revoke.by_master(&user(MASTER), request(&[GENERAL])).await;
    assert!(matches!(error, Err(RevokeError::NotPermitted)), "{error:?}");
    assert_eq!(world.rows("certificate.revoked"), 0);
    assert_eq!(world.rows("certificate.revoke-refused"), 4);
    assert_eq!(world.rows("user.locked"), 1);
}

/// Guessing the confirmation password with token and login password at hand: a login in between buys no more guesses,
/// and the lock ends the session.
#[tokio::test]
async fn a_login_does_not_forget_wrong_confirmation_passwords_nor_the_other_way_round() {
    let world = World::new().await;
    let der = world.enrol(MASTER, 1_000_000).await.der().expect("a certificate").to_vec();
    world.enrol(GENERAL, 1_000_001).await;
    let guess = || async {
        let wrong =
            MasterRevocation { confirmation: "the wrong one".to_owned().into(), ..request(&[GENERAL]) };
        world.revoke.by_master(&user(MASTER), wrong).await.expect_err("wrong")
    };
    let locked = || async {
        world.store.user(&user(MASTER)).await.expect("the store").expect("a user").locked_at.is_some()
    };

    // A right one of each kind forgets its own wrong ones ...
    for _ in 0..3 {
        guess().await;
        guess().await;
        world.logged_in(&der, "not my password").await.expect_err("wrong");
        world.logged_in(&der, "not my password").await.expect_err("wrong");
        world.revoke.by_master(&user(MASTER), request(&["hokkai-09"])).await.expect("accepted");
        world.logged_in(&der, PASSWORD).await.expect("a session");
    }
    assert!(!locked().await);
    // ... and not the other's.
    let mut session = world.logged_in(&der, PASSWORD).await.expect("a session");
    for _ in 0..2 {
        guess().await;
        session = world.logged_in(&der, PASSWORD).await.expect("a session");
    }
    guess().await;
    assert!(locked().await, "the third in a row, with logins in between");
    assert_eq!(world.rows("user.locked"), 1);
    let ended = world.sessions.run(session.session_token.expose_secret(), Some(&der)).await;
    assert!(
        matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(Reason::Locked)))),
        "the lock ends the session: {ended:?}"
    );
    let right = world.revoke.by_master(&user(MASTER), request(&[GENERAL])).await;
    assert!(matches!(right, Err(RevokeError::NotPermitted)), "{right:?}");

    world.customers.unlock(clerk(), &user(MASTER)).await.expect("unlocked");
    for _ in 0..2 {
        world.logged_in(&der, "not my password").await.expect_err("wrong");
        world.revoke.by_master(&user(MASTER), request(&["hokkai-09"])).await.expect("accepted");
    }
    world.logged_in(&der, "not my password").await.expect_err("wrong");
    assert!(locked().await, "confirmations forget no wrong login password");
}

#[tokio::test]
async fn general_users_revoke_nobody_and_masters_give_only_their_reasons() {
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    let error = world.revoke.by_master(&user(GENERAL), request(&[GENERAL])).await;
    assert!(matches!(error, Err(RevokeError::NotPermitted)), "{error:?}");
    let not_theirs = RevocationReason::ALL.into_iter().filter(|reason| !MASTER_REASONS.contains(reason));
    let unknown = ["", "7", "(7)", "certificateHold", "removeFromCRL", "KeyCompromise"];
    for reason in not_theirs.map(RevocationReason::as_str).chain(unknown) {
        let request = MasterRevocation { reason: reason.to_owned(), ..request(&[GENERAL]) };
        let error = world.revoke.by_master(&user(MASTER), request).await;
        assert!(matches!(error, Err(RevokeError::Reason)), "{reason:?}: {error:?}");
        assert!(world.last_row().ends_with("why=revoke-reason"), "{}", world.last_row());
    }
    let error = world.revoke.by_master(&user(MASTER), request(&[])).await;
    assert!(matches!(error, Err(RevokeError::Targets)), "{error:?}");
    assert_eq!(world.rows("certificate.revoked"), 0);
}

/// A list that can't be read whole isn't half done.
#[tokio::test]
async fn one_that_is_no_user_id_spoils_the_list() {
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    for bent in ["", " hokkai-02", "HOKKAI-02", "hokkai-02\n", "<b>"] {
        let error = world.revoke.by_master(&user(MASTER), request(&[GENERAL, bent])).await;
        assert!(matches!(error, Err(RevokeError::MalformedTarget)), "{bent:?}: {error:?}");
        assert!(world.last_row().ends_with("why=revoke-malformed-user"), "{}", world.last_row());
    }
    let many: Vec<String> = (0..101).map(|n| format!("user-{n:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = world.revoke.by_master(&user(MASTER), request(&many)).await;
    assert!(matches!(error, Err(RevokeError::Targets)), "{error:?}");
    assert_eq!(world.rows("certificate.revoked"), 0);
    let results = world.revoke.by_master(&user(MASTER), request(&[GENERAL, GENERAL])).await;
    assert_eq!(results.expect("results").len(), 1, "each once");
}

#[tokio::test]
async fn a_revocation_keeps_its_time_and_reason_for_ever() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    let revoke = |reason| world.revoke.by_serial(clerk(), &record.issuer, &record.serial, reason);
    let first = revoke(RevocationReason::KeyCompromise).await.expect("revoked");
    let RevokeOutcome::Revoked(first) = first else { panic!("{first:?}") };
    world.clock.advance(SignedDuration::from_hours(1));
    let again = revoke(RevocationReason::Superseded).await.expect("the store");
    assert_eq!(again, RevokeOutcome::Already(first));

    let unknown = SerialNumber::from_bytes(&[0x42; 16]).expect("a number");
    let outcome =
        world.revoke.by_serial(clerk(), &record.issuer, &unknown, RevocationReason::Superseded).await;
    assert_eq!(outcome.expect("the store"), RevokeOutcome::Unknown);
    assert_eq!(world.rows("certificate.revoke-refused"), 1);
}

#[tokio::test]
async fn the_ledger_counts_even_while_the_signer_is_away_and_the_crl_job_catches_up() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    for fault in [Fault::Before, Fault::After] {
        world.signer.faults().order("signer_revoke", fault);
    }
    let outcome = world.revoke.by_user(clerk(), &user(GENERAL), RevocationReason::AffiliationChanged).await;
    assert_eq!(outcome.expect("the ledger").expect("revoked").len(), 1);
    assert!(world.publish.run().await.is_err(), "the second fault");
    let crl = world.publish.run().await.expect("a CRL").expect("due");
    assert_eq!(crl.entries, 1);
    assert_eq!(world.signer.revocations()[0].serial, record.serial);
    assert_eq!(world.signer.revocations().len(), 1);
}

/// Rule 4: "失効 then re-obtain".
#[tokio::test]
async fn rule_4_after_a_revocation_the_user_obtains_anew() {
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    world.revoke_user(GENERAL, RevocationReason::Superseded).await;
    let opened = world.opened(GENERAL, 1_000_001, "anew").await;
    let token = world.maker.token(&crate::device::Statement::of(1_000_001));
    world.certified(&opened, &token).await.expect("a certificate");
    let unknown = world.revoke.by_user(clerk(), &user("nobody-00"), RevocationReason::Superseded).await;
    assert!(matches!(unknown, Err(RevokeError::UnknownUser)), "{unknown:?}");
}
