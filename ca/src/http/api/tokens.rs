//! Tokens after the enrolment, exactly as `ca_wire::token` says. Nothing that is answered or refused here repeats a PUK
//! but the one answer that releases it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ca_core::{
    app::custody::{
        Occasion, deposit, erasure,
        unblock::{Ask, Asked, ReleasedPuk},
    },
    domain::{
        custody::{Stage, Unblocking},
        ids::EnrolmentId,
    },
};
use ca_wire::token::{self, Approvers, KeptPuk, Released, UnblockState};
use secrecy::ExposeSecret;

use super::{Api, decode};
use crate::http::{
    connection::Peer, documented::Refusals, enrolment::device, path::Named, support::SupportId,
};

/// A password, a PUK and a few identifiers.
const SMALL: usize = 4 * 1024;
/// A certificate of 4 KiB and a signature, in base64.
const ERASURE_LIMIT: usize = 16 * 1024;

/// Keep a PUK that a token is about to get.
#[utoipa::path(
    put,
    path = "/api/v1/tokens/puks/{deposit}",
    tag = "tokens",
    operation_id = "depositPuk",
    params(("deposit" = Uuid, Path, description = "The agent's name for it")),
    request_body = token::Deposit,
    responses((status = 204, description = "It is kept"), Refusals),
    security(("bearer" = []))
)]
pub(super) async fn deposit(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(name): Named<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = async {
        let (deposit, bearer) = (decode::uuid(name.as_deref())?, decode::bearer(&parts.headers)?);
        let wire: token::Deposit = decode::json(&parts, body, SMALL).await?;
        let (occasion, puk, proven) = (occasion(wire.occasion), wire.puk.into(), wire.proven);
        Ok(deposit::Deposit { occasion, bearer, deposit, puk, proven })
    };
    let use_case = api.deposits.clone();
    let kept = api.run(command.await, move |command| async move { use_case.deposit(command).await }).await;
    api.answer("deposit-puk", support_id, kept.map(|()| StatusCode::NO_CONTENT.into_response()))
}

/// The token has the PUK; those before it are given up.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/puks/{deposit}/confirmation",
    tag = "tokens",
    operation_id = "confirmPuk",
    params(("deposit" = Uuid, Path, description = "The deposit")),
    request_body = token::Confirm,
    responses((status = 204, description = "It is confirmed"), Refusals),
    security(("bearer" = []))
)]
pub(super) async fn confirm_deposit(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(name): Named<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = async {
        let (deposit, bearer) = (decode::uuid(name.as_deref())?, decode::bearer(&parts.headers)?);
        let wire: token::Confirm = decode::json(&parts, body, SMALL).await?;
        Ok(deposit::Confirm { occasion: occasion(wire.occasion), bearer, deposit })
    };
    let use_case = api.deposits.clone();
    let done = api.run(command.await, move |command| async move { use_case.confirm(command).await }).await;
    api.answer("confirm-puk", support_id, done.map(|()| StatusCode::NO_CONTENT.into_response()))
}

/// Ask for a blocked PIN to be unblocked.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/unblockings",
    tag = "tokens",
    operation_id = "askUnblocking",
    params(("Idempotency-Key" = String, Header, description = "16 to 64 of 0-9 A-Z a-z - _; a repeat finds the request again")),
    request_body = token::Ask,
    responses(
        (status = 201, description = "It is asked for", body = token::Unblocking),
        (status = 200, description = "It was asked for already; the bearer is new", body = token::Unblocking),
        Refusals
    )
)]
pub(super) async fn ask(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = async {
        let idempotency_key = decode::idempotency_key(&parts.headers)?;
        let wire: token::Ask = decode::json(&parts, body, SMALL).await?;
        api.check_agent(&wire.agent_version)?;
        let (device, _) = device(&wire.device)?;
        let (user_id, password, source) = (wire.user_id, wire.password.into(), peer.throttled_as());
        Ok(Ask { user_id, password, device, source, idempotency_key })
    };
    let use_case = api.unblock.clone();
    let asked = api.run(command.await, move |command| async move { use_case.ask(command).await }).await;
    let response = asked.map(|asked| {
        let status = if asked.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let Asked { unblocking, bearer, masters_business, .. } = asked;
        let bearer = Some(bearer.expose_secret().to_owned());
        (status, Json(written(&api, &unblocking, masters_business, bearer))).into_response()
    });
    api.answer("ask-unblocking", support_id, response)
}

