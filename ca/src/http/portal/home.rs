//! ホーム: notices, the certificate and where it lives, the last logins; and 利用履歴照会.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use ca_core::{
    app::{customers::CustomerError, failure::Failure},
    domain::{
        contract::Contract,
        notice::{Notice, days_left, notice},
        user::User,
    },
    ports::store::{LoginEntry, StoreError},
};
use jiff::Timestamp;

use super::{
    Portal,
    catalogue::Catalogue,
    certificate::{Facts, Pending, device, role},
    forms::failed,
    pages::{Frame, page},
    visitor::LoggedIn,
};

/// Logins on the home page.
const LAST_LOGINS: u32 = 5;
/// Logins in the history.
const HISTORY: u32 = 100;

#[derive(Debug, thiserror::Error)]
enum HomeError {
    #[error(transparent)]
    Customer(#[from] CustomerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// An お知らせ as the page shows it.
struct Shown {
    class: &'static str,
    text: String,
    days: String,
}

/// A login as tables show it.
struct Login {
    at: String,
    device: String,
    serial: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    notice: Option<Shown>,
    /// When the certificate is to be revoked, as a sentence.
    planned: Option<String>,
    contract: Contract,
    user: User,
    role: &'static str,
    welcome: String,
    /// The login before this one.
    previous: Option<String>,
    facts: Facts,
    pending: Option<Pending>,
    logins: Vec<Login>,
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    frame: Frame,
    lead: String,
    kept: String,
    logins: Vec<Login>,
}

/// The home page.
pub(super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    match gather(&portal, &logged_in).await {
        Ok(home) => page(StatusCode::OK, &home),
        Err(error) => failed("the home page", &error, &portal, &logged_in),
    }
}

async fn gather(portal: &Portal, logged_in: &LoggedIn) -> Result<Home, HomeError> {
    let (user, record) = (&logged_in.active.user, &logged_in.active.certificate);
    let (contract, _) = portal.customers.contract(&user.contract).await?;
    let entries = portal.logins.last_logins(&user.id, LAST_LOGINS).await?;
    let certificates = portal.certificates.of_user(&user.id).await?;
    let planned = portal.plans.planned_revocation(&record.issuer, &record.serial).await?;
    let frame = logged_in.frame("home");
    let (t, now) = (frame.t, portal.clock.now());
    Ok(Home {
        notice: shown(t, now, record.not_after),
        planned: planned.map(|at| Catalogue::fill(t.own.notice_planned, &t.time(at))),
        role: role(t, user.role),
        welcome: Catalogue::fill(t.own.welcome, &user.display_name),
        previous: entries.get(1).map(|entry| t.time(entry.at)),
        facts: Facts::of(t, record, now),
        pending: Pending::of(t, &certificates),
        logins: logins(t, &entries),
        contract,
        user: user.clone(),
        frame,
    })
}

/// Rule 6: the notice of today, if there is one.
fn shown(t: &Catalogue, now: Timestamp, not_after: Timestamp) -> Option<Shown> {
    let (class, text) = match notice(now, not_after)? {
        Notice::RenewalOpen => ("notice", t.own.notice_open),
        Notice::Urgent => ("notice urgent", t.own.notice_urgent),
        Notice::LastDay => ("notice urgent", t.own.notice_last),
    };
    Some(Shown {
        class,
        text: Catalogue::fill(text, &t.time(not_after)),
        days: Catalogue::fill(t.own.days_until, &days_left(now, not_after).to_string()),
    })
}

fn logins(t: &Catalogue, entries: &[LoginEntry]) -> Vec<Login> {
    let login = |entry: &LoginEntry| Login {
        at: t.time(entry.at),
        device: device(t, &entry.device),
        serial: entry.serial.to_string(),
    };
    entries.iter().map(login).collect()
}

/// 利用履歴照会.
pub(super) async fn history(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    let frame = logged_in.frame("history");
    let t = frame.t;
    match portal.logins.last_logins(&logged_in.active.user.id, HISTORY).await {
        Ok(entries) => {
            let lead = Catalogue::fill(t.own.history_lead, &HISTORY.to_string());
            let kept = Catalogue::fill(t.own.history_kept, &portal.history_days.to_string());
            page(StatusCode::OK, &History { lead, kept, logins: logins(t, &entries), frame })
        }
        Err(error) => failed("the login history", &error, &portal, &logged_in),
    }
}
