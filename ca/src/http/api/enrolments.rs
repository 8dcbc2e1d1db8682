//! The three steps of an enrolment, exactly as `ca_wire::enrolment` says.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use ca_core::{
    app::enrol::{certify, confirm, open},
    domain::{
        attestation::{
            Evidence,
            yubikey::{Firmware, YubiKeyEvidence},
        },
        device::{Device, DeviceKind},
        ids::{EnrolmentId, TokenSerial},
    },
};
use ca_wire::{
    Base64Url,
    enrolment::{Certified, Certify, Confirm, Evidence as WireEvidence, KeyRequirements, Open, Opened},
    problem::Code,
};
use ca_x509::KeyKind;
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{Api, decode};
use crate::http::{connection::Peer, problem::Refused, support::SupportId};

/// Step 1 has a password, a code and a few identifiers.
const OPEN_LIMIT: usize = 8 * 1024;
/// Step 2 has a request and up to five certificates of 4 KiB, in base64.
const CERTIFY_LIMIT: usize = 64 * 1024;
/// Step 3 has a hash.
const CONFIRM_LIMIT: usize = 1024;

/// `POST /api/v1/enrolments`.
pub(super) async fn open(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = match decode::json::<Open>(&parts, body, OPEN_LIMIT).await {
        Ok(wire) => open_command(&api, &parts, &peer, wire),
        Err(refused) => Err(refused),
    };
    let result = match command {
        Ok(command) => {
            let use_case = api.open.clone();
            detached(async move { use_case.run(command).await }).await
        }
        Err(refused) => Err(refused),
    };
    api.answer("open", support_id, result.map(|opened| opened_response(&api, &opened)))
}

fn open_command(api: &Api, parts: &Parts, peer: &Peer, wire: Open) -> Result<open::Open, Refused> {
    let idempotency_key = decode::idempotency_key(&parts.headers)?;
    if !decode::is_at_least(&wire.agent_version, &api.lowest_agent) {
        let detail = format!("Get version {} or newer from {}", api.lowest_agent, api.agent_download);
        return Err(Refused::new(Code::AgentTooOld).because(detail));
    }
    let malformed = |what: &str| Refused::new(Code::MalformedRequest).because(what);
    let device = Device {
        kind: DeviceKind::parse(&wire.device.kind).ok_or_else(|| malformed("device.kind is unknown."))?,
        serial: TokenSerial::parse(&wire.device.serial)
            .map_err(|_| malformed("device.serial isn't a serial number."))?,
    };
    let firmware = Firmware::parse(&wire.device.firmware)
        .ok_or_else(|| malformed("device.firmware isn't major.minor.patch."))?;
    Ok(open::Open {
        user_id: wire.user_id,
        password: wire.password.into(),
        acquisition_code: wire.acquisition_code.map(Into::into),
        device,
        firmware,
        idempotency_key,
        source: decode::source(peer),
    })
}

fn opened_response(api: &Api, opened: &open::Opened) -> Response {
    let certified = opened.certified.as_ref().and_then(|record| record.der()).map(|der| api.certified(der));
    let body = Opened {
        enrolment_id: opened.enrolment.id.0,
        bearer: opened.bearer.expose_secret().to_owned(),
        challenge: Base64Url(opened.enrolment.challenge.to_vec()),
        expires_at: opened.enrolment.expires_at,
        key: api.key_requirements(&opened.keys),
        certified,
    };
    let status = if opened.is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(body)).into_response()
}

/// `POST /api/v1/enrolments/{id}/certificate`.
pub(super) async fn certify(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = match later_step(&parts, &id) {
        Ok(step) => decode::json::<Certify>(&parts, body, CERTIFY_LIMIT).await.map(|wire| certify::Certify {
            enrolment: step.enrolment,
            bearer: step.bearer,
            idempotency_key: step.idempotency_key,
            csr: wire.csr.0,
            evidence: evidence(wire.evidence),
            challenge_signature: wire.challenge_signature.0,
        }),
        Err(refused) => Err(refused),
    };
    let result = match command {
        Ok(command) => {
            let use_case = api.certify.clone();
            detached(async move { use_case.run(command).await }).await
        }
        Err(refused) => Err(refused),
    };
    let response = result.map(|certified| {
        let status = if certified.is_new { StatusCode::CREATED } else { StatusCode::OK };
        (status, Json(api.certified(certified.certificate.der()))).into_response()
    });
    api.answer("certify", support_id, response)
}

