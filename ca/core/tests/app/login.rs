//! 電子証明書ログイン and the session: rule 7, locking, and a session that ends with its certificate.

use ca_core::{
    app::{
        login::{Login, LoginError},
        revoke::{MasterRevocation, RevokeError},
        session::{Ended, SessionError, csrf_token},
    },
    domain::{
        certificate::CertificateState,
        login::Reason,
        revocation::RevocationReason,
        user::{PasswordKind, Role, UserState},
    },
    ports::{
        clock::Clock,
        store::{CertificateStore, CustomerStore},
    },
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::device::Statement;
use crate::world::{ATTEMPTS, CONFIRMATION, GENERAL, MASTER, PASSWORD, SOURCE, World, at, clerk, user};

async fn enrolled(world: &World, id: &str, serial: u32) -> Vec<u8> {
    world.enrol(id, serial).await.der().expect("a certificate").to_vec()
}

#[tokio::test]
async fn certificate_and_password_open_a_session_and_confirm_the_certificate() {
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    let session = world.logged_in(&der, PASSWORD).await.expect("a session");
    let token = session.session_token.expose_secret();
    let active = world.sessions.run(token, Some(&der)).await.expect("an active session");
    assert_eq!(active.user.id, user(GENERAL));
    assert!(active.csrf_matches(&csrf_token(token)));
    assert!(!active.csrf_matches(token));
    let record = world.store.certificates_of(&user(GENERAL)).await.expect("the store").remove(0);
    assert!(matches!(record.state, CertificateState::Issued { confirmed_at: Some(_), .. }));

    world.log_out.run(token).await.expect("logged out");
    let after = world.sessions.run(token, Some(&der)).await;
    assert!(matches!(after, Err(SessionError::Unknown)), "{after:?}");
    assert_eq!((world.rows("login.admitted"), world.rows("session.closed")), (1, 1));
}

/// Rule 7: "Stolen ID + password without the token: refused. Token without password: refused. Another user's
/// certificate with my password: refused."
#[tokio::test]
async fn rule_7_certificate_password_and_id_must_be_one_users() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    let own = enrolled(&world, GENERAL, 1_000_001).await;
    let others = enrolled(&world, "hokkai-02", 1_000_002).await;
    world.set_password("hokkai-02", PasswordKind::Login, "another good password").await;

    let attempt = |certificate: Option<&Vec<u8>>, login_id: Option<&str>, password: &str| Login {
        certificate: certificate.cloned(),
        login_id: login_id.map(str::to_owned),
        password: password.to_owned().into(),
        source: SOURCE.to_owned(),
    };
    let mut texts = Vec::new();
    for login in [
        attempt(Some(&own), None, "not my password"),
        attempt(Some(&others), None, PASSWORD),
        attempt(Some(&others), Some(GENERAL), PASSWORD),
        attempt(Some(&own), Some("nobody-00"), PASSWORD),
        attempt(Some(&own), Some("NOT AN ID"), PASSWORD),
    ] {
        let (rows, verified) = (world.rows("login.refused"), world.passwords.verified());
        let error = world.log_in.run(login).await.expect_err("refused");
        assert!(matches!(error, LoginError::Refused), "{error:?}");
        texts.push(error.to_string());
        assert_eq!(world.rows("login.refused"), rows + 1);
        assert_eq!(world.passwords.verified(), verified + 1, "one verification each");
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "one text for all");
    let verified = world.passwords.verified();
    let none = world.log_in.run(attempt(None, Some(GENERAL), PASSWORD)).await;
    assert_eq!(world.passwords.verified(), verified, "strangers keep no verification busy");
    assert!(matches!(none, Err(LoginError::Certificate(Reason::NoCertificate))), "{none:?}");
    world.log_in.run(attempt(Some(&own), Some(GENERAL), PASSWORD)).await.expect("the right three");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_ledgers_says_nothing_about_a_user() {
    let world = World::new().await;
    let mut der = enrolled(&world, GENERAL, 1_000_001).await;
    let last = der.len() - 1;
    der[last] ^= 1;
    let error = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(error, Err(LoginError::Certificate(Reason::UnknownCertificate))), "{error:?}");
    let garbage = world.logged_in(b"garbage", PASSWORD).await;
    assert!(matches!(garbage, Err(LoginError::Certificate(Reason::UnknownCertificate))), "{garbage:?}");
}

