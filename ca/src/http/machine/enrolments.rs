//! Registration: the three steps of an enrolment for many users at once. The use cases are those of the agents' API, so
//! that nothing that a machine sends is judged by other rules.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ca_core::{
    app::enrol::{
        applicant::{Caller, Credentials},
        certify, confirm,
        look_up::{Found, Stage as FoundStage},
        open,
        refusal::Refusal,
    },
    domain::{
        enrolment::EnrolmentState,
        ids::{EnrolmentId, IdempotencyKey},
        machine::{Machine, MachineRole},
    },
};
use ca_wire::{
    Base64Url,
    enrolment::Opened,
    machine::{
        Batch, BatchResults, CertifyEntry, CertifyResults, ConfirmEntry, Confirmed, DeviceStatus,
        EnrolmentStatus, Issued, OpenEntry, Stage,
    },
    problem::{Code, Problem},
};

use super::{
    MachineApi,
    batch::{self, Kind},
};
use crate::http::{
    connection::Peer,
    documented::Refusals,
    enrolment::{certificate_sha256, device, evidence, renews, tpm_keys},
    path::{self, Named},
    problem::Refused,
    support::SupportId,
};

/// A TPM's keys and its certificate take most of it.
const OPEN: Kind = Kind { step: "machine-open", role: MachineRole::Registration, entry_limit: 8 * 1024 };
/// A request and up to five certificates of 4 KiB in base64 would be more; genuine ones have under 6 KiB.
const CERTIFY: Kind =
    Kind { step: "machine-certify", role: MachineRole::Registration, entry_limit: 16 * 1024 };
const CONFIRM: Kind = Kind { step: "machine-confirm", role: MachineRole::Registration, entry_limit: 1024 };

/// Open enrolments: the machine vouches for each user; the token must be assigned to that user.
#[utoipa::path(
    post,
    path = "/machine/v1/enrolments",
    tag = "registration",
    operation_id = "openEnrolments",
    request_body = Batch<OpenEntry>,
    responses((status = 200, description = "A result for each entry", body = BatchResults<Opened>), Refusals),
    security(("machine" = []))
)]
pub(super) async fn open(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let results = batch::run(&api, OPEN, (support_id, &peer), request, open_one).await;
    let response = results.map(|results| Json(BatchResults { results }).into_response());
    api.answer(OPEN.step, support_id, response)
}

async fn open_one(
    api: Arc<MachineApi>,
    machine: Arc<Machine>,
    entry: OpenEntry,
) -> Result<(StatusCode, Opened), Refused> {
    let (device, firmware) = device(&entry.device)?;
    let command = open::Open {
        user_id: entry.user_id,
        credentials: Credentials::Machine(machine),
        device,
        tpm: entry.tpm.map(tpm_keys),
        renews: renews(entry.renews.as_deref())?,
        firmware,
        idempotency_key: key(&entry.idempotency_key)?,
    };
    let opened = api.open.run(command).await?;
    Ok((first_or_repeat(opened.is_new), api.forms.opened(&opened)))
}

/// Certify: evidence and certification requests in, certificates out.
#[utoipa::path(
    post,
    path = "/machine/v1/enrolments/certificates",
    tag = "registration",
    operation_id = "certifyEnrolments",
    request_body = Batch<CertifyEntry>,
    responses((status = 200, description = "A result for each entry", body = CertifyResults), Refusals),
    security(("machine" = []))
)]
pub(super) async fn certify(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let results = batch::run(&api, CERTIFY, (support_id, &peer), request, certify_one).await;
    let response = results
        .map(|results| Json(CertifyResults { chain: api.forms.chain.clone(), results }).into_response());
    api.answer(CERTIFY.step, support_id, response)
}

async fn certify_one(
    api: Arc<MachineApi>,
    machine: Arc<Machine>,
    entry: CertifyEntry,
) -> Result<(StatusCode, Issued), Refused> {
    let command = certify::Certify {
        caller: Caller::Machine(machine),
        enrolment: EnrolmentId(entry.enrolment_id),
        bearer: entry.bearer.into(),
        idempotency_key: key(&entry.idempotency_key)?,
        evidence: evidence(entry.evidence, &entry.csr.0),
        csr: entry.csr.0,
        challenge_signature: entry.challenge_signature.0,
        predecessor_signature: entry.predecessor_signature.map(|signature| signature.0),
    };
    let certified = api.certify.run(command).await?;
    let certificate = Base64Url(certified.certificate.der().to_vec());
    Ok((first_or_repeat(certified.is_new), Issued { certificate }))
}

