//! Step 1: authentication, binding, hours, one per user, repeats.

use std::sync::Arc;

use async_trait::async_trait;
use ca_core::{
    app::{
        enrol::{
            certify::CertifyError,
            open::{OpenEnrolment, OpenError},
        },
        throttles::ThrottlePolicies,
    },
    domain::{
        policy::Reason,
        user::{PasswordHash, Role},
    },
    ports::{
        password::{Passwords, PasswordsBusy},
        store::CustomerStore,
    },
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    device::{Statement, device},
    world::{GENERAL, World, at, clerk, user},
};

#[tokio::test]
async fn an_assigned_token_opens_with_id_and_password_alone() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, 1_000_001, "a").await;
    assert!(opened.is_new);
    assert!(opened.certified.is_none());
    assert_eq!(opened.keys.first(), Some(&ca_x509::KeyKind::P256));
    assert_eq!(opened.bearer.expose_secret().len(), 43, "32 octets in base64url");
    assert_eq!(world.rows("enrolment.opened"), 1);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_and_cost_the_same() {
    let world = World::new().await;
    let mut wrong = World::asked(GENERAL, 1_000_001, "a");
    World::login_of(&mut wrong).password = "not my password".to_owned().into();
    let mut texts = Vec::new();
    for mut open in [wrong, World::asked("nobody-00", 1_000_001, "b"), World::asked("NOT AN ID\r\n", 1, "c")]
    {
        World::login_of(&mut open).source = format!("source of {}", open.user_id.trim());
        let before = (world.passwords.verified(), world.store.audit_rows().len());
        let error = world.opening_fails(open).await;
        assert!(matches!(error, OpenError::Authentication), "{error:?}");
        texts.push(error.to_string());
        let after = (world.passwords.verified(), world.store.audit_rows().len());
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "one verification, one row");
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

/// Rule 12, Binding: "a certificate without a valid predecessor needs user ID, password **and** either a token serial
/// that the bank (or the master) assigned to that user, or a one-time acquisition code".
#[tokio::test]
async fn rule_12_without_assignment_and_code_nothing_opens() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    for open in [World::asked("hokkai-02", 1_000_002, "a"), World::asked(GENERAL, 1_000_002, "b")] {
        assert!(matches!(world.opening_fails(open).await, OpenError::Authentication));
        assert!(world.last_row().starts_with("enrolment.refused"), "{}", world.last_row());
    }
    assert_eq!(world.rows("enrolment.opened"), 0);
}

#[tokio::test]
async fn rule_12_an_acquisition_code_binds_once() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    let code = world.issue_code("hokkai-02").await;
    let with_code = |key| {
        let mut open = World::asked("hokkai-02", 1_000_002, key);
        World::login_of(&mut open).acquisition_code =
            Some(code.expose_secret().to_lowercase().replace('-', " ").into());
        open
    };
    let first = world.open.run(with_code("a")).await.expect("an enrolment");
    let repeat = world.open.run(with_code("a")).await.expect("the same enrolment");
    assert_eq!(first.enrolment, repeat.enrolment);
    let error = world.opening_fails(with_code("b")).await;
    assert!(matches!(error, OpenError::Authentication), "a code is used once: {error:?}");
}

/// Rule 13: "Failures of the password at the public enrolment API throttle and burn the acquisition code; they never
/// lock the login".
#[tokio::test]
async fn rule_13_failures_throttle_and_burn_the_code_but_never_lock_the_login() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    let code = world.issue_code("hokkai-02").await;
    for attempt in 0..5 {
        let mut open = World::asked("hokkai-02", 1_000_002, &attempt.to_string());
        if attempt % 2 == 0 {
            World::login_of(&mut open).password = "not my password".to_owned().into();
        } else {
            World::login_of(&mut open).acquisition_code = Some("00000-00000-00000-00000".to_owned().into());
        }
        assert!(matches!(world.opening_fails(open).await, OpenError::Authentication));
        world.clock.advance(SignedDuration::from_mins(16));
    }
    assert_eq!(world.store.acquisition_code(&user("hokkai-02")).await.expect("the store"), None, "burnt");
    let mut open = World::asked("hokkai-02", 1_000_002, "right");
    World::login_of(&mut open).acquisition_code = Some(code);
    assert!(matches!(world.opening_fails(open).await, OpenError::Authentication));
    let locked_at = world.store.user(&user("hokkai-02")).await.expect("the store").expect("a user").locked_at;
    assert_eq!(locked_at, None, "never locked");

    let error = world.opening_fails(World::asked("hokkai-02", 1_000_002, "next")).await;
    let OpenError::Throttled { retry_at } = error else { panic!("{error:?}") };
    assert!(world.last_row().contains("why=throttled"));
    let verified = world.passwords.verified();
    world.opening_fails(World::asked("hokkai-02", 1_000_002, "next")).await;
    assert_eq!(world.passwords.verified(), verified, "a throttled attempt isn't looked at");
    world.clock.set(retry_at);
    let error = world.opening_fails(World::asked("hokkai-02", 1_000_002, "next")).await;
    assert!(matches!(error, OpenError::Authentication), "{error:?}");
}