fn evidence(wire: WireEvidence) -> Evidence {
    match wire {
        WireEvidence::YubikeyPiv { slot, f9, intermediates } => Evidence::YubiKeyPiv(YubiKeyEvidence {
            slot: slot.0,
            f9: f9.0,
            intermediates: intermediates.into_iter().map(|certificate| certificate.0).collect(),
        }),
    }
}

/// `POST /api/v1/enrolments/{id}/confirmation`.
pub(super) async fn confirm(
    State(api): State<Arc<Api>>,
    Extension(support_id): Extension<SupportId>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let command = match later_step(&parts, &id) {
        Ok(step) => decode::json::<Confirm>(&parts, body, CONFIRM_LIMIT).await.and_then(|wire| {
            let certificate_sha256 = wire.certificate_sha256.0.try_into().map_err(|_| {
                Refused::new(Code::MalformedRequest).because("certificate_sha256 has 32 octets.")
            })?;
            Ok(confirm::Confirm {
                enrolment: step.enrolment,
                bearer: step.bearer,
                idempotency_key: step.idempotency_key,
                certificate_sha256,
            })
        }),
        Err(refused) => Err(refused),
    };
    let result = match command {
        Ok(command) => {
            let use_case = api.confirm.clone();
            detached(async move { use_case.run(command).await }).await
        }
        Err(refused) => Err(refused),
    };
    api.answer("confirm", support_id, result.map(|()| StatusCode::NO_CONTENT.into_response()))
}

/// What steps 2 and 3 have in common.
struct LaterStep {
    enrolment: EnrolmentId,
    bearer: secrecy::SecretString,
    idempotency_key: ca_core::domain::ids::IdempotencyKey,
}

fn later_step(parts: &Parts, id: &str) -> Result<LaterStep, Refused> {
    // One spelling only: no braces, no capital letters, no `urn:uuid:`.
    let enrolment = Uuid::try_parse(id).ok().filter(|uuid| uuid.hyphenated().to_string() == id);
    Ok(LaterStep {
        enrolment: EnrolmentId(enrolment.ok_or_else(|| Refused::new(Code::NotFound))?),
        bearer: decode::bearer(&parts.headers)?,
        idempotency_key: decode::idempotency_key(&parts.headers)?,
    })
}

/// Runs a use case to its end, whether or not the client still waits for it.
async fn detached<T, E>(use_case: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, Refused>
where
    T: Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let span = tracing::Span::current();
    let task = tokio::spawn(tracing::Instrument::instrument(use_case, span));
    match task.await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => {
            tracing::error!(%error, "a use case broke off");
            Err(Refused::new(Code::Internal).because("Tell the help desk the support ID."))
        }
    }
}

impl Api {
    fn answer(
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

    fn certified(&self, der: &[u8]) -> Certified {
        let chain = self.chain.iter().map(|certificate| Base64Url(certificate.clone())).collect();
        Certified { certificate: Base64Url(der.to_vec()), chain }
    }

    fn key_requirements(&self, keys: &[KeyKind]) -> KeyRequirements {
        let devices = &self.policy.devices;
        KeyRequirements {
            slots: devices.slots.iter().map(ToString::to_string).collect(),
            algorithms: keys.iter().map(|kind| algorithm(*kind)).collect(),
            pin_policy: "once".to_owned(),
            touch_policy: devices.touch_policies.first().map_or("never", |touch| touch.as_str()).to_owned(),
        }
    }
}

fn algorithm(kind: KeyKind) -> String {
    match kind {
        KeyKind::P256 => "p256".to_owned(),
        KeyKind::P384 => "p384".to_owned(),
        KeyKind::Rsa { bits } => format!("rsa{bits}"),
    }
}
