//! Coming in with the token, going out, and the first page.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ca_core::{
    app::{refuse_form::Forgery, session::csrf_token, staff::session::StaffSessionError},
    domain::staff::{Member, Task},
};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::{
    Console, Fields, field,
    page::{Cell, Form as Entry, Page, Section},
    pieces, search, see,
    visitor::{FORM, Officer, SESSION, Visitor, no_session},
};
use crate::http::portal::cookies;

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whose certificate it is, and the button to come in with.
pub(super) async fn front(State(console): State<Arc<Console>>, visitor: Visitor) -> Response {
    match console.sessions.who(visitor.presented.as_ref()).await {
        Ok(member) => ask(&console, &visitor, &member, StatusCode::OK),
        Err(error) => no_session(error, &visitor),
    }
}

/// The form's token hangs on a cookie of its own, since there is no session yet.
fn ask(console: &Console, visitor: &Visitor, member: &Member, status: StatusCode) -> Response {
    let (t, random) = (visitor.t(), BASE64_URL_SAFE_NO_PAD.encode(console.rng.bytes::<32>()));
    let facts = vec![
        (t.staff_id, Cell::code(&member.id)),
        (t.name, Cell::text(&member.name)),
        (t.roles, Cell::text(pieces::roles(t, &member.roles))),
    ];
    let mut page = Page::new(visitor.frame(), t.login_title)
        .with_csrf(csrf_token(&random))
        .section(Section::Facts { title: t.your_certificate.to_owned(), facts })
        .form(Entry::post("login", "/login", "", t.login).text(t.login_text));
    page.alert = (status != StatusCode::OK).then(|| t.form_expired.to_owned());
    with_cookie(page.respond(status), cookies::set(FORM, &random))
}

/// The button was pressed.
pub(super) async fn login(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Form(fields): Form<Fields>,
) -> Response {
    let expected = visitor.form.as_deref().map(csrf_token).unwrap_or_default();
    let belongs =
        !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(field(&fields, "csrf").as_bytes()));
    if !belongs {
        console.forged(visitor.presented.as_ref(), Forgery::Token).await;
        return match console.sessions.who(visitor.presented.as_ref()).await {
            Ok(member) => ask(&console, &visitor, &member, StatusCode::FORBIDDEN),
            Err(error) => no_session(error, &visitor),
        };
    }
    match console.sessions.open(visitor.presented.as_ref()).await {
        Ok(opened) => {
            console.metrics.outcome("staff_login", "admitted");
            let session = cookies::set(SESSION, opened.session_token.expose_secret());
            with_cookie(with_cookie(see("/home"), session), cookies::delete(FORM))
        }
        Err(error) => {
            let failed = matches!(error, StaffSessionError::Failure(_));
            console.metrics.outcome("staff_login", if failed { "failed" } else { "refused" });
            no_session(error, &visitor)
        }
    }
}

/// ログアウト.
pub(super) async fn logout(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Form(fields): Form<Fields>,
) -> Response {
    if let Err(trouble) = console.check_form(&officer, &fields).await {
        return trouble.page(&officer, "/home");
    }
    let session = officer.visitor.session.clone().unwrap_or_default();
    if let Err(failure) = console.sessions.close(&session).await {
        return officer.visitor.unavailable(&failure);
    }
    with_cookie(see("/logged-out"), cookies::delete(SESSION))
}

/// After the logout.
pub(super) async fn logged_out(visitor: Visitor) -> Response {
    let t = visitor.t();
    let page = Page::new(visitor.frame(), t.logged_out_title).paragraphs(t.logged_out_text);
    page.linked(t.to_login, "/").respond(StatusCode::OK)
}

/// The first page: what waits, and where to go.
pub(super) async fn home(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    let t = officer.t();
    let member = officer.acting().member();
    let mut page = officer.page("/home", t.home).section(Section::Facts {
        title: String::new(),
        facts: vec![
            (t.name, Cell::text(&member.name)),
            (t.staff_id, Cell::code(&member.id)),
            (t.roles, Cell::text(pieces::roles(t, &member.roles))),
        ],
    });
    if officer.may(Task::ReadApprovals) {
        match console.approvals.list(officer.acting()).await {
            Ok((open, _)) => {
                let rows = super::approvals::rows(&officer, &open, console.clock.now());
                let head = super::approvals::head(t);
                page = page.section(Section::table(t.waiting, &head, rows, t.nothing_waits));
            }
            Err(denied) => return super::Trouble::from(denied).page(&officer, "/"),
        }
    }
    if officer.may(Task::ReadCustomers) {
        page = page.form(search::form(t, "user", ""));
    }
    if officer.may(Task::KeepCustomers) {
        let links = vec![(t.register_contract.to_owned(), "/contracts/new".to_owned())];
        page = page.section(Section::Links { title: String::new(), links });
    }
    page.respond(StatusCode::OK)
}