/// Rule 3: "bank business days, 9:00 to 21:00 Japan time … Outside these hours the refusal says when it opens next."
#[tokio::test]
async fn rule_3_outside_the_hours_the_refusal_says_when_they_begin() {
    let world = World::new().await;
    world.clock.set(at("2026-11-22T10:00:00+09:00"));
    let error = world.opening_fails(World::asked(GENERAL, 1_000_001, "a")).await;
    let opens = Some(at("2026-11-24T09:00:00+09:00"));
    assert!(
        matches!(&error, OpenError::Policy(Reason::OutsideHours { opens_at }) if *opens_at == opens),
        "{error:?}"
    );
    assert!(world.last_row().contains("policy-outside-hours"));
}

/// Rule 1: "per user ID one *active* certificate"; rule 4: "No second certificate while one is valid".
#[tokio::test]
async fn rules_1_and_4_no_second_certificate_while_one_is_valid() {
    let world = World::new().await;
    world.enrol(GENERAL, 1_000_001).await;
    let error = world.opening_fails(World::asked(GENERAL, 1_000_001, "again")).await;
    assert!(matches!(error, OpenError::Policy(Reason::AlreadyCertified { .. })), "{error:?}");
    assert_eq!(world.signer.certificates_signed(), 1);
}

#[tokio::test]
async fn suspended_and_locked_users_obtain_nothing() {
    use ca_core::domain::user::UserState;
    let world = World::new().await;
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let error = world.opening_fails(World::asked(GENERAL, 1_000_001, "a")).await;
    assert!(matches!(error, OpenError::Policy(Reason::UserSuspended)), "{error:?}");
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("resumed");
    world.opened(GENERAL, 1_000_001, "a").await;
}

#[tokio::test]
async fn a_repeat_gets_the_same_challenge_and_bearer_and_a_fresh_one_after_expiry() {
    let world = World::new().await;
    let first = world.opened(GENERAL, 1_000_001, "a").await;
    let repeat = world.opened(GENERAL, 1_000_001, "a").await;
    assert!(!repeat.is_new);
    assert_eq!(repeat.enrolment, first.enrolment);
    assert_eq!(repeat.bearer.expose_secret(), first.bearer.expose_secret());

    world.clock.advance(SignedDuration::from_mins(15));
    let later = world.opened(GENERAL, 1_000_001, "a").await;
    assert_eq!(later.enrolment.id, first.enrolment.id);
    assert_ne!(later.enrolment.challenge, first.enrolment.challenge);
    assert_ne!(later.bearer.expose_secret(), first.bearer.expose_secret());
    assert_eq!(world.rows("enrolment.opened"), 1);
    assert_eq!(world.rows("enrolment.challenged-again"), 1);
}

#[tokio::test]
async fn a_repeat_after_success_returns_the_certificate_also_outside_the_hours() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, 1_000_001, "a").await;
    let token = world.maker.token(&Statement::of(1_000_001));
    let certified = world.certified(&opened, &token).await.expect("a certificate");
    world.clock.set(at("2026-11-24T23:00:00+09:00"));
    let again = world.opened(GENERAL, 1_000_001, "a").await;
    let record = again.certified.expect("the certificate");
    assert_eq!(record.der(), Some(certified.certificate.der()));
}

#[tokio::test]
async fn an_idempotency_key_serves_one_user_and_one_token() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    world.opened(GENERAL, 1_000_001, "a").await;
    let error = world.opening_fails(World::asked("hokkai-02", 1_000_002, "a")).await;
    assert!(matches!(error, OpenError::IdempotencyKey), "{error:?}");
    assert!(world.last_row().contains("idempotency-key-reused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_parallel_repeats_open_one_enrolment_with_one_code() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    let code = world.issue_code("hokkai-02").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut open = World::asked("hokkai-02", 1_000_002, "a");
        World::login_of(&mut open).acquisition_code = Some(code.clone());
        let use_case = world.open.clone();
        tasks.spawn(async move { use_case.run(open).await });
    }
    let mut seen = std::collections::BTreeSet::new();
    for result in tasks.join_all().await {
        let opened = result.expect("an enrolment");
        seen.insert((opened.enrolment.id, opened.bearer.expose_secret().to_owned()));
    }
    assert_eq!(seen.len(), 1);
    assert_eq!(world.rows("enrolment.opened"), 1);
}

