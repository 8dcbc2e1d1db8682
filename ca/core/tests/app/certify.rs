//! Step 2: evidence, refusals that last, repeats, R10; and step 3.

use ca_core::{
    app::enrol::{
        applicant::Caller,
        certify::{Certify, CertifyError},
        confirm::{Confirm, ConfirmError},
        open::OpenError,
        refusal::RefusalKind,
    },
    domain::{
        certificate::CertificateState, device::Assurance, policy::Reason, revocation::RevocationReason,
        user::Role, user::UserState, validity::ValidityError,
    },
    ports::store::CertificateStore,
};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use crate::{
    device::{Maker, Statement, Token},
    pki::Authority,
    world::{GENERAL, World, at, clerk, contract, key, user},
};

const SERIAL: u32 = 1_000_001;

#[tokio::test]
async fn a_genuine_token_gets_a_certificate_that_names_user_and_device() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, SERIAL).await;
    assert_eq!(record.user, user(GENERAL));
    assert_eq!(record.device.serial.as_str(), "1000001");
    assert_eq!(record.assurance, Assurance::AttestedWithPin);
    let evidence = world.store.evidence(record.intent).await.expect("the store").expect("evidence");
    assert_eq!(evidence.verdict, "accepted");
    assert!(evidence.decoded.contains("serial=1000001"));
    let actions = world.store.audit_actions();
    let expected = ["enrolment.opened", "certificate.intended", "certificate.issued"];
    assert_eq!(actions[actions.len() - 3..], expected);
    world.audit.run().await.expect("a whole chain");
}

/// Evidence of each kind of lie: the exact refusal, an audit row, no signature, no intent; and the same answer again.
#[tokio::test]
async fn refused_evidence_is_final_kept_and_never_signed() {
    type Make = fn(&World) -> Token;
    let cases: [(&str, RefusalKind, Make); 5] = [
        ("evidence-chain-signature", RefusalKind::Evidence, |_| Maker::new().token(&Statement::of(SERIAL))),
        ("evidence-wrong-device", RefusalKind::WrongDevice, |w| w.maker.token(&Statement::of(1_000_099))),
        ("evidence-pin-policy", RefusalKind::Evidence, |w| {
            w.maker.token(&Statement { pin_policy: 1, ..Statement::of(SERIAL) })
        }),
        ("evidence-wrong-slot", RefusalKind::Evidence, |w| {
            w.maker.token(&Statement { slot: "9e", ..Statement::of(SERIAL) })
        }),
        ("evidence-key-mismatch", RefusalKind::Evidence, |w| {
            let attested = w.maker.token(&Statement::of(SERIAL));
            Token { evidence: attested.evidence, ..w.maker.token(&Statement::of(SERIAL)) }
        }),
    ];
    for (code, kind, make) in cases {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "a").await;
        let token = make(&world);
        let error = world.certified(&opened, &token).await.expect_err(code);
        let CertifyError::Refused(refusal) = &error else { panic!("{code}: {error:?}") };
        assert_eq!((refusal.code.as_str(), refusal.kind()), (code, kind));
        assert!(world.last_row().contains(&format!("why={code}")), "{}", world.last_row());
        let kept = world.store.evidence(opened.enrolment.id).await.expect("the store").expect("evidence");
        assert_eq!(kept.verdict, code);

        let honest = world.maker.token(&Statement::of(SERIAL));
        let repeat = world.certified(&opened, &honest).await.expect_err("it is final");
        assert!(matches!(&repeat, CertifyError::Refused(again) if again == refusal), "{repeat:?}");
        let reopened = world.opening_fails(World::asked(GENERAL, SERIAL, "a")).await;
        assert!(matches!(reopened, OpenError::Refused(again) if again == *refusal));
        assert_eq!(world.signer.certificates_signed(), 0);
        assert!(world.store.certificates_of(&user(GENERAL)).await.expect("the store").is_empty());

        let fresh = world.opened(GENERAL, SERIAL, "b").await;
        world.certified(&fresh, &honest).await.expect("a new enrolment begins anew");
    }
}

#[tokio::test]
async fn a_request_in_another_name_and_a_replayed_challenge_are_refused() {
    let world = World::new().await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let first = world.opened(GENERAL, SERIAL, "a").await;
    let in_other_name = Certify { csr: token.request_as("hokkai-99"), ..World::certify_with(&first, &token) };
    let error = world.certify.run(in_other_name).await.expect_err("another user's name");
    assert!(matches!(&error, CertifyError::Refused(r) if r.code == "csr-subject"), "{error:?}");

    let second = world.opened(GENERAL, SERIAL, "b").await;
    let replayed = Certify {
        challenge_signature: token.answer(&first.enrolment.challenge),
        ..World::certify_with(&second, &token)
    };
    let error = world.certify.run(replayed).await.expect_err("another enrolment's challenge");
    assert!(
        matches!(&error, CertifyError::Refused(r) if r.code == "evidence-challenge-signature"),
        "{error:?}"
    );
    assert_eq!(world.signer.certificates_signed(), 0);
}

#[tokio::test]
async fn a_key_is_certified_once_whoever_asks_and_a_token_serves_one_user() {
    let world = World::new().await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    world.certified(&opened, &token).await.expect("a certificate");
    let serial = world.record(&opened).await.serial;
    world.revoke_serial(&serial, RevocationReason::Superseded).await;

    let again = world.opened(GENERAL, SERIAL, "b").await;
    let error = world.certified(&again, &token).await.expect_err("the same key");
    assert!(matches!(&error, CertifyError::Refused(r) if r.kind() == RefusalKind::DeviceInUse), "{error:?}");
    assert!(world.last_row().contains("why=device-in-use"));
    assert_eq!(world.signer.certificates_signed(), 1);
}

