//! 証明書更新選択画面: while a certificate can be renewed, every login comes here first (rules 5 and 6).

use std::sync::Arc;

use askama::Template;
use axum::{Form, extract::State, http::StatusCode, response::Response};
use ca_core::{app::account::RenewalChoice, domain::validity::renewal_is_open};
use jiff::Timestamp;

use super::{
    Portal,
    catalogue::Catalogue,
    certificate::Pending,
    forms::{Fields, failed, field, foreign},
    pages::{Frame, page},
    see,
    visitor::LoggedIn,
};

#[derive(Template)]
#[template(path = "renewal.html")]
struct Choice {
    frame: Frame,
    csrf: String,
    serial: String,
    valid_until: String,
    days: String,
    pending: Option<Pending>,
}

#[derive(Template)]
#[template(path = "renewal_steps.html")]
struct Steps {
    frame: Frame,
    until: String,
}

/// Where a login leads.
pub(super) fn first_page(now: Timestamp, not_after: Timestamp) -> &'static str {
    if renewal_is_open(now, not_after) { "/renewal" } else { "/home" }
}

/// The choice.
pub(super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    let (record, now) = (&logged_in.active.certificate, portal.clock.now());
    if !renewal_is_open(now, record.not_after) {
        return see("/home");
    }
    let certificates = match portal.certificates.of_user(&record.user).await {
        Ok(certificates) => certificates,
        Err(failure) => return failed("the choice to renew", &failure, &portal, &logged_in),
    };
    let frame = logged_in.frame("home");
    let days = ca_core::domain::notice::days_left(now, record.not_after);
    let choice = Choice {
        csrf: logged_in.csrf.clone(),
        serial: record.serial.to_string(),
        valid_until: frame.t.time(record.not_after),
        days: Catalogue::fill(frame.t.own.days_until, &days.to_string()),
        pending: Pending::of(frame.t, &certificates),
        frame,
    };
    page(StatusCode::OK, &choice)
}

/// It was made.
pub(super) async fn choose(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    if let Some(refusal) = foreign(&portal, &logged_in, &fields, ("renewal", "/renewal")).await {
        return refusal;
    }
    let (choice, next) = match field(&fields, "choice") {
        "now" => (RenewalChoice::Now, "/renewal/steps"),
        _ => (RenewalChoice::Later, "/home"),
    };
    let active = &logged_in.active;
    match portal.account.choose_renewal(&active.session, choice).await {
        Ok(()) => see(next),
        Err(failure) => failed("a choice to renew", &failure, &portal, &logged_in),
    }
}

/// How to renew.
pub(super) async fn steps(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    let not_after = logged_in.active.certificate.not_after;
    if !renewal_is_open(portal.clock.now(), not_after) {
        return see("/home");
    }
    let frame = logged_in.frame("home");
    let until = Catalogue::fill(frame.t.renewal.until, &frame.t.time(not_after));
    page(StatusCode::OK, &Steps { frame, until })
}