/// Confirm that the certificates were read back from the tokens.
#[utoipa::path(
    post,
    path = "/machine/v1/enrolments/confirmations",
    tag = "registration",
    operation_id = "confirmEnrolments",
    request_body = Batch<ConfirmEntry>,
    responses((status = 200, description = "A result for each entry", body = BatchResults<Confirmed>), Refusals),
    security(("machine" = []))
)]
pub(super) async fn confirm(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let results = batch::run(&api, CONFIRM, (support_id, &peer), request, confirm_one).await;
    let response = results.map(|results| Json(BatchResults { results }).into_response());
    api.answer(CONFIRM.step, support_id, response)
}

async fn confirm_one(
    api: Arc<MachineApi>,
    machine: Arc<Machine>,
    entry: ConfirmEntry,
) -> Result<(StatusCode, Confirmed), Refused> {
    let command = confirm::Confirm {
        caller: Caller::Machine(machine),
        enrolment: EnrolmentId(entry.enrolment_id),
        bearer: entry.bearer.into(),
        idempotency_key: key(&entry.idempotency_key)?,
        certificate_sha256: certificate_sha256(entry.certificate_sha256)?,
    };
    api.confirm.run(command).await?;
    Ok((StatusCode::OK, Confirmed { enrolment_id: entry.enrolment_id }))
}

/// Where an enrolment stands.
#[utoipa::path(
    get,
    path = "/machine/v1/enrolments/{id}",
    tag = "registration",
    operation_id = "lookUpEnrolment",
    params(("id" = Uuid, Path, description = "The enrolment")),
    responses((status = 200, description = "Where it stands", body = EnrolmentStatus), Refusals),
    security(("machine" = []))
)]
pub(super) async fn look_up(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    Named(id): Named<String>,
) -> Response {
    let found = find(&api, &peer, id.as_deref()).await;
    let response = found.map(|found| Json(status(&api, &found, support_id)).into_response());
    api.answer("machine-enrolment-status", support_id, response)
}

async fn find(api: &MachineApi, peer: &Peer, id: Option<&str>) -> Result<Found, Refused> {
    let admitted = api.admit(peer, MachineRole::Registration).await?;
    api.charge(&admitted, peer, 1).await?;
    let found = match id.and_then(path::uuid) {
        Some(id) => api.look_up.run(EnrolmentId(id), &admitted.machine).await?,
        None => None,
    };
    found.ok_or_else(|| Refused::new(Code::NotFound).because("There is no such enrolment."))
}

fn status(api: &MachineApi, found: &Found, support_id: SupportId) -> EnrolmentStatus {
    let stage = match found.stage() {
        FoundStage::Challenged => Stage::Challenged,
        FoundStage::Intended => Stage::Intended,
        FoundStage::Issued => Stage::Issued,
        FoundStage::Confirmed => Stage::Confirmed,
        FoundStage::Refused => Stage::Refused,
        FoundStage::Ended => Stage::Ended,
    };
    let stands = matches!(stage, Stage::Issued | Stage::Confirmed);
    let der = found.certificate.as_ref().and_then(|record| record.der()).filter(|_| stands);
    let problem: Option<Problem> = match &found.enrolment.state {
        EnrolmentState::Refused { code, detail } => {
            let refusal = Refusal { code: code.clone(), detail: detail.clone() };
            Some(Refused::from(refusal).problem(support_id))
        }
        EnrolmentState::Challenged | EnrolmentState::Certified { .. } => None,
    };
    EnrolmentStatus {
        enrolment_id: found.enrolment.id.0,
        user_id: found.user.id.to_string(),
        contract: found.user.contract.to_string(),
        device: DeviceStatus {
            kind: found.enrolment.device.kind.as_str().to_owned(),
            serial: found.enrolment.device.serial.to_string(),
        },
        stage,
        opened_at: found.enrolment.opened_at,
        expires_at: found.enrolment.expires_at,
        certified: der.map(|der| api.forms.certified(der)),
        problem,
    }
}

fn key(text: &str) -> Result<IdempotencyKey, Refused> {
    IdempotencyKey::parse(text).map_err(|_| {
        Refused::new(Code::IdempotencyKey)
            .because("An idempotency key has 16 to 64 of 0-9, A-Z, a-z, '-' and '_'.")
    })
}

fn first_or_repeat(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}
