//! Health and metrics, on loopback.
//!
//! `/livez`: the process answers, so it isn't wedged; it says nothing of what it depends on, for killing it would not
//! mend that. `/readyz`: it would do its work; see [`Readiness`]. `/metrics`: see `ca/docs/metrics.md`; touches neither
//! ledger nor signer.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ca_core::ports::census::LedgerCensus;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{detached::Detached, layers::plain};
use crate::{
    metrics::{Metrics, PasswordLoad},
    readiness::Readiness,
};

/// A pool of password hashing by its name.
pub(crate) type Pool = (&'static str, Box<dyn Fn() -> PasswordLoad + Send + Sync>);

/// What operations look at.
pub(crate) struct Ops {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) census: Arc<dyn LedgerCensus>,
    pub(crate) detached: Detached,
    pub(crate) passwords: Vec<Pool>,
}

/// The routes, and what the document says of them.
pub(crate) fn routes() -> OpenApiRouter<Arc<Ops>> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// The routes with everything else refused.
pub(crate) fn router(state: Arc<Ops>) -> Router {
    let (routes, _) = routes().split_for_parts();
    routes.fallback(|| async { plain(StatusCode::NOT_FOUND, "There is nothing here.\n") }).with_state(state)
}

/// Whether the process answers.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operations",
    operation_id = "livez",
    responses((status = 200, description = "It does", content_type = "text/plain", body = String))
)]
async fn livez() -> Response {
    plain(StatusCode::OK, "alive\n")
}

/// What Prometheus scrapes.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    operation_id = "metrics",
    responses((status = 200, description = "OpenMetrics", content_type = "application/openmetrics-text", body = String))
)]
async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    ops.metrics.ledger.load(&ops.census.load());
    ops.metrics.node.detached(ops.detached.count());
    for (pool, load) in &ops.passwords {
        ops.metrics.node.passwords(pool, &load());
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], ops.metrics.text()).into_response()
}

/// Whether the node would do its work.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    operation_id = "readyz",
    responses(
        (status = 200, description = "It would", body = Object),
        (status = 503, description = "It would not; `components` says why", body = Object),
    )
)]
async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let verdict = ops.readiness.look().await;
    let status = if verdict.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(verdict)).into_response()
}
