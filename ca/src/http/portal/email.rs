//! The address that notices go to, and its change: with the login password, by a code that only the new address gets.

use std::sync::Arc;

use askama::Template;
use axum::{Form, extract::State, http::StatusCode, response::Response};
use ca_core::app::change_email::{ChangeEmail, ChangeEmailError};

use super::{
    Portal,
    catalogue::Catalogue,
    forms::{Fields, failed, field, foreign, not_permitted, secret},
    pages::{Frame, page},
    see, too_often,
    visitor::LoggedIn,
};

const PATH: &str = "/settings/email";

#[derive(Template)]
#[template(path = "email.html")]
struct Email {
    frame: Frame,
    csrf: String,
    user_id: String,
    present: Option<String>,
    /// A new address that waits for its code, told with the sentence.
    waiting: Option<String>,
    /// What was typed.
    typed: String,
    problem: Option<&'static str>,
    /// Whether addresses can be changed here at all.
    open: bool,
}

/// The present address, and the form that fits.
pub(super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    ask(&portal, &logged_in, StatusCode::OK, None, String::new()).await
}

async fn ask(
    portal: &Portal,
    logged_in: &LoggedIn,
    status: StatusCode,
    problem: Option<&'static str>,
    typed: String,
) -> Response {
    let user = &logged_in.active.user;
    let waiting = match &portal.emails {
        Some(emails) => match emails.waiting(&user.id).await {
            Ok(waiting) => waiting,
            Err(failure) => return failed("a change of address", &failure, portal, logged_in),
        },
        None => None,
    };
    let frame = logged_in.frame("settings");
    let waiting = waiting.map(|email| Catalogue::fill(frame.t.email.waiting, email.as_str()));
    let form = Email {
        csrf: logged_in.csrf.clone(),
        user_id: user.id.to_string(),
        present: user.email.as_ref().map(ToString::to_string),
        waiting,
        typed,
        problem,
        open: portal.emails.is_some(),
        frame,
    };
    page(status, &form)
}

/// A new address came in.
pub(super) async fn propose(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(mut fields): Form<Fields>,
) -> Response {
    let password = secret(&mut fields, "password");
    let typed = field(&fields, "email").trim().to_owned();
    let (session, address) = (logged_in.active.session.clone(), typed.clone());
    // On its own task: a connection that breaks off doesn't leave a counted attempt half done.
    let done = act(&portal, &logged_in, &fields, |emails| async move {
        emails.propose(&session, password, &address).await.map(drop)
    });
    match done.await {
        Ok(()) => {
            portal.metrics.outcome("email_change", "proposed");
            see(PATH)
        }
        Err(Stopped::Answered(response)) => *response,
        Err(Stopped::Refused(error)) => refused(&portal, &logged_in, &error, typed).await,
    }
}

/// The code came in.
pub(super) async fn confirm(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    let (session, code) = (logged_in.active.session.clone(), field(&fields, "code").to_owned());
    let done =
        act(&portal, &logged_in, &fields, |emails| async move { emails.confirm(&session, &code).await });
    match done.await {
        Ok(()) => {
            portal.metrics.outcome("email_change", "changed");
            see("/settings?done=email")
        }
        Err(Stopped::Answered(response)) => *response,
        Err(Stopped::Refused(error)) => refused(&portal, &logged_in, &error, String::new()).await,
    }
}

/// The change was given up.
pub(super) async fn forget(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    let session = logged_in.active.session.clone();
    let done = act(&portal, &logged_in, &fields, |emails| async move {
        emails.drop_change(&session).await.map_err(ChangeEmailError::Failure)
    });
    match done.await {
        Ok(()) => see(PATH),
        Err(Stopped::Answered(response)) => *response,
        Err(Stopped::Refused(error)) => refused(&portal, &logged_in, &error, String::new()).await,
    }
}

/// Someone followed the language switch on the answer to a form.
pub(super) async fn back_to() -> Response {
    see(PATH)
}

/// Why an act ended without having been done.
enum Stopped {
    /// With a page of its own.
    Answered(Box<Response>),
    /// By a rule.
    Refused(ChangeEmailError),
}

async fn act<F>(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    fields: &Fields,
    act: impl FnOnce(Arc<ChangeEmail>) -> F,
) -> Result<(), Stopped>
where
    F: Future<Output = Result<(), ChangeEmailError>> + Send + 'static,
{
    if let Some(refusal) = foreign(portal, logged_in, fields, ("email", PATH)).await {
        return Err(Stopped::Answered(Box::new(refusal)));
    }
    let Some(emails) = &portal.emails else {
        return Err(Stopped::Refused(ChangeEmailError::NotPermitted));
    };
    match portal.detached.spawn(act(emails.clone())).await {
        Ok(done) => done.map_err(Stopped::Refused),
        Err(panicked) => {
            let answer = failed("a change of address", &panicked, portal, logged_in);
            Err(Stopped::Answered(Box::new(answer)))
        }
    }
}

async fn refused(portal: &Portal, logged_in: &LoggedIn, error: &ChangeEmailError, typed: String) -> Response {
    let t = &logged_in.visitor.language.catalogue();
    let (status, problem) = match error {
        ChangeEmailError::WrongPassword => (StatusCode::FORBIDDEN, t.own.password_wrong),
        ChangeEmailError::Address(_) => (StatusCode::BAD_REQUEST, t.users.bad_email),
        ChangeEmailError::Same => (StatusCode::BAD_REQUEST, t.email.same),
        ChangeEmailError::TooMany => (StatusCode::TOO_MANY_REQUESTS, t.email.too_many),
        ChangeEmailError::Code => (StatusCode::FORBIDDEN, t.email.code_wrong),
        ChangeEmailError::NotPermitted => return not_permitted(portal, logged_in),
        ChangeEmailError::TooOften { retry_at } => {
            return too_often("email_change", *retry_at, &logged_in.visitor, PATH, portal);
        }
        ChangeEmailError::Failure(failure) => {
            return failed("a change of address", failure, portal, logged_in);
        }
    };
    portal.metrics.outcome("email_change", "refused");
    ask(portal, logged_in, status, Some(problem), typed).await
}
