//! `[staff]`: whose certificates the staff listener takes, how long sessions last, and what the operator's command line
//! may still do.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    issuer_certificate: String,
    crl: Option<String>,
    #[serde(default = "default_idle")]
    idle: String,
    #[serde(default = "default_absolute")]
    absolute: String,
    #[serde(default)]
    command_line: CommandLine,
}

fn default_idle() -> String {
    "15m".to_owned()
}

fn default_absolute() -> String {
    "8h".to_owned()
}

/// Whether the operator's command line may change customers' data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CommandLine {
    /// Until there is a member of staff.
    #[default]
    Bootstrap,
    /// Always: for demonstrations and tests.
    Demo,
}

/// The staff console.
#[derive(Debug)]
pub(crate) struct Staff {
    /// The staff CA's certificate, PEM.
    pub(crate) issuer_certificate: PathBuf,
    /// The staff CA's CRL, PEM or DER; `None` where it has none yet.
    pub(crate) crl: Option<PathBuf>,
    /// A session ends after so long without a request.
    pub(crate) idle: Duration,
    /// A session ends after so long.
    pub(crate) absolute: Duration,
    /// What the operator's command line may do.
    pub(crate) command_line: CommandLine,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Staff> {
        let bounds = value::minutes(1)..=value::days(1);
        let absolute = value::duration("staff.absolute", &self.absolute, bounds.clone())?;
        let idle = value::duration("staff.idle", &self.idle, bounds)?;
        if idle > absolute {
            return Err(ConfigError::value(
                "staff.idle",
                "it is longer than staff.absolute",
                "choose a shorter one, such as \"15m\"",
            ));
        }
        Ok(Staff {
            crl: self.crl.map(|file| value::path("staff.crl", &file, base)).transpose()?,
            issuer_certificate: value::path("staff.issuer_certificate", &self.issuer_certificate, base)?,
            idle,
            absolute,
            command_line: self.command_line,
        })
    }
}
