//! Passwords and sessions.

use ca_core::{
    domain::{
        revocation::RevocationReason,
        user::{PasswordHash, PasswordKind, UserState},
    },
    ports::store::{Conflict, LoginEntry, PasswordBy, Session},
};

use crate::samples::{
    Ledger, at, complete, customers, device, digest, event, intend, issue, issuer, refused, serial, user_id,
    verified_actions,
};

fn session(n: u32, token: u32, opened: i64) -> Session {
    Session {
        token_sha256: digest(5, token),
        csrf_sha256: digest(6, token),
        user: user_id(n),
        issuer: issuer(),
        serial: serial(n),
        opened_at: at(opened),
        last_used_at: at(opened),
    }
}

pub async fn passwords_are_apart_by_kind(store: impl Ledger) {
    customers(&store, 0).await;
    let hash = |text: &str| PasswordHash::from_phc(format!("$argon2id$v=19$m=8,t=1,p=1${text}"));
    let set = |n, kind, text: &'static str| {
        let (store, hash) = (&store, hash(text));
        async move {
            store.set_password(&user_id(n), kind, &hash, PasswordBy::Operator, event("password.set")).await
        }
    };
    refused(set(8, PasswordKind::Login, "a").await, Conflict::Missing);
    set(0, PasswordKind::Login, "a").await.expect("set");
    assert_eq!(store.password(&user_id(0), PasswordKind::Confirmation).await.expect("a query"), None);
    set(0, PasswordKind::Confirmation, "b").await.expect("set");
    set(0, PasswordKind::Login, "c").await.expect("set again");
    assert_eq!(store.password(&user_id(0), PasswordKind::Login).await.expect("a query"), Some(hash("c")));
    assert_eq!(
        store.password(&user_id(0), PasswordKind::Confirmation).await.expect("a query"),
        Some(hash("b"))
    );
}

/// What somebody else hands over is an initial one, until the user or the operator sets another.
pub async fn initial_passwords_are_known_until_they_are_changed(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    store.open_session(&session(1, 1, 10), event("login")).await.expect("a session");
    let set = |kind, by| {
        let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$x".to_owned());
        let store = &store;
        async move { store.set_password(&user_id(1), kind, &hash, by, event("password.set")).await }
    };
    let initial = async || store.initial_passwords(&user_id(1)).await.expect("a query");
    assert_eq!(initial().await, []);
    set(PasswordKind::Login, PasswordBy::Operator).await.expect("set");
    assert_eq!(initial().await, []);
    set(PasswordKind::Login, PasswordBy::Issuer).await.expect("set");
    set(PasswordKind::Confirmation, PasswordBy::Issuer).await.expect("set");
    let mut both = initial().await;
    both.sort_by_key(|kind| kind.as_str());
    assert_eq!(both, [PasswordKind::Confirmation, PasswordKind::Login]);
    assert_eq!(store.initial_passwords(&user_id(0)).await.expect("a query"), []);
    store.open_session(&session(1, 2, 20), event("login")).await.expect("a session");
    set(PasswordKind::Login, PasswordBy::User(digest(5, 2))).await.expect("the user's own");
    assert_eq!(initial().await, [PasswordKind::Confirmation]);
}

pub async fn wrong_passwords_lock_and_the_branch_unlocks(store: impl Ledger) {
    customers(&store, 1).await;
    let wrong = |n, kind, now| {
        let store = &store;
        async move { store.count_wrong_password(&user_id(n), kind, at(now), 3, event("login.wrong")).await }
    };
    let locked_at = || async { store.user(&user_id(1)).await.expect("a query").expect("the user").locked_at };
    refused(wrong(8, PasswordKind::Login, 0).await, Conflict::Missing);
    assert_eq!(wrong(1, PasswordKind::Login, 1).await.expect("counted"), 1);
    assert_eq!(wrong(1, PasswordKind::Confirmation, 1).await.expect("counted"), 1);
    assert_eq!(wrong(1, PasswordKind::Login, 2).await.expect("counted"), 2);
    assert_eq!(locked_at().await, None);
    assert_eq!(wrong(1, PasswordKind::Login, 3).await.expect("counted"), 3);
    assert_eq!(wrong(1, PasswordKind::Login, 4).await.expect("counted"), 4);
    assert_eq!(locked_at().await, Some(at(3)), "locked at the third, and since then");
    issue(&store, 1).await;
    refused(store.open_session(&session(1, 1, 5), event("login")).await, Conflict::Missing);
    store.unlock(&user_id(1), event("user.unlocked")).await.expect("unlocked");
    assert_eq!(locked_at().await, None);
    assert_eq!(wrong(1, PasswordKind::Login, 5).await.expect("counted"), 1);
    store.open_session(&session(1, 1, 6), event("login")).await.expect("a session");
    assert_eq!(wrong(1, PasswordKind::Login, 7).await.expect("counted"), 1, "a login forgets");
}

pub async fn a_right_password_forgets_only_wrong_ones_of_its_kind(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    let wrong = |kind| {
        let store = &store;
        async move {
            let counted = store.count_wrong_password(&user_id(1), kind, at(1), 5, event("login.wrong")).await;
            counted.expect("counted")
        }
    };
    let accept = |n| {
        let store = &store;
        async move { store.accept_password(&user_id(n), PasswordKind::Confirmation, event("accepted")).await }
    };
    assert_eq!((wrong(PasswordKind::Login).await, wrong(PasswordKind::Confirmation).await), (1, 1));
    store.open_session(&session(1, 1, 6), event("login")).await.expect("a session");
    assert_eq!((wrong(PasswordKind::Login).await, wrong(PasswordKind::Confirmation).await), (1, 2));
    accept(1).await.expect("accepted");
    assert_eq!((wrong(PasswordKind::Login).await, wrong(PasswordKind::Confirmation).await), (2, 1));
    refused(accept(8).await, Conflict::Missing);
    for state in [UserState::Suspended, UserState::Active] {
        store.set_user_state(&user_id(1), state, event("user.state")).await.expect("set");
        assert_eq!(accept(1).await.is_ok(), state == UserState::Active, "{state:?}");
    }
    for _ in 0..5 {
        wrong(PasswordKind::Confirmation).await;
    }
    refused(accept(1).await, Conflict::Missing);
    assert_eq!(verified_actions(&store).await.iter().filter(|action| *action == "accepted").count(), 2);
}