#[tokio::test]
async fn wrong_passwords_lock_and_the_lock_looks_like_a_wrong_password() {
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    for _ in 0..3 {
        world.logged_in(&der, "not my password").await.expect_err("wrong");
    }
    let locked = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(locked, Err(LoginError::Refused)), "{locked:?}");
    assert!(world.last_row().contains("login-locked"), "{}", world.last_row());
    world.customers.unlock(clerk(), &user(GENERAL)).await.expect("unlocked");
    world.logged_in(&der, PASSWORD).await.expect("a session");
}

#[tokio::test]
async fn a_revocation_ends_the_live_session_and_the_next_login() {
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    let session = world.logged_in(&der, PASSWORD).await.expect("a session");
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    let token = session.session_token.expose_secret();
    let ended = world.sessions.run(token, Some(&der)).await;
    assert!(matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(Reason::Revoked)))), "{ended:?}");
    assert_eq!(world.rows("session.ended"), 1);
    let gone = world.sessions.run(token, Some(&der)).await;
    assert!(matches!(gone, Err(SessionError::Unknown)), "{gone:?}");
    let login = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(login, Err(LoginError::Certificate(Reason::Revoked))), "{login:?}");
}

#[tokio::test]
async fn a_session_ends_by_suspension_idleness_age_and_expiry() {
    type End = (&'static str, SignedDuration, u32);
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    let idle: End = ("idle", SignedDuration::from_mins(11), 1);
    let old: End = ("old", SignedDuration::from_mins(9), 54);
    for (case, step, steps) in [idle, old] {
        let session = world.logged_in(&der, PASSWORD).await.expect("a session");
        let token = session.session_token.expose_secret().to_owned();
        for _ in 1..steps {
            world.clock.advance(step);
            world.sessions.run(&token, Some(&der)).await.expect(case);
        }
        world.clock.advance(step);
        let ended = world.sessions.run(&token, Some(&der)).await;
        let expected = if case == "idle" { Ended::Idle } else { Ended::TooOld };
        assert!(matches!(ended, Err(SessionError::Ended(found)) if found == expected), "{case}: {ended:?}");
    }

    let session = world.logged_in(&der, PASSWORD).await.expect("a session");
    let token = session.session_token.expose_secret();
    let other = world.sessions.run(token, Some(b"another certificate")).await;
    assert!(matches!(other, Err(SessionError::Ended(Ended::OtherCertificate))), "{other:?}");
    assert!(world.last_row().starts_with("session.refused"), "{}", world.last_row());
    world.sessions.run(token, Some(&der)).await.expect("its own connection keeps it");
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let ended = world.sessions.run(token, Some(&der)).await;
    assert!(
        matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(Reason::AccountClosed)))),
        "{ended:?}"
    );

    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("resumed");
    world.clock.set(at("2027-11-24T23:59:59+09:00"));
    world.logged_in(&der, PASSWORD).await.expect("rule 2: valid to the last second of the day");
    world.clock.advance(SignedDuration::from_secs(1));
    let expired = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(expired, Err(LoginError::Certificate(Reason::Expired))), "{expired:?}");
    assert_eq!(world.sessions.sweep().await.expect("the store"), 0, "that session is two seconds old");
    world.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(world.sessions.sweep().await.expect("the store"), 1);
}

