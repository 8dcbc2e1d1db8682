//! The console of the bank's staff: branch, HSM operations, auditors, administrators. Its listener takes certificates of
//! the staff CA alone. Handlers decode, call a use case, and show what came of it; who may do what is decided below, at
//! each request anew. Server-rendered, without scripts.

mod approvals;
mod calendar;
mod catalogue;
mod certificates;
mod customers;
mod health;
mod home;
mod letters;
mod mails;
mod members;
mod page;
mod pieces;
mod search;
mod terms;
mod tokens;
mod trail;
mod trouble;
mod user_acts;
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
        mail_desk::MailDesk,
        refuse_form::Forgery,
        staff::{
            Guard,
            approvals::Approvals,
            desk::Desk,
            forms::RefuseStaffForm,
            members::Members,
            overview::Overview,
            session::{Presented, StaffSessions},
            tokens::Tokens,
            trail::AuditTrail,
        },
    },
    domain::staff::Task,
    ports::{census::LedgerCensus, clock::Clock, policies::PolicyStore, rng::Rng},
};
use tokio::sync::Notify;
use tower_http::csrf::CsrfLayer;

use super::{
    connection::Peer,
    detached::Detached,
    late::Late,
    portal::{self, pages},
    support::SupportId,
};
use crate::{calendar::Calendar, logging, metrics::Metrics, readiness::Readiness, responders::Responders};
use trouble::{Trouble, shown};
use visitor::{Officer, Visitor};

/// What the console needs.
pub(crate) struct Console {
    pub(crate) sessions: Arc<StaffSessions>,
    pub(crate) guard: Guard,
    /// Writes down forms that weren't the console's.
    pub(crate) forms: RefuseStaffForm,
    pub(crate) desk: Desk,
    pub(crate) approvals: Approvals,
    pub(crate) members: Members,
    pub(crate) overview: Overview,
    pub(crate) tokens: Tokens,
    pub(crate) trail: AuditTrail,
    pub(crate) mail: MailDesk,
    pub(crate) policies: Arc<dyn PolicyStore>,
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) census: Arc<dyn LedgerCensus>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) issuers: Vec<ca_core::domain::ids::IssuerId>,
    /// Wakes the job that publishes CRLs.
    pub(crate) revoked: Arc<Notify>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) detached: Detached,
}

/// A form's fields in the order of the page; a name may occur several times.
type Fields = Vec<(String, String)>;

/// The first field with this name, without blanks around; empty when there is none.
fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.trim())
}

/// The routes of the staff listener.
pub(crate) fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(home::front))
        .route("/login", get(to_front).post(home::login))
        .route("/logout", get(to_front).post(home::logout))
        .route("/logged-out", get(home::logged_out))
        .route("/home", get(home::home))
        .route("/search", get(search::search))
        .route("/contracts", get(to_search).post(customers::register))
        .route("/contracts/new", get(customers::new))
        .route("/contracts/{number}", get(customers::show))
        .route("/contracts/{number}/policy", get(terms::back_to).post(terms::ask_policy))
        .route("/contracts/{number}/plan", get(terms::back_to).post(terms::ask_plan))
        .route("/contracts/{number}/users", post(customers::register_user))
        .route("/contracts/{number}/users/new", get(customers::new_user))
        .route("/users/{id}", get(users::show))
        .route("/users/{id}/{act}", get(users::back_to).post(user_acts::act))
        .route("/certificates/{serial}", get(certificates::show))
        .route("/certificates/{serial}/revoke", get(certificates::back_to).post(certificates::revoke))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/{decision}", get(approvals::back_to).post(approvals::decide))
        .route("/tokens", get(tokens::list))
        .route("/tokens/{kind}/{serial}", get(tokens::show))
        .route("/tokens/{kind}/{serial}/state", get(tokens::back_to).post(tokens::put))
        .route("/unblockings/{id}", get(tokens::unblocking))
        .route("/unblockings/{id}/{decision}", get(tokens::unblocking_back).post(tokens::decide))
        .route("/staff", get(members::list).post(members::propose))
        .route("/staff/new", get(members::new))
        .route("/staff/{id}", get(members::show))
        .route("/staff/{id}/withdraw", get(members::back_to).post(members::withdraw))
        .route("/mail", get(mails::list))
        .route("/mail/retry", get(mails::back_to).post(mails::retry))
        .route("/health", get(health::show))
        .route("/calendar", get(calendar::show))
        .route("/audit", get(trail::show))
        .route("/audit.csv", get(trail::csv))
        .route("/audit.json", get(trail::json))
        .fallback(not_found)
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(console.clone(), explained))
        .layer(middleware::from_fn(portal::language))
        .with_state(console)
        .route(pages::STYLESHEET_PATH, get(pages::stylesheet))
        .route(page::STAFF_STYLESHEET_PATH, get(page::stylesheet))
}