/// Rule 13: what throttles attempts in a row throttles attempts at once.
#[tokio::test]
async fn rule_13_many_guesses_at_once_are_no_more_than_in_a_row() {
    let world = World::new().await;
    let together = Arc::new(VerifiedTogether(tokio::sync::Barrier::new(20)));
    let use_case = Arc::new(OpenEnrolment {
        customers: world.store.clone(),
        logins: world.store.clone(),
        certificates: world.store.clone(),
        audit: world.store.clone(),
        passwords: together,
        clock: world.clock.clone(),
        rng: world.open.rng.clone(),
        throttles: world.open.throttles.clone(),
        budget: world.open.budget.clone(),
        policies: world.open.policies.clone(),
        inventory: world.open.inventory.clone(),
        trust: world.open.trust.clone(),
        bearer_key: world.open.bearer_key.clone(),
        challenge_lifetime: world.open.challenge_lifetime,
        accord: world.accord.clone(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for guess in 0..20 {
        let use_case = use_case.clone();
        let open = World::asked(GENERAL, 1_000_001, &guess.to_string());
        tasks.spawn(async move { use_case.run(open).await.err() });
    }
    let looked_at =
        tasks.join_all().await.into_iter().filter(|e| matches!(e, Some(OpenError::Authentication))).count();
    assert_eq!(looked_at, 4, "three that cost nothing, and the one that costs");
}

/// Finds every password wrong, all of them at the same moment.
struct VerifiedTogether(tokio::sync::Barrier);

#[async_trait]
impl Passwords for VerifiedTogether {
    async fn hash(&self, _: SecretString) -> Result<PasswordHash, PasswordsBusy> {
        Err(PasswordsBusy)
    }

    async fn verify(&self, _: SecretString, _: Option<PasswordHash>) -> Result<bool, PasswordsBusy> {
        self.0.wait().await;
        Ok(false)
    }
}

/// Rule 12, Binding: who knows ID and password without token or code learns nothing, not even that the password is
/// right: text, status and throttling are those of a wrong one.
#[tokio::test]
async fn rule_12_a_right_password_without_binding_looks_like_a_wrong_one() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, None).await;
    world.opened(GENERAL, 1_000_001, "of-another").await;
    let code = world.issue_code("hokkai-02").await;
    for idempotency_key in ["a", "of-another", "b", "of-another"] {
        let error = world.opening_fails(World::asked("hokkai-02", 1_000_002, idempotency_key)).await;
        assert!(matches!(error, OpenError::Authentication), "{idempotency_key}: {error:?}");
    }
    let mut open = World::asked("hokkai-02", 1_000_002, "c");
    World::login_of(&mut open).acquisition_code = Some(code.clone());
    let error = world.opening_fails(open).await;
    let OpenError::Throttled { retry_at } = error else { panic!("{error:?}") };
    world.clock.set(retry_at);
    let mut open = World::asked("hokkai-02", 1_000_002, "c");
    World::login_of(&mut open).acquisition_code = Some(code);
    world.open.run(open).await.expect("none of it burnt the code");
}

/// Rule 12: an assignment that was taken away, or given to another token, binds no more, also not an enrolment that was
/// opened while it stood.
#[tokio::test]
async fn rule_12_an_assignment_that_was_taken_away_binds_no_more() {
    for other in [None, Some(1_000_007)] {
        let world = World::new().await;
        let opened = world.opened(GENERAL, 1_000_001, "a").await;
        let other = other.map(device);
        world.customers.assign_device(clerk(), &user(GENERAL), other.as_ref()).await.expect("changed");
        let token = world.maker.token(&Statement::of(1_000_001));
        let error = world.certified(&opened, &token).await.expect_err("not the user's token any more");
        assert!(matches!(error, CertifyError::Policy(Reason::TokenNotAssigned)), "{error:?}");
        assert!(world.last_row().contains("policy-token-not-assigned"), "{}", world.last_row());
        let error = world.opening_fails(World::asked(GENERAL, 1_000_001, "a")).await;
        assert!(matches!(error, OpenError::Authentication), "{error:?}");
        assert_eq!(world.signer.certificates_signed(), 0);

        let again = Some(device(1_000_001));
        world.customers.assign_device(clerk(), &user(GENERAL), again.as_ref()).await.expect("assigned");
        world.certified(&opened, &token).await.expect("the bank thought better of it");
    }
}

#[tokio::test]
async fn texts_that_are_no_id_are_throttled_by_their_source() {
    let world = World::new().await;
    let free = ThrottlePolicies::default().source.free_failures as usize;
    for attempt in 0..=free {
        let open = World::asked(&format!("{attempt} {}", "long".repeat(1000)), 1_000_001, "a");
        assert!(matches!(world.opening_fails(open).await, OpenError::Authentication));
    }
    let error = world.opening_fails(World::asked("NOT AN ID", 1_000_001, "a")).await;
    assert!(matches!(error, OpenError::Throttled { .. }), "{error:?}");
    for _ in 0..100 {
        world.opening_fails(World::asked("NOT AN ID", 1_000_001, "a")).await;
    }
    let refused = world.rows("enrolment.refused");
    assert_eq!(refused, free + 1 + 60, "the trail takes so many rows a minute of the throttled");
}
