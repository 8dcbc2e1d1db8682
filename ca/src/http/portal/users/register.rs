//! 利用者登録: a new general user, within the plan.

use std::sync::Arc;

use askama::Template;
use axum::{Form, extract::State, http::StatusCode, response::Response};
use ca_core::{
    app::manage_users::{ManageError, NewGeneralUser},
    domain::ids::UserId,
};
use secrecy::ExposeSecret;

use super::{
    super::{
        Portal,
        catalogue::Catalogue,
        forms::{Fields, failed, field, foreign, not_permitted, secret},
        pages::{Frame, page},
        see, too_often,
        visitor::LoggedIn,
    },
    act::problem,
};

#[derive(Template)]
#[template(path = "user_register.html")]
struct Register {
    frame: Frame,
    csrf: String,
    problem: Option<&'static str>,
    user_id: String,
    name: String,
    email: String,
}

/// The form.
pub(in super::super) async fn form(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    ask(&logged_in, &Vec::new(), StatusCode::OK, None)
}

/// What was typed stays, passwords excepted.
fn ask(logged_in: &LoggedIn, fields: &Fields, status: StatusCode, problem: Option<&'static str>) -> Response {
    let typed = |name| field(fields, name).to_owned();
    let (user_id, name, email) = (typed("user_id"), typed("name"), typed("email"));
    let (csrf, frame) = (logged_in.csrf.clone(), logged_in.frame("manage"));
    page(status, &Register { frame, csrf, problem, user_id, name, email })
}

/// It was sent.
pub(in super::super) async fn submit(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(mut fields): Form<Fields>,
) -> Response {
    let page = ("user-register", "/manage/users/register");
    if let Some(refusal) = foreign(&portal, &logged_in, &fields, page).await {
        return refusal;
    }
    let t = logged_in.visitor.language.catalogue();
    let new = match read(t, &mut fields) {
        Ok(new) => new,
        Err(_) if !logged_in.is_master() => return not_permitted(&portal, &logged_in),
        Err(problem) => return ask(&logged_in, &fields, StatusCode::BAD_REQUEST, Some(problem)),
    };
    let confirmation = secret(&mut fields, "confirmation");
    let (manage, master) = (portal.manage.clone(), logged_in.active.user.id.clone());
    let result =
        portal.detached.spawn(async move { manage.register(&master, confirmation, new).await }).await;
    match result {
        Ok(Ok(user)) => {
            portal.metrics.outcome("user_change", "done");
            see(&format!("/manage/user/{}?done=register", user.id))
        }
        Ok(Err(ManageError::Failure(failure))) => failed("a registration", &failure, &portal, &logged_in),
        Ok(Err(ManageError::TooOften { retry_at })) => {
            too_often("user_change", retry_at, &logged_in.visitor, page.1, &portal)
        }
        Ok(Err(error)) => {
            portal.metrics.outcome("user_change", "refused");
            match problem(t, &error) {
                Some((status, problem)) => ask(&logged_in, &fields, status, Some(problem)),
                None => not_permitted(&portal, &logged_in),
            }
        }
        Err(panicked) => failed("a registration", &panicked, &portal, &logged_in),
    }
}

fn read(t: &Catalogue, fields: &mut Fields) -> Result<NewGeneralUser, &'static str> {
    let (password, again) = (secret(fields, "new"), secret(fields, "again"));
    let id = UserId::parse(field(fields, "user_id").trim()).map_err(|_| t.users.bad_id)?;
    if password.expose_secret() != again.expose_secret() {
        return Err(t.users.password_mismatch);
    }
    let email = Some(field(fields, "email").trim().to_owned()).filter(|email| !email.is_empty());
    Ok(NewGeneralUser { id, display_name: field(fields, "name").trim().to_owned(), email, password })
}