/// Someone followed the language switch on the answer to a form.
async fn to_front() -> Redirect {
    Redirect::to("/")
}

async fn to_search(_: Officer) -> Redirect {
    Redirect::to("/search")
}

async fn not_found(visitor: Visitor) -> Response {
    let t = visitor.t();
    visitor.explain(StatusCode::NOT_FOUND, t.not_found_title, &[t.not_found])
}

/// Gives the refusals of the framework (a form that can't be read, another site's form, a wrong method) a page.
async fn explained(
    State(console): State<Arc<Console>>,
    Extension(language): Extension<portal::catalogue::Language>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/html")) || !response.status().is_client_error() {
        return response;
    }
    if response.status() == StatusCode::FORBIDDEN {
        console.forged(visitor::presented(&peer).as_ref(), Forgery::CrossSite).await;
    }
    let frame = page::Frame::anonymous(language);
    let (title, text) = (frame.t.not_understood_title, frame.t.not_understood_text);
    let explained = page::Page::new(frame, title).paragraphs(text).support(support_id);
    let mut explained = explained.respond(response.status());
    if let Some(allow) = response.headers().get(header::ALLOW) {
        explained.headers_mut().insert(header::ALLOW, allow.clone());
    }
    explained
}

/// The page in place of one that takes too long.
pub(crate) fn late() -> Late {
    Late::Page(Arc::new(|language, support_id| {
        visitor::not_now(page::Frame::anonymous(language), support_id)
    }))
}

/// See Other, as the answer to a form that was done.
fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}

impl Console {
    /// Whether a form is this session's.
    async fn check_form(&self, officer: &Officer, fields: &Fields) -> Result<(), Trouble> {
        if officer.active.csrf_matches(field(fields, "csrf")) {
            return Ok(());
        }
        self.forged(officer.visitor.presented.as_ref(), Forgery::Token).await;
        Err(Trouble::Forged)
    }

    /// A form that wasn't the console's was refused; it stays refused when that can't be written down.
    async fn forged(&self, presented: Option<&Presented>, forgery: Forgery) {
        self.metrics.outcome("form", "forged");
        if let Err(error) = self.forms.run(presented, forgery).await {
            tracing::warn!(
                error = logging::chain(&error),
                "a refused form can't be written to the audit trail"
            );
        }
    }

    /// Who may not is told so before the form is read: what is wrong with it is then nobody's business. The use case asks
    /// again.
    async fn first(&self, officer: &Officer, task: Task, wanted: &str) -> Result<(), Trouble> {
        Ok(self.guard.permit(officer.acting(), task, wanted).await?)
    }

    /// Does what a form asks for, on a task of its own: a connection that breaks off doesn't leave it half done.
    async fn act(
        &self,
        officer: &Officer,
        fields: &Fields,
        act: impl Future<Output = Result<Response, Trouble>> + Send + 'static,
    ) -> Result<Response, Trouble> {
        self.check_form(officer, fields).await?;
        match self.detached.spawn(act).await {
            Ok(done) => done,
            Err(panicked) => Ok(officer.visitor.unavailable(&panicked)),
        }
    }
}
