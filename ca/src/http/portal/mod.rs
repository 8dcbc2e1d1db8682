//! The pages that customers see: the public ones, and behind the client certificate login, home, the user's own account
//! and the master's user management. Server-rendered, without scripts. Each request is judged by the ledger anew.

pub(super) mod catalogue;
mod certificate;
pub(super) mod cookies;
mod email;
mod forms;
mod home;
mod login;
pub(super) mod pages;
mod public;
mod renewal;
mod revocation;
mod settings;
mod users;
mod visitor;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use ca_core::{
    app::{
        account::Account,
        certificates::Certificates,
        change_email::ChangeEmail,
        customers::Customers,
        login::LogIn,
        logout::LogOut,
        machines::{AdmitError, AdmitMachine},
        manage_users::ManageUsers,
        refuse_form::{Forgery, RefuseForm},
        revoke::Revoke,
        session::CheckSession,
    },
    domain::ids::IssuerId,
    ports::{clock::Clock, rejudgements::RejudgementStore, rng::Rng, store::LoginStore},
};
use jiff::Timestamp;
use tokio::sync::Notify;
use tower_http::csrf::CsrfLayer;

use super::{clients::Identity, connection::Peer, detached::Detached, late::Late, support::SupportId};
use crate::{logging, metrics::Metrics};
use catalogue::{Catalogue, Language};
use pages::{Frame, Message, page};
use visitor::Visitor;

pub(crate) use public::{Public, router as public_router};

/// What the portal needs.
pub(crate) struct Portal {
    pub(crate) login: Arc<LogIn>,
    pub(crate) session: Arc<CheckSession>,
    pub(crate) logout: Arc<LogOut>,
    pub(crate) revoke: Arc<Revoke>,
    pub(crate) customers: Arc<Customers>,
    /// A user's own account.
    pub(crate) account: Arc<Account>,
    /// Changes of addresses; `None` without a mail server.
    pub(crate) emails: Option<Arc<ChangeEmail>>,
    /// What masters do to general users.
    pub(crate) manage: Arc<ManageUsers>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) logins: Arc<dyn LoginStore>,
    /// Which certificates are to be revoked, and when.
    pub(crate) plans: Arc<dyn RejudgementStore>,
    /// Days that logins are remembered.
    pub(crate) history_days: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) issuer: IssuerId,
    pub(crate) public_url: String,
    /// Wakes the job that publishes CRLs.
    pub(crate) revoked: Arc<Notify>,
    /// Writes down which machines came here.
    pub(crate) machines: Arc<AdmitMachine>,
    /// Writes down forms that weren't the portal's.
    pub(crate) forms: Arc<RefuseForm>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) detached: Detached,
}

/// The routes of the client-certificate listener.
pub(crate) fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/home") }))
        .route("/login", get(login::form).post(login::submit))
        .route("/logout", post(login::logout))
        .route("/logged-out", get(login::logged_out))
        .route("/home", get(home::get))
        .route("/history", get(home::history))
        .route("/certificate", get(certificate::get))
        .route("/renewal", get(renewal::get).post(renewal::choose))
        .route("/renewal/steps", get(renewal::steps))
        .route("/settings", get(settings::get))
        .route("/settings/password", get(settings::login_password).post(settings::change_login_password))
        .route(
            "/settings/confirmation-password",
            get(settings::confirmation_password).post(settings::change_confirmation_password),
        )
        .route("/settings/email", get(email::get).post(email::propose))
        .route("/settings/email/code", get(email::back_to).post(email::confirm))
        .route("/settings/email/drop", get(email::back_to).post(email::forget))
        .route("/settings/stop", get(settings::stop).post(settings::stop_now))
        .route("/stopped", get(settings::stopped))
        .route("/manage", get(revocation::overview))
        .route("/manage/users", get(users::list))
        .route("/manage/users.csv", get(users::csv))
        .route("/manage/users/register", get(users::register_form).post(users::register))
        .route("/manage/users/revoke", get(revocation::select).post(revocation::execute))
        .route("/manage/users/revoke/confirm", get(revocation::back_to_select).post(revocation::confirm))
        .route("/manage/users/revoke/result", get(revocation::result))
        .route("/manage/user/{id}", get(users::show))
        .route("/manage/user/{id}/{act}", get(users::act_form).post(users::act))
        .route("/help", get(public::help))
        .route("/environments", get(public::environments))
        .fallback(not_found)
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(portal.clone(), explained))
        .layer(middleware::from_fn_with_state(portal.clone(), people_only))
        .layer(middleware::from_fn(language))
        .with_state(portal)
        .route(pages::STYLESHEET_PATH, get(pages::stylesheet))
}

async fn not_found(State(portal): State<Arc<Portal>>, Extension(language): Extension<Language>) -> Response {
    let t = language.catalogue();
    let text = (t.not_found_title, t.not_found_text);
    message(StatusCode::NOT_FOUND, language, text, Some((t.to_home, "/home".to_owned())), None, &portal)
}

