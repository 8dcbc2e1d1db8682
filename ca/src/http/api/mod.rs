//! `/api/v1` for agents: which agents the server works with, and the enrolment in three steps.
//!
//! Handlers decode into commands and run the use case on a task of its own: a dropped connection cancels nothing.

mod decode;
mod enrolments;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ca_core::{
    app::enrol::{certify::CertifyEnrolment, confirm::ConfirmEnrolment, open::OpenEnrolment},
    domain::policy::IssuancePolicy,
    ports::clock::Clock,
};
use ca_wire::{problem::Code, version::AgentVersions};

use super::{problem::Refused, support::SupportId};
use crate::metrics::Metrics;

/// What the API needs.
pub(crate) struct Api {
    pub(crate) open: Arc<OpenEnrolment>,
    pub(crate) certify: Arc<CertifyEnrolment>,
    pub(crate) confirm: Arc<ConfirmEnrolment>,
    pub(crate) policy: Arc<IssuancePolicy>,
    /// The issuing CA's certificate and those above it, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) lowest_agent: String,
    pub(crate) newest_agent: String,
    pub(crate) agent_download: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The routes.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v1/agent", get(agent))
        .route("/api/v1/enrolments", post(enrolments::open))
        .route("/api/v1/enrolments/{id}/certificate", post(enrolments::certify))
        .route("/api/v1/enrolments/{id}/confirmation", post(enrolments::confirm))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .with_state(api)
}

async fn agent(State(api): State<Arc<Api>>) -> Response {
    Json(AgentVersions {
        lowest: api.lowest_agent.clone(),
        newest: api.newest_agent.clone(),
        download: api.agent_download.clone(),
        server_time: api.clock.now(),
    })
    .into_response()
}

async fn nothing_here(State(api): State<Arc<Api>>, Extension(support_id): Extension<SupportId>) -> Response {
    Refused::new(Code::NotFound).respond(support_id, api.clock.now())
}

async fn wrong_method(State(api): State<Arc<Api>>, Extension(support_id): Extension<SupportId>) -> Response {
    let refused = Refused::new(Code::MalformedRequest).with_status(StatusCode::METHOD_NOT_ALLOWED);
    refused.respond(support_id, api.clock.now())
}
