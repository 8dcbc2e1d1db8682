//! What certificates are worth, for the bank's other applications: one certificate serves several services.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ca_core::{
    app::certificate_status::Known,
    domain::{
        certificate::CertificateState as LedgerState,
        ids::{IssuerId, SerialNumber},
        machine::{Machine, MachineRole},
        standing::Standing,
    },
};
use ca_wire::{
    machine::{
        AccountStatus, AssuranceStatus, Batch, BatchResults, CertificateState, CertificateStatus,
        DeviceStatus, RevocationStatus, StatusQuery,
    },
    problem::Code,
};

use super::{
    MachineApi,
    batch::{self, Kind},
};
use crate::http::{
    connection::Peer, documented::Refusals, path::Named, problem::Refused, support::SupportId,
};

/// The largest certificate of ours has under 3 KiB.
const QUERY: Kind = Kind { step: "machine-status", role: MachineRole::Status, entry_limit: 8 * 1024 };

/// What a certificate is worth, by issuer and serial number.
#[utoipa::path(
    get,
    path = "/machine/v1/certificates/{issuer}/{serial}",
    tag = "status",
    operation_id = "certificateStatus",
    params(
        ("issuer" = String, Path, description = "The issuer by its name here, such as customer"),
        ("serial" = String, Path, description = "Lower-case hexadecimal digits in pairs, in the INTEGER's shortest form"),
    ),
    responses((status = 200, description = "What it is worth", body = CertificateStatus), Refusals),
    security(("machine" = []))
)]
pub(super) async fn by_serial(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    Named(names): Named<(String, String)>,
) -> Response {
    let status = find(&api, &peer, names).await;
    if status.is_ok() {
        api.metrics.outcome(QUERY.step, "done");
    }
    api.answer(QUERY.step, support_id, status.map(|status| Json(status).into_response()))
}

async fn find(
    api: &MachineApi,
    peer: &Peer,
    names: Option<(String, String)>,
) -> Result<CertificateStatus, Refused> {
    let admitted = api.admit(peer, MachineRole::Status).await?;
    api.charge(&admitted, peer, 1).await?;
    let (issuer, serial) =
        names.ok_or_else(|| Refused::new(Code::MalformedRequest).because("The path isn't UTF-8."))?;
    let query = StatusQuery { issuer: Some(issuer), serial: Some(serial), certificate: None };
    look_up(api, query).await
}

/// What up to 100 certificates are worth, by issuer and serial number or by the certificate itself.
#[utoipa::path(
    post,
    path = "/machine/v1/certificates/query",
    tag = "status",
    operation_id = "certificateStatuses",
    request_body = Batch<StatusQuery>,
    responses(
        (status = 200, description = "A result for each entry", body = BatchResults<CertificateStatus>),
        Refusals
    ),
    security(("machine" = []))
)]
pub(super) async fn query(
    State(api): State<Arc<MachineApi>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let results = batch::run(&api, QUERY, (support_id, &peer), request, query_one).await;
    let response = results.map(|results| Json(BatchResults { results }).into_response());
    api.answer(QUERY.step, support_id, response)
}

async fn query_one(
    api: Arc<MachineApi>,
    _: Arc<Machine>,
    query: StatusQuery,
) -> Result<(StatusCode, CertificateStatus), Refused> {
    Ok((StatusCode::OK, look_up(&api, query).await?))
}

async fn look_up(api: &MachineApi, query: StatusQuery) -> Result<CertificateStatus, Refused> {
    let malformed = |what: &str| Refused::new(Code::MalformedRequest).because(what);
    let known = match query {
        StatusQuery { certificate: Some(der), issuer: None, serial: None } => {
            api.status.by_certificate(&der.0).await?
        }
        StatusQuery { certificate: None, issuer: Some(issuer), serial: Some(serial) } => {
            let issuer = IssuerId::parse(&issuer).map_err(|_| malformed("issuer isn't an issuer's name."))?;
            let serial = SerialNumber::parse(&serial).map_err(|_| {
                malformed(
                    "serial isn't a serial number: write lower-case hexadecimal digits in pairs, the INTEGER in its \
                     shortest form, without sign, prefix or separators.",
                )
            })?;
            api.status.by_serial(&issuer, &serial).await?
        }
        _ => return Err(malformed("Send either issuer and serial, or certificate.")),
    };
    api.told(&known)
}

impl MachineApi {
    fn told(&self, known: &Known) -> Result<CertificateStatus, Refused> {
        let Known { record, user, standing, is_usable, at } = known;
        let policies = self.policies.iter().find(|(issuer, _)| issuer == record.issuer.as_str());
        let (_, policies) = policies.ok_or_else(|| Refused::new(Code::CertificateUnknown))?;
        let confirmed_at = match record.state {
            LedgerState::Issued { confirmed_at, .. } => confirmed_at,
            LedgerState::Intended | LedgerState::Abandoned | LedgerState::Revoked { .. } => None,
        };
        let revocation = standing
            .revocation()
            .map(|(at, reason)| RevocationStatus { at, reason: reason.as_str().to_owned() });
        Ok(CertificateStatus {
            issuer: record.issuer.to_string(),
            serial: record.serial.to_string(),
            usable: *is_usable,
            as_of: *at,
            state: state(*standing),
            revocation,
            confirmed_at,
            not_before: record.not_before,
            not_after: record.not_after,
            user_id: record.user.to_string(),
            contract: record.contract.to_string(),
            account: AccountStatus {
                state: user.state.as_str().to_owned(),
                locked: user.locked_at.is_some(),
            },
            assurance: AssuranceStatus {
                level: record.assurance.as_str().to_owned(),
                policy: policies.of(record.assurance).to_string(),
            },
            device: DeviceStatus {
                kind: record.device.kind.as_str().to_owned(),
                serial: record.device.serial.to_string(),
            },
        })
    }
}

fn state(standing: Standing) -> CertificateState {
    match standing {
        Standing::Intended => CertificateState::Intended,
        Standing::Abandoned => CertificateState::Abandoned,
        Standing::NotYetValid => CertificateState::NotYetValid,
        Standing::Unconfirmed => CertificateState::Unconfirmed,
        Standing::Active => CertificateState::Active,
        Standing::Expired => CertificateState::Expired,
        Standing::Superseded { .. } => CertificateState::Superseded,
        Standing::Revoked { .. } => CertificateState::Revoked,
    }
}
