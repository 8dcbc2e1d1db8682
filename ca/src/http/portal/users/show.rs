//! A general user: what is known, and what the master can do.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::customers::CustomerError,
    domain::{
        certificate::CertificateRecord,
        ids::UserId,
        management::may_manage,
        user::{User, UserState},
    },
};

use super::{
    super::{
        Portal,
        catalogue::Catalogue,
        certificate::{Facts, Pending},
        forms::{Fields, failed, field, not_permitted},
        message,
        pages::{Frame, page},
        visitor::LoggedIn,
    },
    Line,
    acts::Act,
};

/// Something that can be done.
struct Offer {
    href: String,
    title: &'static str,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "user.html")]
struct Show {
    frame: Frame,
    line: Line,
    email: Option<String>,
    registered_at: String,
    facts: Option<Facts>,
    pending: Option<Pending>,
    offers: Vec<Offer>,
    done: Option<&'static str>,
}

/// The page.
pub(in super::super) async fn get(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Path(id): Path<String>,
    Query(query): Query<Fields>,
) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    match find(&portal, &logged_in, &id).await {
        Ok(Some(user)) => match gather(&portal, &logged_in, &user, field(&query, "done")).await {
            Ok(show) => page(StatusCode::OK, &show),
            Err(failure) => failed("a user's page", &failure, &portal, &logged_in),
        },
        Ok(None) => unknown(&portal, &logged_in),
        Err(error) => failed("a user's page", &error, &portal, &logged_in),
    }
}

/// The user that the path names, if the master may look after them; nobody else's existence shows.
pub(super) async fn find(
    portal: &Portal,
    logged_in: &LoggedIn,
    id: &str,
) -> Result<Option<User>, CustomerError> {
    let Ok(id) = UserId::parse(id) else { return Ok(None) };
    match portal.customers.user(&id).await {
        Ok(user) => Ok(Some(user).filter(|user| may_manage(&logged_in.active.user, Some(user)).is_ok())),
        Err(CustomerError::UnknownUser) => Ok(None),
        Err(error) => Err(error),
    }
}

/// There is no such user in the contract.
pub(super) fn unknown(portal: &Portal, logged_in: &LoggedIn) -> Response {
    let language = logged_in.visitor.language;
    let t = language.catalogue();
    let link = Some((t.users.to_list, "/manage/users".to_owned()));
    let text = (t.not_found_title, t.not_found_text);
    message(StatusCode::NOT_FOUND, language, text, link, None, portal)
}

async fn gather(
    portal: &Portal,
    logged_in: &LoggedIn,
    user: &User,
    done: &str,
) -> Result<Show, ca_core::app::failure::Failure> {
    let certificates = portal.certificates.of_user(&user.id).await?;
    let asked = portal.manage.unblockings.waiting_of(&user.id).await?.is_some();
    let frame = logged_in.frame("manage");
    let (t, now) = (frame.t, portal.clock.now());
    let line = Line::of(t, user, &certificates, now);
    let own = |c: &&CertificateRecord| c.der().is_some() && !c.is_unconfirmed_renewal();
    let standing = certificates.iter().find(|c| line.revocable && own(c));
    Ok(Show {
        email: user.email.as_ref().map(ToString::to_string),
        registered_at: t.time(user.registered_at),
        pending: Pending::of(t, &certificates),
        facts: standing.map(|record| Facts::of(t, record, now)),
        offers: offers(t, user, (line.revocable, asked)),
        done: said(t, done),
        line,
        frame,
    })
}

/// Also by whether a certificate stands, and whether an unblocking is asked for.
fn offers(t: &Catalogue, user: &User, facts: (bool, bool)) -> Vec<Offer> {
    let fits = |act: &Act| match act {
        Act::Suspend => user.state == UserState::Active,
        Act::Resume => user.state == UserState::Suspended,
        Act::Unlock => user.locked_at.is_some(),
        Act::Unblock | Act::Decline => facts.1,
        Act::Lost => user.assigned_device.is_some() || facts.0,
        Act::Release => user.assigned_device.is_some(),
        Act::Assign | Act::Password | Act::Remove => true,
    };
    let offer = |act: Act| Offer {
        href: format!("/manage/user/{}/{}", user.id, act.path()),
        title: act.title(t),
        text: act.text(t),
    };
    Act::ALL.into_iter().filter(fits).map(offer).collect()
}

/// What was just done, by the word in the address.
fn said(t: &Catalogue, done: &str) -> Option<&'static str> {
    match done {
        "register" => Some(t.users.done_register),
        other => Act::parse(other).map(|act| act.done(t)),
    }
}
