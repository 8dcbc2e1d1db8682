//! What a certificate says, in plain values.

use ca_x509::name::shown;
use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATIONAL_UNIT_NAME, UID};
use der::Decode;
use jiff::{Timestamp, Unit};
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, ext::pkix::CertificatePolicies};

/// Octets that aren't a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an X.509 certificate")]
pub(crate) struct Unreadable;

/// A certificate's content. Texts come from outside: [`super::printable`] before showing them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CertificateDetails {
    /// Attributes in the certificate's order, such as `C=JP, O=…`.
    pub(crate) subject: String,
    /// UID.
    pub(crate) user_id: Option<String>,
    /// OU, the contract number.
    pub(crate) contract_number: Option<String>,
    /// CN.
    pub(crate) name: Option<String>,
    pub(crate) issuer: String,
    /// Content octets of the INTEGER in hexadecimal digits.
    pub(crate) serial: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// The serial of the token that the certificate names (hardwareModuleName).
    pub(crate) token_serial: Option<String>,
    /// Policy OIDs: the assurance that was proven when it was issued.
    pub(crate) policies: Vec<String>,
    /// SHA-256 of the DER in hexadecimal digits.
    pub(crate) sha256: String,
}

/// Where a time lies in a certificate's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValidityState {
    NotYetValid,
    Valid,
    /// From 40 days before its end, when renewal opens.
    Expiring,
    Expired,
}

impl CertificateDetails {
    /// Reads a certificate.
    pub(crate) fn read(der: &[u8]) -> Result<Self, Unreadable> {
        let certificate = Certificate::from_der(der).map_err(|_| Unreadable)?;
        let tbs = certificate.tbs_certificate();
        let attribute = |oid| ca_x509::name::text(tbs.subject(), oid);
        let time = |time| ca_x509::time::from_x509(time).map_err(|_| Unreadable);
        Ok(Self {
            subject: shown(tbs.subject()),
            user_id: attribute(UID),
            contract_number: attribute(ORGANIZATIONAL_UNIT_NAME),
            name: attribute(COMMON_NAME),
            issuer: shown(tbs.issuer()),
            serial: hex::encode(tbs.serial_number().as_bytes()),
            not_before: time(&tbs.validity().not_before)?,
            not_after: time(&tbs.validity().not_after)?,
            token_serial: token_serial(&certificate),
            policies: policies(&certificate),
            sha256: hex::encode(Sha256::digest(der)),
        })
    }

    pub(crate) fn state(&self, now: Timestamp) -> ValidityState {
        if now < self.not_before {
            ValidityState::NotYetValid
        } else if now > self.not_after {
            ValidityState::Expired
        } else if self.days_left(now) < 40 {
            ValidityState::Expiring
        } else {
            ValidityState::Valid
        }
    }

    /// Whole days until notAfter; negative afterwards.
    pub(crate) fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.since((Unit::Hour, now)).map_or(0, |span| i64::from(span.get_hours()).div_euclid(24))
    }
}

fn token_serial(certificate: &Certificate) -> Option<String> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let module = ca_x509::extension::find_hardware_module_name(extensions)?;
    let octets = module.hw_serial_num.as_bytes();
    let text = std::str::from_utf8(octets).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    Some(text.map_or_else(|| hex::encode(octets), str::to_owned))
}

fn policies(certificate: &Certificate) -> Vec<String> {
    let policies = certificate.tbs_certificate().get_extension::<CertificatePolicies>().ok().flatten();
    let policies = policies.into_iter().flat_map(|(_, policies)| policies.0);
    policies.map(|policy| policy.policy_identifier.to_string()).collect()
}
