//! `/machine/v1` for the bank's own systems: registration in batches, and what certificates are worth. It lives at the
//! client-certificate listener beside the portal, and shares nothing with it: no cookie opens anything here, and a
//! machine's certificate opens nothing there.
//!
//! Entries run on tasks of their own: a dropped connection cancels nothing, and one entry knows nothing of the others.

mod batch;
mod enrolments;
pub(crate) mod limits;
mod status;

use std::sync::Arc;

use axum::{Extension, Router, extract::State, http::StatusCode, response::Response, routing::any};
use ca_core::{
    app::{
        certificate_status::CertificateStatus,
        enrol::{
            certify::CertifyEnrolment, confirm::ConfirmEnrolment, look_up::LookUpEnrolment,
            open::OpenEnrolment,
        },
        machines::{AdmitError, AdmitMachine},
    },
    domain::{
        machine::{Machine, MachineRole},
        profile::PolicyOids,
    },
    ports::clock::Clock,
};
use ca_wire::problem::Code;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{connection::Peer, detached::Detached, enrolment::Forms, problem::Refused, support::SupportId};
use crate::metrics::Metrics;
use limits::{Gate, Gates};
use tokio::sync::OwnedSemaphorePermit;

/// What the API needs.
pub(crate) struct MachineApi {
    pub(crate) admit: Arc<AdmitMachine>,
    pub(crate) open: Arc<OpenEnrolment>,
    pub(crate) certify: Arc<CertifyEnrolment>,
    pub(crate) confirm: Arc<ConfirmEnrolment>,
    pub(crate) look_up: Arc<LookUpEnrolment>,
    pub(crate) status: Arc<CertificateStatus>,
    /// The certificate policies of each issuer, by its name.
    pub(crate) policies: Vec<(String, PolicyOids)>,
    pub(crate) forms: Arc<Forms>,
    pub(crate) gates: Gates,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) detached: Detached,
}

/// The routes, and what the document says of them.
pub(crate) fn routes() -> OpenApiRouter<Arc<MachineApi>> {
    OpenApiRouter::new()
        .routes(routes!(enrolments::open))
        .routes(routes!(enrolments::certify))
        .routes(routes!(enrolments::confirm))
        .routes(routes!(enrolments::look_up))
        .routes(routes!(status::by_serial))
        .routes(routes!(status::query))
}

/// The routes with everything else below `/machine` refused.
pub(crate) fn router(api: Arc<MachineApi>) -> Router {
    let (routes, _) = routes().split_for_parts();
    routes
        .method_not_allowed_fallback(wrong_method)
        .route("/machine", any(nothing_here))
        .route("/machine/", any(nothing_here))
        .route("/machine/{*rest}", any(nothing_here))
        .with_state(api)
}

async fn nothing_here(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
) -> Response {
    Refused::new(Code::NotFound).respond(support_id, api.clock.now())
}

async fn wrong_method(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
) -> Response {
    let refused = Refused::new(Code::MalformedRequest).with_status(StatusCode::METHOD_NOT_ALLOWED);
    refused.respond(support_id, api.clock.now())
}

/// A machine that was let in, with its place among those of its requests that are under way: free again when this is
/// dropped, which is when the last entry is done.
struct Admitted {
    machine: Arc<Machine>,
    gate: Arc<Gate>,
    _place: OwnedSemaphorePermit,
}

impl MachineApi {
    /// Lets a machine in that may do this and isn't asking too much.
    async fn admit(&self, peer: &Peer, role: MachineRole) -> Result<Admitted, Refused> {
        let machine = self.admit.run(peer.identity.presented(), role, &source(peer)).await?;
        let gate = self.gates.of(&machine.id)?;
        if let Some(place) = gate.enter() {
            return Ok(Admitted { machine, gate, _place: place });
        }
        self.admit.refuse(peer.identity.presented(), AdmitError::Throttled, &source(peer)).await;
        let soon = self.clock.now() + jiff::SignedDuration::from_secs(1);
        Err(Refused::new(Code::Unavailable)
            .because("Too many of this machine's requests are under way.")
            .not_before(Some(soon)))
    }

    /// Charges so many entries to the machine's rate.
    async fn charge(&self, admitted: &Admitted, peer: &Peer, entries: usize) -> Result<(), Refused> {
        let Err(wait) = admitted.gate.charge(entries) else { return Ok(()) };
        self.admit.refuse(peer.identity.presented(), AdmitError::Throttled, &source(peer)).await;
        let retry_at = jiff::SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| self.clock.now().checked_add(wait).ok());
        Err(Refused::new(Code::RateLimited)
            .because("This machine sends more entries a second than it is allowed.")
            .not_before(retry_at))
    }

    fn answer(
        &self,
        step: &'static str,
        support_id: SupportId,
        result: Result<Response, Refused>,
    ) -> Response {
        match result {
            Ok(response) => response,
            Err(refused) => {
                self.metrics.outcome(step, refused.code.as_str());
                refused.respond(support_id, self.clock.now())
            }
        }
    }
}

/// Where a request came from, for the trail.
fn source(peer: &Peer) -> String {
    peer.address.ip().to_canonical().to_string()
}
