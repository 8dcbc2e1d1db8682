//! 設定: password changes and 緊急停止.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    http::{StatusCode, header},
    response::Response,
};
use ca_core::{
    app::{
        account::{AccountError, PasswordChange},
        password_policy::WeakPassword,
    },
    domain::user::PasswordKind,
};
use secrecy::ExposeSecret;

use super::{
    Portal,
    catalogue::Catalogue,
    cookies,
    forms::{Fields, failed, field, foreign, not_permitted, secret},
    message,
    pages::{Frame, page},
    renewal::first_page,
    see, too_often,
    visitor::{LoggedIn, Visitor, password_path},
};

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    master: bool,
    done: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct Password {
    frame: Frame,
    csrf: String,
    user_id: String,
    title: &'static str,
    path: &'static str,
    /// It is to be changed before anything else is done.
    first: bool,
    problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "stop.html")]
struct Stop {
    frame: Frame,
    csrf: String,
}

/// The settings.
pub(super) async fn get(logged_in: LoggedIn, Query(query): Query<Fields>) -> Response {
    let frame = logged_in.frame("settings");
    let done = match field(&query, "done") {
        "password" => Some(frame.t.own.password_changed),
        "email" => Some(frame.t.email.changed),
        _ => None,
    };
    page(StatusCode::OK, &Settings { master: logged_in.is_master(), done, frame })
}

/// The form for the login password.
pub(super) async fn login_password(logged_in: LoggedIn) -> Response {
    ask(&logged_in, PasswordKind::Login, StatusCode::OK, None)
}

/// The form for the confirmation password, which masters alone have.
pub(super) async fn confirmation_password(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    ask(&logged_in, PasswordKind::Confirmation, StatusCode::OK, None)
}

fn ask(
    logged_in: &LoggedIn,
    kind: PasswordKind,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let frame = logged_in.frame("settings");
    let title = match kind {
        PasswordKind::Login => frame.t.own.change_login_password,
        PasswordKind::Confirmation => frame.t.own.change_confirmation_password,
    };
    let first = logged_in.active.to_change == Some(kind);
    let (csrf, user_id) = (logged_in.csrf.clone(), logged_in.active.user.id.to_string());
    page(status, &Password { frame, csrf, user_id, title, path: password_path(kind), first, problem })
}

/// A new login password came in.
pub(super) async fn change_login_password(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    change(&portal, &logged_in, fields, PasswordKind::Login).await
}

/// A new confirmation password came in.
pub(super) async fn change_confirmation_password(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    change(&portal, &logged_in, fields, PasswordKind::Confirmation).await
}

async fn change(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    mut fields: Fields,
    kind: PasswordKind,
) -> Response {
    if let Some(refusal) = foreign(portal, logged_in, &fields, ("password", password_path(kind))).await {
        return refusal;
    }
    let t = logged_in.visitor.language.catalogue();
    let (current, new) = (secret(&mut fields, "current"), secret(&mut fields, "new"));
    if new.expose_secret() != secret(&mut fields, "again").expose_secret() {
        return ask(logged_in, kind, StatusCode::BAD_REQUEST, Some(t.own.password_mismatch));
    }
    // On its own task: a connection that breaks off doesn't leave a counted attempt half done.
    let (account, session) = (portal.account.clone(), logged_in.active.session.clone());
    let change = PasswordChange { kind, current, new };
    let result = portal.detached.spawn(async move { account.change_password(&session, change).await }).await;
    match result {
        Ok(Ok(())) => {
            portal.metrics.outcome("password_change", "changed");
            if logged_in.active.to_change.is_some() {
                return see(first_page(portal.clock.now(), logged_in.active.certificate.not_after));
            }
            see("/settings?done=password")
        }
        Ok(Err(AccountError::Failure(failure))) => failed("a password change", &failure, portal, logged_in),
        Ok(Err(error)) => {
            portal.metrics.outcome("password_change", "refused");
            refused(portal, logged_in, kind, &error)
        }
        Err(panicked) => failed("a password change", &panicked, portal, logged_in),
    }
}

fn refused(portal: &Portal, logged_in: &LoggedIn, kind: PasswordKind, error: &AccountError) -> Response {
    let t = logged_in.visitor.language.catalogue();
    match error {
        AccountError::WrongPassword => {
            ask(logged_in, kind, StatusCode::FORBIDDEN, Some(t.own.password_wrong))
        }
        AccountError::TooOften { retry_at } => {
            too_often("password_change", *retry_at, &logged_in.visitor, password_path(kind), portal)
        }
        AccountError::Weak(why) => ask(logged_in, kind, StatusCode::BAD_REQUEST, Some(weak(t, *why))),
        AccountError::NotPermitted | AccountError::Failure(_) => not_permitted(portal, logged_in),
    }
}

/// Why a password isn't taken.
pub(super) fn weak(t: &Catalogue, why: WeakPassword) -> &'static str {
    match why {
        WeakPassword::Length => t.own.weak_length,
        WeakPassword::Monotonous => t.own.weak_monotonous,
        WeakPassword::Sequence => t.own.weak_sequence,
        WeakPassword::ContainsUserId => t.own.weak_user_id,
        WeakPassword::ControlCharacter => t.own.weak_control,
        WeakPassword::SameAsOther => t.own.weak_same_other,
        WeakPassword::SameAsBefore => t.own.weak_same_before,
    }
}

/// 緊急停止: what it does, and the button.
pub(super) async fn stop(logged_in: LoggedIn) -> Response {
    page(StatusCode::OK, &Stop { csrf: logged_in.csrf.clone(), frame: logged_in.frame("settings") })
}

/// It was pressed.
pub(super) async fn stop_now(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    if let Some(refusal) = foreign(&portal, &logged_in, &fields, ("stop", "/settings/stop")).await {
        return refusal;
    }
    let (account, user) = (portal.account.clone(), logged_in.active.user.id.clone());
    let result = portal.detached.spawn(async move { account.stop(&user).await }).await;
    match result {
        Ok(Ok(())) => {
            portal.metrics.outcome("emergency_stop", "stopped");
            let mut response = see("/stopped");
            if let Some(cookie) = cookies::delete(cookies::SESSION) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Ok(Err(AccountError::Failure(failure))) => failed("an emergency stop", &failure, &portal, &logged_in),
        Ok(Err(_)) => not_permitted(&portal, &logged_in),
        Err(panicked) => failed("an emergency stop", &panicked, &portal, &logged_in),
    }
}

/// After the emergency stop; there is no session any more.
pub(super) async fn stopped(State(portal): State<Arc<Portal>>, visitor: Visitor) -> Response {
    let t = visitor.language.catalogue();
    message(StatusCode::OK, visitor.language, (t.own.stopped_title, t.own.stopped_text), None, None, &portal)
}

#[cfg(test)]
mod tests {
    use ca_core::app::password_policy::{MAX_CHARS, MIN_CHARS, MIN_DIFFERENT};

    use super::super::catalogue::{EN, JA};

    #[test]
    fn the_rules_that_are_shown_are_the_rules() {
        for t in [&JA, &EN] {
            for number in [MIN_CHARS, MAX_CHARS] {
                let number = number.to_string();
                assert!(
                    t.own.weak_length.contains(&number) && t.own.password_rules_text[0].contains(&number)
                );
            }
            let different = MIN_DIFFERENT.to_string();
            assert!(t.own.weak_monotonous.contains(&different), "{}", t.own.weak_monotonous);
            assert!(t.own.password_rules_text[1].contains(&different));
        }
    }
}
