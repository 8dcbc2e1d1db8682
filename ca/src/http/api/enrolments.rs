//! The three steps of an enrolment, exactly as `ca_wire::enrolment` says.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use ca_core::{
    app::enrol::{
        applicant::{Caller, Credentials, PasswordCredentials},
        certify, confirm, open,
    },
    domain::ids::EnrolmentId,
};
use ca_wire::enrolment::{Certified, Certify, Confirm, Open, Opened};
use serde::de::DeserializeOwned;

use super::{Api, decode};
use crate::http::{
    connection::Peer,
    documented::Refusals,
    enrolment::{certificate_sha256, device, evidence, renews, tpm_keys},
    path::Named,
    problem::Refused,
    support::SupportId,
};

/// Step 1 has a password, a code and a few identifiers; a TPM's keys and up to four certificates of 4 KiB, in base64.
const OPEN_LIMIT: usize = 32 * 1024;
/// Step 2 has a request and up to eight certificates of 4 KiB, in base64.
const CERTIFY_LIMIT: usize = 64 * 1024;
/// Step 3 has a hash.
const CONFIRM_LIMIT: usize = 1024;

/// Open an enrolment: ID, password and token buy a challenge.
#[utoipa::path(
    post,
    path = "/api/v1/enrolments",
    tag = "enrolment",
    operation_id = "openEnrolment",
    params(("Idempotency-Key" = String, Header, description = "16 to 64 of 0-9 A-Z a-z - _, the same through all three steps")),
    request_body = Open,
    responses(
        (status = 201, description = "The enrolment is open", body = Opened),
        (status = 200, description = "It was open already", body = Opened),
        Refusals
    )
)]
pub(super) async fn open(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = decode::json::<Open>(&parts, body, OPEN_LIMIT).await;
    let command = command.and_then(|wire| open_command(&api, &parts, &peer, wire));
    let use_case = api.open.clone();
    let opened = api.run(command, move |command| async move { use_case.run(command).await }).await;
    api.answer("open", support_id, opened.map(|opened| opened_response(&api, &opened)))
}

fn open_command(api: &Api, parts: &Parts, peer: &Peer, wire: Open) -> Result<open::Open, Refused> {
    let idempotency_key = decode::idempotency_key(&parts.headers)?;
    api.check_agent(&wire.agent_version)?;
    let (device, firmware) = device(&wire.device)?;
    Ok(open::Open {
        user_id: wire.user_id,
        credentials: Credentials::Password(PasswordCredentials {
            password: wire.password.into(),
            acquisition_code: wire.acquisition_code.map(Into::into),
            source: peer.throttled_as(),
        }),
        device,
        tpm: wire.tpm.map(tpm_keys),
        renews: renews(wire.renews.as_deref())?,
        firmware,
        idempotency_key,
    })
}

fn opened_response(api: &Api, opened: &open::Opened) -> Response {
    let status = if opened.is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(api.forms.opened(opened))).into_response()
}

/// Certify: evidence and certification request in, certificate out.
#[utoipa::path(
    post,
    path = "/api/v1/enrolments/{id}/certificate",
    tag = "enrolment",
    operation_id = "certifyEnrolment",
    params(
        ("id" = Uuid, Path, description = "The enrolment"),
        ("Idempotency-Key" = String, Header, description = "As in the first step"),
    ),
    request_body = Certify,
    responses(
        (status = 201, description = "The certificate", body = Certified),
        (status = 200, description = "The certificate, once more", body = Certified),
        Refusals
    ),
    security(("bearer" = []))
)]
pub(super) async fn certify(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(id): Named<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = later_step::<Certify>(&parts, id.as_deref(), body, CERTIFY_LIMIT).await;
    let command = command.map(|(step, wire)| certify::Certify {
        caller: Caller::Agent,
        enrolment: step.enrolment,
        bearer: step.bearer,
        idempotency_key: step.idempotency_key,
        evidence: evidence(wire.evidence, &wire.csr.0),
        csr: wire.csr.0,
        challenge_signature: wire.challenge_signature.0,
        predecessor_signature: wire.predecessor_signature.map(|signature| signature.0),
    });
    let use_case = api.certify.clone();
    let certified = api.run(command, move |command| async move { use_case.run(command).await }).await;
    let response = certified.map(|certified| {
        let status = if certified.is_new { StatusCode::CREATED } else { StatusCode::OK };
        (status, Json(api.forms.certified(certified.certificate.der()))).into_response()
    });
    api.answer("certify", support_id, response)
}

/// Confirm that the certificate was read back from the token.
#[utoipa::path(
    post,
    path = "/api/v1/enrolments/{id}/confirmation",
    tag = "enrolment",
    operation_id = "confirmEnrolment",
    params(
        ("id" = Uuid, Path, description = "The enrolment"),
        ("Idempotency-Key" = String, Header, description = "As in the first step"),
    ),
    request_body = Confirm,
    responses((status = 204, description = "It is confirmed"), Refusals),
    security(("bearer" = []))
)]
pub(super) async fn confirm(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(id): Named<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = later_step::<Confirm>(&parts, id.as_deref(), body, CONFIRM_LIMIT).await;
    let command = command.and_then(|(step, wire)| {
        Ok(confirm::Confirm {
            caller: Caller::Agent,
            enrolment: step.enrolment,
            bearer: step.bearer,
            idempotency_key: step.idempotency_key,
            certificate_sha256: certificate_sha256(wire.certificate_sha256)?,
        })
    });
    let use_case = api.confirm.clone();
    let confirmed = api.run(command, move |command| async move { use_case.run(command).await }).await;
    api.answer("confirm", support_id, confirmed.map(|()| StatusCode::NO_CONTENT.into_response()))
}

/// What steps 2 and 3 have in common.
struct LaterStep {
    enrolment: EnrolmentId,
    bearer: secrecy::SecretString,
    idempotency_key: ca_core::domain::ids::IdempotencyKey,
}

/// Reads such a step: what addresses it first, then its body.
async fn later_step<T: DeserializeOwned>(
    parts: &Parts,
    id: Option<&str>,
    body: Body,
    limit: usize,
) -> Result<(LaterStep, T), Refused> {
    let step = LaterStep {
        enrolment: EnrolmentId(decode::uuid(id)?),
        bearer: decode::bearer(&parts.headers)?,
        idempotency_key: decode::idempotency_key(&parts.headers)?,
    };
    Ok((step, decode::json(parts, body, limit).await?))
}

impl Api {
    /// Runs a step on a task of its own: a connection that breaks off cancels nothing.
    pub(super) async fn run<C, T, E, F>(
        &self,
        command: Result<C, Refused>,
        use_case: impl FnOnce(C) -> F,
    ) -> Result<T, Refused>
    where
        T: Send + 'static,
        E: Into<Refused> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.detached.run(use_case(command?)).await
    }

    pub(super) fn answer(
        &self,
        step: &'static str,
        support_id: SupportId,
        result: Result<Response, Refused>,
    ) -> Response {
        match result {
            Ok(response) => {
                self.metrics.outcome(step, "done");
                response
            }
            Err(refused) => {
                self.metrics.outcome(step, refused.code.as_str());
                refused.respond(support_id, self.clock.now())
            }
        }
    }
}