/// Finds the language of a request. The switch is kept in the cookie.
pub(super) async fn language(mut request: Request, next: Next) -> Response {
    let is_switched = switched(&request).is_some();
    let language = language_of(&request);
    request.extensions_mut().insert(language);
    let mut response = next.run(request).await;
    if is_switched && let Some(cookie) = cookies::set(cookies::LANGUAGE, language.catalogue().lang) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The language of a request: the switch in the address, else the cookie, else Japanese.
pub(super) fn language_of(request: &Request) -> Language {
    let kept = cookies::value(request.headers(), cookies::LANGUAGE).and_then(Language::parse);
    switched(request).or(kept).unwrap_or_default()
}

fn switched(request: &Request) -> Option<Language> {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(Language::parse)
}

/// Turns machines and strangers away: what they showed is nobody's certificate here.
async fn people_only(
    State(portal): State<Arc<Portal>>,
    Extension(language): Extension<Language>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let Identity::Machine(presented) = &peer.identity else { return next.run(request).await };
    let source = peer.address.ip().to_canonical().to_string();
    portal.machines.refuse(presented, AdmitError::NotForMachines, &source).await;
    let t = language.catalogue();
    let text = (t.unusable_title, t.unusable_text);
    message(StatusCode::FORBIDDEN, language, text, None, Some(support_id), &portal)
}

/// Gives the refusals of the framework (a form that can't be read, another site's form, a wrong method) a page.
async fn explained(
    State(portal): State<Arc<Portal>>,
    Extension(language): Extension<Language>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let has_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
    if has_page || !response.status().is_client_error() {
        return response;
    }
    if response.status() == StatusCode::FORBIDDEN {
        let certificate = peer.identity.customer().map(|certificate| certificate.to_vec());
        portal.forged(certificate.as_deref(), "any", Forgery::CrossSite).await;
    }
    let t = language.catalogue();
    let text = (t.not_understood_title, t.not_understood_text);
    let link = Some((t.to_home, "/home".to_owned()));
    let mut page = message(response.status(), language, text, link, None, &portal);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        page.headers_mut().insert(header::ALLOW, allow.clone());
    }
    page
}

impl Portal {
    /// A form that wasn't one of ours was refused; it stays refused when that can't be written down.
    async fn forged(&self, certificate: Option<&[u8]>, form: &'static str, forgery: Forgery) {
        self.metrics.outcome("form", "forged");
        if let Err(error) = self.forms.run(certificate, form, forgery).await {
            tracing::warn!(
                error = logging::chain(&error),
                "a refused form can't be written to the audit trail"
            );
        }
    }
}

/// A page that explains something.
fn message(
    status: StatusCode,
    language: Language,
    (title, paragraphs): (&'static str, &'static [&'static str]),
    link: Option<(&'static str, String)>,
    support_id: Option<SupportId>,
    portal: &Portal,
) -> Response {
    let t = language.catalogue();
    let link = link.or_else(|| Some((t.to_top, format!("{}/", portal.public_url))));
    let support_id = support_id.map(|id| id.to_string());
    page(status, &Message { frame: Frame::anonymous(language), title, paragraphs, support_id, link })
}

/// The page for what went wrong below; what it was stands in the log under the support ID.
fn unavailable(
    what: &'static str,
    error: &(dyn std::error::Error + 'static),
    language: Language,
    support_id: SupportId,
    portal: &Portal,
) -> Response {
    tracing::error!(error = %logging::chain(error), "{what} failed");
    not_now(language, support_id, portal)
}

/// The page in place of one that takes too long.
pub(crate) fn late(portal: Arc<Portal>) -> Late {
    Late::Page(Arc::new(move |language, support_id| not_now(language, support_id, &portal)))
}

fn not_now(language: Language, support_id: SupportId, portal: &Portal) -> Response {
    let t: &Catalogue = language.catalogue();
    let text = (t.unavailable_title, t.unavailable_text);
    let mut response =
        message(StatusCode::SERVICE_UNAVAILABLE, language, text, None, Some(support_id), portal);
    response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
    response
}

/// The page for somebody who sent more passwords than are looked at. It says nothing of the password or the account.
fn too_often(
    what: &'static str,
    retry_at: Timestamp,
    visitor: &Visitor,
    back: &str,
    portal: &Portal,
) -> Response {
    portal.metrics.outcome(what, "too-often");
    let t = visitor.language.catalogue();
    let text = (t.too_often_title, t.too_often_text);
    let link = Some((t.back, back.to_owned()));
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, visitor.language, text, link, None, portal);
    // Whole seconds, never too few.
    let wait = retry_at.duration_since(portal.clock.now()).as_secs().saturating_add(1).max(1);
    response.headers_mut().insert(header::RETRY_AFTER, wait.into());
    response
}

/// See Other, as an answer to a form.
fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}