/// Certificate, account and clock are asked at every request of a live session: whatever ends the right to act ends the
/// session, once, with its reason in the trail.
#[tokio::test]
async fn whatever_ends_the_right_to_act_ends_the_live_session() {
    type Act = for<'w> fn(&'w World) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'w>>;
    let cases: [(Reason, Act); 5] = [
        (Reason::AccountClosed, |w| Box::pin(async { set_state(w, UserState::Suspended).await })),
        (Reason::Locked, |w| {
            Box::pin(async {
                for _ in 0..3 {
                    let der = w.store.certificates_of(&user(GENERAL)).await.expect("the store").remove(0);
                    let der = der.der().expect("a certificate").to_vec();
                    w.logged_in(&der, "not my password").await.expect_err("wrong");
                }
            })
        }),
        (Reason::Revoked, |w| Box::pin(w.revoke_user(GENERAL, RevocationReason::KeyCompromise))),
        (Reason::Superseded, |w| Box::pin(w.revoke_user(GENERAL, RevocationReason::Superseded))),
        (Reason::Expired, |w| Box::pin(async { w.clock.advance(SignedDuration::from_secs(2)) })),
    ];
    for (reason, act) in cases {
        let world = World::new().await;
        let der = enrolled(&world, GENERAL, 1_000_001).await;
        if reason == Reason::Expired {
            world.clock.set(at("2027-11-24T23:59:58+09:00"));
        }
        let session = world.logged_in(&der, PASSWORD).await.expect("a session");
        let token = session.session_token.expose_secret();
        world.sessions.run(token, Some(&der)).await.expect("it lives");
        act(&world).await;
        let ended = world.sessions.run(token, Some(&der)).await;
        assert!(
            matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(found))) if found == reason),
            "{reason:?}: {ended:?}"
        );
        assert!(world.last_row().contains(reason.code()), "{}", world.last_row());
        let gone = world.sessions.run(token, Some(&der)).await;
        assert!(matches!(gone, Err(SessionError::Unknown)), "{reason:?}: {gone:?}");
    }
    // Who is removed has no session left to end.
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    let session = world.logged_in(&der, PASSWORD).await.expect("a session");
    set_state(&world, UserState::Removed).await;
    let gone = world.sessions.run(session.session_token.expose_secret(), Some(&der)).await;
    assert!(matches!(gone, Err(SessionError::Unknown)), "{gone:?}");
}

async fn set_state(world: &World, state: UserState) {
    world.customers.set_state(clerk(), &user(GENERAL), state).await.expect("the state");
}

/// Strangers without a certificate can fill neither the trail nor the disk.
#[tokio::test]
async fn visitors_without_a_certificate_write_so_many_rows_a_minute() {
    let world = World::new().await;
    let stranger = || Login {
        certificate: None,
        login_id: None,
        password: PASSWORD.to_owned().into(),
        source: SOURCE.to_owned(),
    };
    for _ in 0..100 {
        world.log_in.run(stranger()).await.expect_err("no certificate");
    }
    assert_eq!(world.rows("login.refused"), 60);
    world.clock.advance(SignedDuration::from_mins(1));
    world.log_in.run(stranger()).await.expect_err("no certificate");
    assert_eq!(world.rows("login.refused"), 61);
    assert!(world.last_row().contains("unwritten_before=40"), "{}", world.last_row());
}

fn too_often<T: std::fmt::Debug>(answer: Result<T, LoginError>) -> jiff::Timestamp {
    match answer {
        Err(LoginError::TooOften { retry_at }) => retry_at,
        other => panic!("{other:?}"),
    }
}

/// Whoever holds a good certificate can't keep the verification of passwords busy, be they right, wrong or of somebody who
/// is locked; what is turned away is not looked at, written so many times a minute, and counts as no wrong password.
#[tokio::test]
async fn a_user_has_so_many_attempts_and_then_one_at_a_time_whatever_the_password() {
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    for attempt in 0..ATTEMPTS.at_once {
        // Two wrong ones, then right ones: nobody is locked.
        let password = if attempt < 2 { "not my password" } else { PASSWORD };
        assert_eq!(world.logged_in(&der, password).await.is_ok(), attempt >= 2);
    }
    let (verified, rows) = (world.passwords.verified(), world.rows("login.refused"));
    let next = world.clock.now() + ATTEMPTS.every;
    for n in 0..200 {
        let password = if n % 2 == 0 { PASSWORD } else { "not my password" };
        assert_eq!(too_often(world.logged_in(&der, password).await), next, "hammering prolongs nothing");
    }
    assert_eq!(world.passwords.verified(), verified, "none was looked at");
    assert_eq!(world.rows("login.refused"), rows + 60, "and the trail has room for others");
    assert!(world.last_row().contains("login-too-often"), "{}", world.last_row());
    let locked_at = world.store.user(&user(GENERAL)).await.expect("the store").expect("a user").locked_at;
    assert_eq!(locked_at, None, "nor did it lock anybody");
    world.clock.set(next);
    world.logged_in(&der, PASSWORD).await.expect("a session");
    too_often(world.logged_in(&der, PASSWORD).await);
}

