//! What the master does to one general user: a page that says what it means and asks for the 確認用パスワード, then the
//! deed, then the user's page again.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::{
        customers::CustomerError,
        failure::Failure,
        manage_users::{Change, ManageError},
    },
    domain::{
        device::{Device, DeviceKind},
        ids::{TokenSerial, UserId},
        management::Denied,
        user::User,
    },
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    super::{
        Portal,
        catalogue::Catalogue,
        certificate::kind,
        forms::{Fields, failed, field, foreign, not_permitted, secret},
        pages::{Frame, page},
        see,
        settings::weak,
        too_often,
        visitor::LoggedIn,
    },
    acts::Act,
    show::{find, unknown},
};

#[derive(Template)]
#[template(path = "user_act.html")]
struct Ask {
    frame: Frame,
    csrf: String,
    user_id: String,
    name: String,
    path: &'static str,
    title: &'static str,
    text: &'static str,
    problem: Option<&'static str>,
    /// Whether it can't be taken back.
    grave: bool,
    asks_password: bool,
    /// The request that is decided, by its name and its 受付番号.
    request: Option<(String, String)>,
    /// Value, label, whether it is chosen; empty when no token is asked for.
    kinds: Vec<(&'static str, &'static str, bool)>,
    serial: String,
}

/// The form.
pub(in super::super) async fn form(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Path((id, word)): Path<(String, String)>,
) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    let Some(act) = Act::parse(&word) else { return unknown(&portal, &logged_in) };
    match find(&portal, &logged_in, &id).await {
        Ok(Some(user)) => {
            let request = match waiting(&portal, &user, act).await {
                Ok(request) => request,
                Err(error) => return failed("a request to unblock", &error, &portal, &logged_in),
            };
            ask(&logged_in, &user, (act, request), &Vec::new(), (StatusCode::OK, None))
        }
        Ok(None) => unknown(&portal, &logged_in),
        Err(error) => failed("a user's page", &error, &portal, &logged_in),
    }
}

/// The request that the act is about, by its name and its 受付番号.
async fn waiting(portal: &Portal, user: &User, act: Act) -> Result<Option<(String, String)>, Failure> {
    if !matches!(act, Act::Unblock | Act::Decline) {
        return Ok(None);
    }
    let request = portal.manage.unblockings.waiting_of(&user.id).await?;
    Ok(request.map(|request| (request.id.to_string(), request.number())))
}

fn ask(
    logged_in: &LoggedIn,
    user: &User,
    (act, request): (Act, Option<(String, String)>),
    fields: &Fields,
    (status, problem): (StatusCode, Option<&'static str>),
) -> Response {
    let frame = logged_in.frame("manage");
    let t = frame.t;
    let chosen = DeviceKind::parse(field(fields, "kind")).unwrap_or(DeviceKind::YubiKeyPiv);
    let kinds = DeviceKind::ALL.into_iter().map(|other| (other.as_str(), kind(t, other), other == chosen));
    let template = Ask {
        csrf: logged_in.csrf.clone(),
        user_id: user.id.to_string(),
        name: user.display_name.clone(),
        path: act.path(),
        title: act.title(t),
        text: act.text(t),
        problem,
        grave: matches!(act, Act::Remove | Act::Lost),
        asks_password: act == Act::Password,
        request,
        kinds: if act == Act::Assign { kinds.collect() } else { Vec::new() },
        serial: field(fields, "serial").to_owned(),
        frame,
    };
    page(status, &template)
}

/// 「実行」 was pressed.
pub(in super::super) async fn submit(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Path((id, word)): Path<(String, String)>,
    Form(mut fields): Form<Fields>,
) -> Response {
    let back = format!("/manage/user/{id}");
    if let Some(refusal) = foreign(&portal, &logged_in, &fields, ("user-change", &back)).await {
        return refusal;
    }
    let (Some(act), Ok(target)) = (Act::parse(&word), UserId::parse(&id)) else {
        return unknown(&portal, &logged_in);
    };
    let user = match find(&portal, &logged_in, &id).await {
        Ok(user) => user,
        Err(error) => return failed("a user's page", &error, &portal, &logged_in),
    };
    let t = logged_in.visitor.language.catalogue();
    let change = match (change(t, act, &mut fields), &user) {
        (Ok(change), _) => change,
        (Err(problem), Some(user)) => {
            let shown = (act, request_of(&fields));
            return ask(&logged_in, user, shown, &fields, (StatusCode::BAD_REQUEST, Some(problem)));
        }
        (Err(_), None) => return unknown(&portal, &logged_in),
    };
    let confirmation = secret(&mut fields, "confirmation");
    let (manage, master) = (portal.manage.clone(), logged_in.active.user.id.clone());
    // On its own task: a connection that breaks off doesn't stop half-way. Who may not do it is refused there, too, where
    // the refusal is written down.
    let result = portal
        .detached
        .spawn(async move { manage.change(&master, confirmation, &target, change).await })
        .await;
    match result {
        Ok(Ok(())) => done(&portal, &id, act),
        Ok(Err(error)) => refused(&portal, &logged_in, (user.as_ref(), act), &fields, error),
        Err(panicked) => failed("a change to a user", &panicked, &portal, &logged_in),
    }
}

fn done(portal: &Portal, user: &str, act: Act) -> Response {
    portal.metrics.outcome("user_change", "done");
    if matches!(act, Act::Remove | Act::Lost) {
        // A certificate may have been revoked.
        portal.revoked.notify_one();
    }
    if act == Act::Remove {
        return see("/manage/users?done=remove");
    }
    see(&format!("/manage/user/{user}?done={}", act.path()))
}

/// Reads what an act needs beside the user; what is wrong with it, in the visitor's language.
fn change(t: &Catalogue, act: Act, fields: &mut Fields) -> Result<Change, &'static str> {
    Ok(match act {
        Act::Suspend => Change::Suspend,
        Act::Resume => Change::Resume,
        Act::Unlock => Change::Unlock,
        Act::Remove => Change::Remove,
        Act::Lost => Change::TokenLost,
        Act::Unblock | Act::Decline => match Uuid::try_parse(field(fields, "request")) {
            Ok(request) => Change::DecideUnblocking { request, approved: act == Act::Unblock },
            Err(_) => return Err(t.users.nothing_to_unblock),
        },
        Act::Release => Change::Assign(None),
        Act::Assign => {
            let serial = TokenSerial::parse(field(fields, "serial").trim());
            let kind = DeviceKind::parse(field(fields, "kind"));
            match (kind, serial) {
                (Some(kind), Ok(serial)) => Change::Assign(Some(Device { kind, serial })),
                _ => return Err(t.users.bad_serial),
            }
        }
        Act::Password => {
            let password = secret(fields, "new");
            if password.expose_secret() != secret(fields, "again").expose_secret() {
                return Err(t.users.password_mismatch);
            }
            Change::SetPassword(password)
        }
    })
}

