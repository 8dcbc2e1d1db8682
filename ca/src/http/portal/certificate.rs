//! 電子証明書の詳細: what a certificate says, in the words of the browser's chooser, to be printed.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use ca_core::{
    app::customers::CustomerError,
    domain::{
        certificate::CertificateRecord,
        contract::Contract,
        device::{Assurance, Device, DeviceKind},
        notice::days_left,
        renewal::lapses_at,
        user::{Role, User},
    },
};
use ca_x509::name::shown;
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    Portal,
    catalogue::Catalogue,
    forms::failed,
    pages::{Frame, page},
    visitor::LoggedIn,
};

/// What is shown of a certificate.
pub(super) struct Facts {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) valid_from: String,
    pub(super) valid_until: String,
    pub(super) days_left: String,
    pub(super) device_kind: &'static str,
    pub(super) device_serial: String,
    pub(super) assurance: &'static str,
    pub(super) fingerprint: String,
}

impl Facts {
    /// Of a certificate in the ledger; subject and issuer as they stand in the certificate itself.
    pub(super) fn of(t: &Catalogue, record: &CertificateRecord, now: Timestamp) -> Self {
        let der = record.der().unwrap_or_default();
        let (subject, issuer) = x509_cert::Certificate::from_der(der)
            .map(|certificate| {
                let tbs = certificate.tbs_certificate();
                (shown(tbs.subject()), shown(tbs.issuer()))
            })
            .unwrap_or_default();
        Self {
            subject,
            issuer,
            serial: record.serial.to_string(),
            valid_from: t.time(record.not_before),
            valid_until: t.time(record.not_after),
            days_left: Catalogue::fill(t.days_left, &days_left(now, record.not_after).max(0).to_string()),
            device_kind: kind(t, record.device.kind),
            device_serial: record.device.serial.to_string(),
            assurance: match record.assurance {
                Assurance::Asserted => t.assurance_asserted,
                Assurance::Attested => t.assurance_attested,
                Assurance::AttestedWithPin => t.assurance_attested_pin,
            },
            fingerprint: pairs(&Sha256::digest(der)),
        }
    }
}

/// A renewal that awaits its confirmation.
pub(super) struct Pending {
    pub(super) serial: String,
    pub(super) valid_until: String,
    pub(super) device: String,
    /// By when it is confirmed, and what happens then.
    pub(super) text: String,
}

impl Pending {
    /// Among a user's certificates.
    pub(super) fn of(t: &Catalogue, certificates: &[CertificateRecord]) -> Option<Self> {
        let issued = |record: &&CertificateRecord| record.der().is_some() && record.is_unconfirmed_renewal();
        certificates.iter().find(issued).map(|record| Self {
            serial: record.serial.to_string(),
            valid_until: t.time(record.not_after),
            device: device(t, &record.device),
            text: Catalogue::fill(t.renewal.pending, &t.time(lapses_at(record))),
        })
    }
}

/// What a kind of device is called.
pub(super) fn kind(t: &Catalogue, kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::YubiKeyPiv => t.device_yubikey_piv,
        DeviceKind::Tpm => t.device_tpm,
        DeviceKind::Piv => t.device_piv,
        DeviceKind::Pkcs11 => t.device_pkcs11,
    }
}

/// A device as tables show it.
pub(super) fn device(t: &Catalogue, device: &Device) -> String {
    format!("{} {}", kind(t, device.kind), device.serial)
}

/// What a role is called.
pub(super) fn role(t: &Catalogue, role: Role) -> &'static str {
    match role {
        Role::Master => t.role_master,
        Role::General => t.role_general,
    }
}

/// Hexadecimal in pairs, as certificate viewers show fingerprints.
fn pairs(octets: &[u8]) -> String {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}

#[derive(Template)]
#[template(path = "certificate.html")]
struct Details {
    frame: Frame,
    facts: Facts,
    contract: Contract,
    user: User,
    role: &'static str,
}

/// The page.
pub(super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    match details(&portal, &logged_in).await {
        Ok(details) => page(StatusCode::OK, &details),
        Err(error) => failed("the certificate's page", &error, &portal, &logged_in),
    }
}

async fn details(portal: &Portal, logged_in: &LoggedIn) -> Result<Details, CustomerError> {
    let (user, record) = (&logged_in.active.user, &logged_in.active.certificate);
    let (contract, _) = portal.customers.contract(&user.contract).await?;
    let frame = logged_in.frame("certificate");
    Ok(Details {
        facts: Facts::of(frame.t, record, portal.clock.now()),
        contract,
        role: role(frame.t, user.role),
        user: user.clone(),
        frame,
    })
}
