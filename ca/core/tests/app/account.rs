//! A user's own account: password changes and 緊急停止.

use ca_core::{
    app::{
        account::{AccountError, PasswordChange},
        login::LoginError,
        password_policy::WeakPassword,
        session::{ActiveSession, Ended, SessionError},
    },
    domain::{
        login::Reason,
        user::{PasswordKind, UserState},
    },
    ports::store::CustomerStore,
};
use secrecy::ExposeSecret;

use crate::world::{CONFIRMATION, GENERAL, MASTER, PASSWORD, World, clerk, user};

const NEW: &str = "another horse, another battery";

/// A user's session with its token.
async fn session(world: &World, der: &[u8]) -> (String, ActiveSession) {
    let opened = world.logged_in(der, PASSWORD).await.expect("a login");
    let token = opened.session_token.expose_secret().to_owned();
    let active = world.sessions.run(&token, Some(der)).await.expect("a session");
    (token, active)
}

fn change(kind: PasswordKind, current: &str, new: &str) -> PasswordChange {
    PasswordChange { kind, current: current.to_owned().into(), new: new.to_owned().into() }
}

#[tokio::test]
async fn a_changed_password_is_the_only_one_and_ends_every_other_session() {
    let world = World::new().await;
    let der = world.enrol(GENERAL, 1_000_001).await.der().expect("a certificate").to_vec();
    let (other, _) = session(&world, &der).await;
    let (token, active) = session(&world, &der).await;
    let login = change(PasswordKind::Login, PASSWORD, NEW);
    world.account.change_password(&active.session, login).await.expect("changed");
    assert_eq!(world.rows("user.password-changed"), 1);
    world.sessions.run(&token, Some(&der)).await.expect("this session goes on");
    let gone = world.sessions.run(&other, Some(&der)).await;
    assert!(matches!(gone, Err(SessionError::Unknown)), "{gone:?}");
    let old = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(old, Err(LoginError::Refused)), "the old password still opens: {old:?}");
    world.logged_in(&der, NEW).await.expect("the new one opens");
    let rows = world.store.audit_rows();
    assert!(rows.iter().all(|row| !row.details.contains(NEW) && !row.details.contains(PASSWORD)));
}

#[tokio::test]
async fn the_present_password_is_asked_for_and_guessing_it_locks() {
    let world = World::new().await;
    let der = world.enrol(GENERAL, 1_000_001).await.der().expect("a certificate").to_vec();
    let (token, active) = session(&world, &der).await;
    for _ in 0..3 {
        let guess = change(PasswordKind::Login, "not my password", NEW);
        let error = world.account.change_password(&active.session, guess).await;
        assert!(matches!(error, Err(AccountError::WrongPassword)), "{error:?}");
    }
    assert_eq!((world.rows("user.password-refused"), world.rows("user.locked")), (3, 1));
    let ended = world.sessions.run(&token, Some(&der)).await;
    assert!(matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(Reason::Locked)))), "{ended:?}");
    let late =
        world.account.change_password(&active.session, change(PasswordKind::Login, PASSWORD, NEW)).await;
    assert!(matches!(late, Err(AccountError::NotPermitted)), "{late:?}");
    assert_eq!(world.rows("user.password-changed"), 0);
}

#[tokio::test]
async fn a_new_password_keeps_the_rules_and_differs_from_what_was() {
    let world = World::new().await;
    let der = world.enrol(MASTER, 1_000_000).await.der().expect("a certificate").to_vec();
    let (_, active) = session(&world, &der).await;
    let (login, confirmation) = (PasswordKind::Login, PasswordKind::Confirmation);
    for (kind, current, new, why) in [
        (login, PASSWORD, "short", WeakPassword::Length),
        (login, PASSWORD, PASSWORD, WeakPassword::SameAsBefore),
        (login, PASSWORD, CONFIRMATION, WeakPassword::SameAsOther),
        (confirmation, CONFIRMATION, PASSWORD, WeakPassword::SameAsOther),
        (confirmation, CONFIRMATION, "hokkai-master-again", WeakPassword::ContainsUserId),
    ] {
        let error = world.account.change_password(&active.session, change(kind, current, new)).await;
        assert!(matches!(error, Err(AccountError::Weak(found)) if found == why), "{new}: {error:?}");
    }
    assert_eq!(world.rows("user.password-refused"), 5);
    let good = change(confirmation, CONFIRMATION, NEW);
    world.account.change_password(&active.session, good).await.expect("changed");
}

/// Rule 10: only a master has a confirmation password.
#[tokio::test]
async fn rule_10_a_general_user_has_no_confirmation_password_to_change() {
    let world = World::new().await;
    let der = world.enrol(GENERAL, 1_000_001).await.der().expect("a certificate").to_vec();
    let (_, active) = session(&world, &der).await;
    let asked = change(PasswordKind::Confirmation, PASSWORD, NEW);
    let error = world.account.change_password(&active.session, asked).await;
    assert!(matches!(error, Err(AccountError::NotPermitted)), "{error:?}");
}

/// Rule 14: "A user can stop their own ID at any hour (緊急停止); only the branch (or the master, for a general user) lifts it."
#[tokio::test]
async fn rule_14_a_user_stops_the_own_id_at_any_hour() {
    let world = World::new().await;
    let der = world.enrol(GENERAL, 1_000_001).await.der().expect("a certificate").to_vec();
    // A Sunday night.
    world.clock.set(crate::world::at("2026-11-29T23:30:00+09:00"));
    let (token, _) = session(&world, &der).await;
    for _ in 0..2 {
        world.account.stop(&user(GENERAL)).await.expect("stopped, once or twice");
    }
    let stopped = world.store.user(&user(GENERAL)).await.expect("the store").expect("a user");
    assert_eq!(stopped.state, UserState::Suspended);
    let ended = world.sessions.run(&token, Some(&der)).await;
    assert!(
        matches!(ended, Err(SessionError::Ended(Ended::NoLongerGood(Reason::AccountClosed)))),
        "{ended:?}"
    );
    let back = world.logged_in(&der, PASSWORD).await;
    assert!(matches!(back, Err(LoginError::Refused)), "{back:?}");
    assert!(world.last_row().contains("login-account-closed"), "{}", world.last_row());
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("lifted");
    world.logged_in(&der, PASSWORD).await.expect("a login");
}