/// Rule 7: a session needs the user's own certificate that stands, and a user who may act.
pub async fn a_session_needs_a_standing_certificate(store: impl Ledger) {
    customers(&store, 2).await;
    let open = |session: Session| {
        let store = &store;
        async move { store.open_session(&session, event("login")).await }
    };
    intend(&store, 1).await.expect("the intent");
    refused(open(session(1, 1, 1)).await, Conflict::Missing);
    complete(&store, 1).await.expect("the certificate");
    refused(open(Session { user: user_id(2), ..session(1, 1, 1) }).await, Conflict::Missing);
    store
        .set_user_state(&user_id(1), UserState::Suspended, event("user.suspended"))
        .await
        .expect("suspended");
    refused(open(session(1, 1, 1)).await, Conflict::Missing);
    store.set_user_state(&user_id(1), UserState::Active, event("user.activated")).await.expect("active");
    open(session(1, 1, 20)).await.expect("a session");
    open(session(1, 2, 30)).await.expect("another");
    let confirmed =
        store.certificate(&issuer(), &serial(1)).await.expect("a query").expect("the certificate");
    assert!(
        matches!(confirmed.state, ca_core::domain::certificate::CertificateState::Issued { confirmed_at, .. }
            if confirmed_at == Some(at(20))),
        "the first login confirms: {confirmed:?}"
    );
    let reason = RevocationReason::KeyCompromise;
    store.revoke(&issuer(), &serial(1), reason, at(40), event("revoked")).await.expect("revoked");
    refused(open(session(1, 3, 50)).await, Conflict::Missing);
    let logins = store.last_logins(&user_id(1), 5).await.expect("a query");
    let entry = |second| LoginEntry { at: at(second), serial: serial(1), device: device(1) };
    assert_eq!(logins, [entry(30), entry(20)], "newest first");
    assert_eq!(store.last_logins(&user_id(1), 1).await.expect("a query").len(), 1);
}

pub async fn a_new_password_ends_sessions(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$x".to_owned());
    let set = |keep: Option<[u8; 32]>| {
        let (store, hash) = (&store, &hash);
        let by = keep.map_or(PasswordBy::Operator, PasswordBy::User);
        async move {
            let (kind, audit) = (PasswordKind::Login, event("password.set"));
            store.set_password(&user_id(1), kind, hash, by, audit).await
        }
    };
    let stand = async || {
        let mut standing = Vec::new();
        for token in 1..=4 {
            if store.session(&digest(5, token)).await.expect("a query").is_some() {
                standing.push(token);
            }
        }
        standing
    };
    for (user, token) in [(1, 1), (1, 2), (1, 3), (2, 4)] {
        store.open_session(&session(user, token, 10), event("login")).await.expect("a session");
    }
    let wrong = async || {
        let (user, wrong) = (user_id(1), event("wrong"));
        store.count_wrong_password(&user, PasswordKind::Login, at(1), 9, wrong).await.expect("counted")
    };
    assert_eq!((wrong().await, wrong().await), (1, 2));
    set(Some(digest(5, 2))).await.expect("the user's own change");
    assert_eq!(stand().await, [2, 4], "the session that it was done in, and other users'");
    assert_eq!(wrong().await, 1, "wrong ones of the old password count no longer");
    // Another's session, one that is gone, and a user who may not act.
    refused(set(Some(digest(5, 4))).await, Conflict::Missing);
    refused(set(Some(digest(5, 1))).await, Conflict::Missing);
    store
        .set_user_state(&user_id(1), UserState::Suspended, event("user.suspended"))
        .await
        .expect("suspended");
    refused(set(Some(digest(5, 2))).await, Conflict::Missing);
    set(None).await.expect("the bank's change");
    assert_eq!(stand().await, [4]);
}

pub async fn sessions_are_touched_closed_and_purged(store: impl Ledger) {
    customers(&store, 1).await;
    issue(&store, 1).await;
    for (token, opened) in [(1, 0), (2, 100), (3, 200)] {
        store.open_session(&session(1, token, opened), event("login")).await.expect("a session");
    }
    store.touch_session(&digest(5, 1), at(300)).await.expect("touched");
    store.touch_session(&digest(5, 1), at(250)).await.expect("not moved back");
    store.touch_session(&digest(5, 9), at(300)).await.expect("no such session");
    let touched = store.session(&digest(5, 1)).await.expect("a query").expect("the session");
    assert_eq!(touched, Session { last_used_at: at(300), ..session(1, 1, 0) });
    assert_eq!(store.session(&digest(5, 9)).await.expect("a query"), None);

    assert_eq!(store.purge_sessions(at(150), at(0)).await.expect("purged"), 1, "the second was idle");
    assert_eq!(store.purge_sessions(at(150), at(50)).await.expect("purged"), 1, "the first was old");
    for _ in 0..2 {
        store.close_session(&digest(5, 3), event("logout")).await.expect("closed");
    }
    assert_eq!(store.session(&digest(5, 3)).await.expect("a query"), None);
    let logouts = verified_actions(&store).await.into_iter().filter(|action| action == "logout").count();
    assert_eq!(logouts, 1, "closing twice is one logout");
}