/// The request that the form was about; its number was shown then.
fn request_of(fields: &Fields) -> Option<(String, String)> {
    let (request, number) = (field(fields, "request"), field(fields, "number"));
    (!request.is_empty()).then(|| (request.to_owned(), number.to_owned()))
}

fn refused(
    portal: &Portal,
    logged_in: &LoggedIn,
    (user, act): (Option<&User>, Act),
    fields: &Fields,
    error: ManageError,
) -> Response {
    let t = logged_in.visitor.language.catalogue();
    if let ManageError::Failure(failure) = error {
        return failed("a change to a user", &failure, portal, logged_in);
    }
    if let ManageError::TooOften { retry_at } = error {
        let back =
            user.map_or_else(|| "/manage/users".to_owned(), |user| format!("/manage/user/{}", user.id));
        return too_often("user_change", retry_at, &logged_in.visitor, &back, portal);
    }
    portal.metrics.outcome("user_change", "refused");
    match (problem(t, &error), user) {
        (Some((status, problem)), Some(user)) => {
            ask(logged_in, user, (act, request_of(fields)), fields, (status, Some(problem)))
        }
        _ if matches!(error, ManageError::Denied(Denied::NotAMaster)) => not_permitted(portal, logged_in),
        _ => unknown(portal, logged_in),
    }
}

/// What a refusal says on the form; `None` when the form itself isn't for this visitor.
pub(super) fn problem(t: &Catalogue, error: &ManageError) -> Option<(StatusCode, &'static str)> {
    let error = match error {
        ManageError::Confirmation => return Some((StatusCode::FORBIDDEN, t.users.confirmation_wrong)),
        ManageError::Unblocking(_) => return Some((StatusCode::CONFLICT, t.users.nothing_to_unblock)),
        ManageError::NoToken => return Some((StatusCode::CONFLICT, t.users.no_token_to_lose)),
        ManageError::Denied(_) | ManageError::TooOften { .. } | ManageError::Failure(_) => return None,
        ManageError::Customer(error) => error,
    };
    let text = match error {
        CustomerError::Name(_) => t.users.bad_name,
        CustomerError::Email(_) => t.users.bad_email,
        CustomerError::Taken => return Some((StatusCode::CONFLICT, t.users.taken)),
        CustomerError::PlanExhausted => return Some((StatusCode::CONFLICT, t.users.plan_exhausted)),
        CustomerError::DeviceInUse | CustomerError::Token(_) => {
            return Some((StatusCode::CONFLICT, t.users.device_in_use));
        }
        CustomerError::Password(why) => weak(t, *why),
        CustomerError::UnknownContract
        | CustomerError::UnknownUser
        | CustomerError::NotAMaster
        | CustomerError::Failure(_) => t.users.unknown,
    };
    Some((StatusCode::BAD_REQUEST, text))
}
