//! `[validation]`: what relying parties are told, and how fresh.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ca_core::domain::responder::ResponderPolicy;
use ca_x509::publication::is_publishable;
use jiff::SignedDuration;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, listen::origin, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    base_url: String,
    root_crl: String,
    #[serde(default = "six_hours")]
    crl_interval: String,
    #[serde(default = "seven_days")]
    crl_validity: String,
    #[serde(default = "thirty_days")]
    responder_validity: String,
    #[serde(default = "ten_days")]
    responder_renew_before: String,
}

fn six_hours() -> String {
    "6h".to_owned()
}
fn seven_days() -> String {
    "7d".to_owned()
}
fn thirty_days() -> String {
    "30d".to_owned()
}
fn ten_days() -> String {
    "10d".to_owned()
}

/// CRL and OCSP.
#[derive(Debug)]
pub(crate) struct Validation {
    /// What CRL distribution points and AIA begin with, without a slash at the end.
    pub(crate) base_url: String,
    /// The root's CRL of the last ceremony, PEM or DER; read again when the file changes.
    pub(crate) root_crl: PathBuf,
    /// A new CRL at least so often.
    pub(crate) crl_interval: Duration,
    /// nextUpdate − thisUpdate.
    pub(crate) crl_validity: Duration,
    /// How long a renewed certificate of an OCSP responder is valid, and when it is renewed.
    pub(crate) responder: ResponderPolicy,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Validation> {
        let base_url = origin(&self.base_url, "http").filter(|url| is_publishable(url)).ok_or_else(|| {
            ConfigError::value(
                "validation.base_url",
                format_args!(
                    "{:?} isn't an http URL without a path whose host is an IP address or a fully qualified name",
                    self.base_url
                ),
                "write it like \"http://pki.bank.example\"; it is plain HTTP, for what it serves is signed",
            )
        })?;
        let bounds = value::minutes(1)..=value::hours(24);
        let crl_interval = value::duration("validation.crl_interval", &self.crl_interval, bounds)?;
        let bounds = value::hours(1)..=value::days(7);
        let crl_validity = value::duration("validation.crl_validity", &self.crl_validity, bounds)?;
        if crl_validity < crl_interval * 2 {
            return Err(ConfigError::value(
                "validation.crl_validity",
                "a CRL could lapse before the next one is due",
                "make it at least twice crl_interval",
            ));
        }
        let responder = responder(&self.responder_validity, &self.responder_renew_before)?;
        Ok(Validation {
            base_url,
            root_crl: value::path("validation.root_crl", &self.root_crl, base)?,
            crl_interval,
            crl_validity,
            responder,
        })
    }
}

fn responder(validity: &str, renew_before: &str) -> ConfigResult<ResponderPolicy> {
    const KEY: &str = "validation.responder_renew_before";
    let bounds = value::days(2)..=value::days(398);
    let validity = value::duration("validation.responder_validity", validity, bounds)?;
    let renew_before = value::duration(KEY, renew_before, value::days(1)..=value::days(199))?;
    let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    ResponderPolicy::new(signed(validity), signed(renew_before)).ok_or_else(|| {
        ConfigError::value(
            KEY,
            "a responder's certificate would be renewed again and again",
            "make it at most half of responder_validity",
        )
    })
}