/// A locked or suspended ID is turned away in the same way: the answer says nothing of the account.
#[tokio::test]
async fn the_limit_says_nothing_of_the_account() {
    for state in [UserState::Active, UserState::Suspended, UserState::Removed] {
        let world = World::new().await;
        let der = enrolled(&world, GENERAL, 1_000_001).await;
        set_state(&world, state).await;
        let verified = world.passwords.verified();
        for _ in 0..ATTEMPTS.at_once {
            let refused = world.logged_in(&der, "not my password").await;
            assert!(matches!(refused, Err(LoginError::Refused)), "{state:?}: {refused:?}");
        }
        assert_eq!(world.passwords.verified(), verified + ATTEMPTS.at_once, "{state:?}");
        assert_eq!(too_often(world.logged_in(&der, PASSWORD).await), world.clock.now() + ATTEMPTS.every);
    }
}

/// Attempts are the user's own: others have theirs, also at the same address, and a token that is revoked or superseded
/// uses up none of its former user's and costs no verification.
#[tokio::test]
async fn nobody_uses_up_another_users_attempts() {
    let world = World::new().await;
    world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    let lost = enrolled(&world, GENERAL, 1_000_001).await;
    let colleague = enrolled(&world, "hokkai-02", 1_000_002).await;
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    let opened = world.opened(GENERAL, 1_000_001, "again").await;
    let token = world.maker.token(&Statement::of(1_000_001));
    world.certified(&opened, &token).await.expect("a certificate");
    let own = world.record(&opened).await.der().expect("a certificate").to_vec();
    let verified = world.passwords.verified();
    for _ in 0..100 {
        let refused = world.logged_in(&lost, "a guess").await;
        assert!(matches!(refused, Err(LoginError::Certificate(Reason::Revoked))), "{refused:?}");
    }
    assert_eq!(world.passwords.verified(), verified, "the finder of a token costs nothing");
    for _ in 0..100 {
        let _ = world.logged_in(&colleague, "a guess").await;
    }
    too_often(world.logged_in(&colleague, PASSWORD).await);
    world.logged_in(&own, PASSWORD).await.expect("a session");
}

/// The passwords that are asked for again after the login are of the same number.
#[tokio::test]
async fn a_master_who_confirms_too_often_waits_and_isnt_locked() {
    let world = World::new().await;
    let der = enrolled(&world, MASTER, 1_000_000).await;
    let revoke = async || {
        let request = MasterRevocation {
            targets: vec![GENERAL.to_owned()],
            reason: "unspecified".to_owned(),
            confirmation: CONFIRMATION.to_owned().into(),
        };
        world.revoke.by_master(&user(MASTER), request).await
    };
    for _ in 0..ATTEMPTS.at_once {
        revoke().await.expect("an answer for each");
    }
    let refused = revoke().await;
    assert!(matches!(refused, Err(RevokeError::TooOften { .. })), "{refused:?}");
    assert!(world.last_row().contains("user.password-throttled"), "{}", world.last_row());
    too_often(world.logged_in(&der, PASSWORD).await);
    world.clock.advance(ATTEMPTS.every);
    world.logged_in(&der, PASSWORD).await.expect("a session");
}

/// Who logged in from an address isn't held up there by what others do at the enrolment API.
#[tokio::test]
async fn a_login_acquaints_the_user_with_the_address() {
    let world = World::new().await;
    let der = enrolled(&world, GENERAL, 1_000_001).await;
    let (now, elsewhere) = (world.clock.now(), "203.0.113.1");
    world.log_in.throttles.failed(None, SOURCE, now);
    for n in 0..100 {
        let sprayed = user(&format!("sprayed-{n}"));
        for source in [SOURCE, elsewhere] {
            world.log_in.throttles.failed(Some(&sprayed), source, now);
        }
    }
    world.logged_in(&der, PASSWORD).await.expect("a session");
    let blocked = |source| world.log_in.throttles.blocked_until(Some(&user(GENERAL)), source, now).is_some();
    assert!(!blocked(SOURCE) && blocked(elsewhere));
}
