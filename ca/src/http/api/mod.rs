//! `/api/v1` for agents: which agents the server works with, the enrolment in three steps, and tokens after it.
//!
//! Handlers decode into commands and run the use case on a task of its own: a dropped connection cancels nothing.

mod decode;
mod enrolments;
mod tokens;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ca_core::{
    app::{
        custody::{deposit::Deposits, erasure::TellErasure, unblock::Unblock},
        enrol::{certify::CertifyEnrolment, confirm::ConfirmEnrolment, open::OpenEnrolment},
    },
    ports::clock::Clock,
};
use ca_wire::{problem::Code, version::AgentVersions};
use tokio::sync::Notify;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    detached::Detached, documented::Refusals, enrolment::Forms, problem::Refused, support::SupportId,
};
use crate::metrics::Metrics;

/// What the API needs.
pub(crate) struct Api {
    pub(crate) open: Arc<OpenEnrolment>,
    pub(crate) certify: Arc<CertifyEnrolment>,
    pub(crate) confirm: Arc<ConfirmEnrolment>,
    pub(crate) deposits: Arc<Deposits>,
    pub(crate) unblock: Arc<Unblock>,
    pub(crate) erasure: Arc<TellErasure>,
    /// Wakes the job that publishes CRLs.
    pub(crate) revoked: Arc<Notify>,
    pub(crate) forms: Arc<Forms>,
    pub(crate) lowest_agent: String,
    pub(crate) newest_agent: String,
    pub(crate) agent_download: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) detached: Detached,
}

impl Api {
    /// Turns agents away that are too old.
    fn check_agent(&self, version: &str) -> Result<(), Refused> {
        if decode::is_at_least(version, &self.lowest_agent) {
            return Ok(());
        }
        let detail = format!("Get version {} or newer from {}", self.lowest_agent, self.agent_download);
        Err(Refused::new(Code::AgentTooOld).because(detail))
    }
}

/// The routes, and what the document says of them.
pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(agent))
        .routes(routes!(enrolments::open))
        .routes(routes!(enrolments::certify))
        .routes(routes!(enrolments::confirm))
        .routes(routes!(tokens::deposit))
        .routes(routes!(tokens::confirm_deposit))
        .routes(routes!(tokens::ask))
        .routes(routes!(tokens::look_up))
        .routes(routes!(tokens::release))
        .routes(routes!(tokens::tell_erasure))
}

/// The routes with everything else refused.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let (routes, _) = routes().split_for_parts();
    routes.method_not_allowed_fallback(wrong_method).fallback(nothing_here).with_state(api)
}

/// Which agents the server works with.
#[utoipa::path(
    get,
    path = "/api/v1/agent",
    tag = "enrolment",
    operation_id = "agentVersions",
    responses((status = 200, description = "Versions", body = AgentVersions), Refusals)
)]
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