#[tokio::test]
async fn what_may_pass_later_is_not_final() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let error = world.certified(&opened, &token).await.expect_err("suspended");
    assert!(matches!(error, CertifyError::Policy(Reason::UserSuspended)), "{error:?}");
    assert!(world.last_row().contains("why=policy-user-suspended"));
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("resumed");
    world.certified(&opened, &token).await.expect("a certificate");
}

/// Rule 2: "refused, never shortened, if that is beyond the issuer's own notAfter".
#[tokio::test]
async fn rule_2_an_issuer_that_expires_first_refuses() {
    let world = World::empty(Authority::until(2027));
    world.reconcile.run().await.expect("ledger and journal agree");
    let new = ca_core::app::customers::NewContract {
        number: contract(),
        name: "北海商事".to_owned(),
        plan: ca_core::domain::contract::Plan::default(),
    };
    world.customers.register_contract(clerk(), new).await.expect("a contract");
    world.register(GENERAL, Role::General, Some(SERIAL)).await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let error = world.certified(&opened, &token).await.expect_err("the issuer expires");
    assert!(matches!(error, CertifyError::Validity(ValidityError::IssuerExpires { .. })), "{error:?}");
    assert!(world.last_row().contains("draft-issuer-expires"));
    assert_eq!(world.signer.certificates_signed(), 0);
}

#[tokio::test]
async fn bearer_key_and_expiry_guard_the_later_steps() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let command = || World::certify_with(&opened, &token);

    let error = world.certify.run(Certify { bearer: "x".repeat(43).into(), ..command() }).await;
    assert!(matches!(error, Err(CertifyError::Bearer)), "{error:?}");
    let error = world.certify.run(Certify { idempotency_key: key("other"), ..command() }).await;
    assert!(matches!(error, Err(CertifyError::IdempotencyKey)), "{error:?}");
    world.clock.advance(SignedDuration::from_mins(15));
    let error = world.certify.run(command()).await;
    assert!(matches!(error, Err(CertifyError::ChallengeExpired)), "{error:?}");
    assert_eq!(world.rows("certification.refused"), 3);

    let reopened = world.opened(GENERAL, SERIAL, "a").await;
    let stale = Certify { bearer: opened.bearer.clone(), ..World::certify_with(&reopened, &token) };
    assert!(matches!(world.certify.run(stale).await, Err(CertifyError::Bearer)));
    world.certified(&reopened, &token).await.expect("a certificate");
}

/// R10: the same idempotency key 50 times in parallel: one certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r10_fifty_parallel_repeats_lead_to_one_certificate() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (use_case, command) = (world.certify.clone(), World::certify_with(&opened, &token));
        tasks.spawn(async move { use_case.run(command).await });
    }
    let certificates: std::collections::BTreeSet<Vec<u8>> = tasks
        .join_all()
        .await
        .into_iter()
        .map(|result| result.expect("a certificate").certificate.der().to_vec())
        .collect();
    assert_eq!(certificates.len(), 1);
    assert_eq!(world.signer.certificates_signed(), 1);
    assert_eq!(world.rows("certificate.intended"), 1);
    assert_eq!(world.rows("certificate.issued"), 1);
}

/// Two enrolments of one user race: one certificate, the other refused for good (rule 1).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rule_1_two_enrolments_of_one_user_lead_to_one_certificate() {
    let world = World::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for opened in [world.opened(GENERAL, SERIAL, "a").await, world.opened(GENERAL, SERIAL, "b").await] {
        let token = world.maker.token(&Statement::of(SERIAL));
        let (use_case, command) = (world.certify.clone(), World::certify_with(&opened, &token));
        tasks.spawn(async move { use_case.run(command).await });
    }
    let (issued, refused): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((issued.len(), refused.len()), (1, 1));
    assert!(
        matches!(&refused[0], Err(CertifyError::Refused(r)) if r.kind() == RefusalKind::AlreadyCertified)
    );
    assert_eq!(world.signer.certificates_signed(), 1);
}

#[tokio::test]
async fn the_agent_confirms_what_it_read_back() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "a").await;
    let confirm = |sha256: [u8; 32]| Confirm {
        caller: Caller::Agent,
        enrolment: opened.enrolment.id,
        bearer: opened.bearer.clone(),
        idempotency_key: key("a"),
        certificate_sha256: sha256,
    };
    let early = world.confirm.run(confirm([0; 32])).await;
    assert!(matches!(early, Err(ConfirmError::NothingToConfirm)), "{early:?}");

    let token = world.maker.token(&Statement::of(SERIAL));
    let certified = world.certified(&opened, &token).await.expect("a certificate");
    let wrong = world.confirm.run(confirm([0; 32])).await;
    assert!(matches!(wrong, Err(ConfirmError::Mismatch)), "{wrong:?}");
    assert!(world.last_row().contains("why=confirmation-mismatch"));

    let right: [u8; 32] = Sha256::digest(certified.certificate.der()).into();
    for _ in 0..2 {
        world.confirm.run(confirm(right)).await.expect("confirmed");
    }
    let CertificateState::Issued { confirmed_at, .. } = world.record(&opened).await.state else {
        panic!("not issued")
    };
    assert_eq!(confirmed_at, Some(at("2026-11-24T10:00:00+09:00")));
    assert_eq!(world.rows("certificate.confirmed"), 1);
}