/// How far a request got.
#[utoipa::path(
    get,
    path = "/api/v1/tokens/unblockings/{id}",
    tag = "tokens",
    operation_id = "unblocking",
    params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The request", body = token::Unblocking), Refusals),
    security(("bearer" = []))
)]
pub(super) async fn look_up(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(id): Named<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let command = decode::uuid(id.as_deref()).and_then(|id| Ok((id, decode::bearer(&parts.headers)?)));
    let use_case = api.unblock.clone();
    let found =
        api.run(command, move |(id, bearer)| async move { use_case.look_up(id, &bearer).await }).await;
    let response = found.map(|(unblocking, masters_business)| {
        Json(written(&api, &unblocking, masters_business, None)).into_response()
    });
    api.answer("unblocking", support_id, response)
}

/// Fetch the PUK of an approved request, once.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/unblockings/{id}/release",
    tag = "tokens",
    operation_id = "releasePuk",
    params(("id" = Uuid, Path, description = "The request")),
    responses((status = 200, description = "The PUK; nobody gets it again", body = Released), Refusals),
    security(("bearer" = []))
)]
pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Named(id): Named<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let command = decode::uuid(id.as_deref()).and_then(|id| Ok((id, decode::bearer(&parts.headers)?)));
    let use_case = api.unblock.clone();
    let released =
        api.run(command, move |(id, bearer)| async move { use_case.release(id, &bearer).await }).await;
    let response = released.map(|puks| {
        let puk =
            |puk: &ReleasedPuk| KeptPuk { deposit: puk.deposit, puk: puk.puk.expose_secret().to_owned() };
        let mut response = Json(Released { puks: puks.iter().map(puk).collect() }).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    });
    api.answer("release-puk", support_id, response)
}

/// Tell that a certificate's key was destroyed.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/erasures",
    tag = "tokens",
    operation_id = "tellErasure",
    request_body = token::Erasure,
    responses((status = 204, description = "The certificate is revoked"), Refusals)
)]
pub(super) async fn tell_erasure(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = decode::json::<token::Erasure>(&parts, body, ERASURE_LIMIT).await;
    let command = command.map(|wire| erasure::Erasure {
        message: token::erasure_message(&wire.certificate.0, wire.erased_at),
        certificate: wire.certificate.0,
        erased_at: wire.erased_at,
        signature: wire.signature.0,
    });
    let (use_case, revoked) = (api.erasure.clone(), api.revoked.clone());
    let told = api.run(command, move |command| async move {
        let told = use_case.run(command).await;
        revoked.notify_one();
        told
    });
    api.answer("erasure", support_id, told.await.map(|()| StatusCode::NO_CONTENT.into_response()))
}

fn occasion(wire: token::Occasion) -> Occasion {
    match wire {
        token::Occasion::Enrolment(id) => Occasion::Enrolment(EnrolmentId(id)),
        token::Occasion::Unblocking(id) => Occasion::Unblocking(id),
    }
}

fn written(
    api: &Api,
    unblocking: &Unblocking,
    masters_business: bool,
    bearer: Option<String>,
) -> token::Unblocking {
    let state = match unblocking.stage {
        _ if unblocking.has_expired(api.clock.now()) => UnblockState::Expired,
        Stage::Waiting => UnblockState::Waiting,
        Stage::Approved => UnblockState::Approved,
        Stage::Released => UnblockState::Released,
        Stage::Done => UnblockState::Done,
        Stage::Declined => UnblockState::Declined,
        Stage::Withdrawn => UnblockState::Withdrawn,
    };
    token::Unblocking {
        id: unblocking.id,
        number: unblocking.number(),
        bearer,
        state,
        expires_at: unblocking.expires_at,
        approvers: if masters_business { Approvers::MasterOrBranch } else { Approvers::Branch },
    }
}
