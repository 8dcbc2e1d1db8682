//! ホーム: the certificate, the device that it lives on, the last logins.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use ca_core::{
    app::customers::CustomerError,
    domain::{
        device::{Assurance, DeviceKind},
        user::Role,
    },
    ports::store::StoreError,
};
use ca_x509::name::shown;
use der::Decode;
use jiff::Timestamp;

use super::{
    Portal,
    catalogue::Catalogue,
    pages::{self, page},
    unavailable,
    visitor::LoggedIn,
};

/// Logins shown at the most.
const LOGINS: u32 = 5;

#[derive(Debug, thiserror::Error)]
enum HomeError {
    #[error(transparent)]
    Customer(#[from] CustomerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The home page.
pub(super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    match gather(&portal, &logged_in).await {
        Ok(home) => page(StatusCode::OK, &home),
        Err(error) => {
            let visitor = &logged_in.visitor;
            unavailable("the home page", &error, visitor.language, visitor.support_id, &portal)
        }
    }
}

async fn gather(portal: &Portal, logged_in: &LoggedIn) -> Result<pages::Home, HomeError> {
    let (user, certificate) = (&logged_in.active.user, &logged_in.active.certificate);
    let (contract, _) = portal.customers.contract(&user.contract).await?;
    let logins = portal.logins.last_logins(&user.id, LOGINS).await?;
    let frame = logged_in.frame("home");
    let t = frame.t;
    let (subject, issuer) = names(certificate.der().unwrap_or_default());
    Ok(pages::Home {
        contract_name: contract.name,
        contract_number: contract.number.to_string(),
        display_name: user.display_name.clone(),
        user_id: user.id.to_string(),
        role: match user.role {
            Role::Master => t.role_master,
            Role::General => t.role_general,
        },
        subject,
        issuer,
        serial: certificate.serial.to_string(),
        valid_from: t.time(certificate.not_before),
        valid_until: t.time(certificate.not_after),
        days_left: days_left(t, portal.clock.now(), certificate.not_after),
        device_kind: match certificate.device.kind {
            DeviceKind::YubiKeyPiv => t.device_yubikey_piv,
            DeviceKind::Tpm => t.device_tpm,
            DeviceKind::Piv => t.device_piv,
            DeviceKind::Pkcs11 => t.device_pkcs11,
        },
        device_serial: certificate.device.serial.to_string(),
        assurance: match certificate.assurance {
            Assurance::Asserted => t.assurance_asserted,
            Assurance::Attested => t.assurance_attested,
            Assurance::AttestedWithPin => t.assurance_attested_pin,
        },
        logins: logins.into_iter().map(|(at, serial)| (t.time(at), serial.to_string())).collect(),
        frame,
    })
}

fn days_left(t: &Catalogue, now: Timestamp, until: Timestamp) -> String {
    let days = until.duration_since(now).as_hours() / 24;
    Catalogue::fill(t.days_left, &days.max(0).to_string())
}

/// Subject and issuer as they stand in the certificate.
fn names(der: &[u8]) -> (String, String) {
    x509_cert::Certificate::from_der(der)
        .map(|certificate| {
            let tbs = certificate.tbs_certificate();
            (shown(tbs.subject()), shown(tbs.issuer()))
        })
        .unwrap_or_default()
}
