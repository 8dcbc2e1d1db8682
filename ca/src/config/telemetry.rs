//! `[log]` and `[telemetry]`: log lines on standard error, traces to a collector.

use clap::ValueEnum;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, listen::origin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    level: String,
    format: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "auto".to_owned() }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Of this program's own lines.
    pub(crate) level: tracing::Level,
    /// `None`: JSON unless standard error is a terminal.
    pub(crate) format: Option<LogFormat>,
}

impl RawLog {
    pub(super) fn validate(self) -> ConfigResult<Log> {
        let level = self.level.parse().map_err(|_| {
            ConfigError::value(
                "log.level",
                format_args!("{:?} isn't a level", self.level),
                "use \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            )
        })?;
        let format = match self.format.as_str() {
            "auto" => None,
            "json" => Some(LogFormat::Json),
            "text" => Some(LogFormat::Text),
            other => {
                return Err(ConfigError::value(
                    "log.format",
                    format_args!("{other:?} isn't a format"),
                    "use \"json\", \"text\", or \"auto\": JSON unless standard error is a terminal",
                ));
            }
        };
        Ok(Log { level, format })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    endpoint: String,
    sample: f64,
    service: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self { endpoint: String::new(), sample: 0.05, service: "inro-ca".to_owned() }
    }
}

/// Traces.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    /// Scheme and authority of the collector; `None`: no traces.
    pub(crate) endpoint: Option<String>,
    /// The share of requests that are traced.
    pub(crate) sample: f64,
    /// `service.name`.
    pub(crate) service: String,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Telemetry> {
        let endpoint = match self.endpoint.as_str() {
            "" => None,
            text => Some(origin(text, "http").ok_or_else(|| {
                ConfigError::value(
                    "telemetry.endpoint",
                    format_args!("{text:?} isn't an http URL without a path"),
                    "name a collector on this host, like \"http://127.0.0.1:4318\"; it forwards with TLS",
                )
            })?),
        };
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(ConfigError::value(
                "telemetry.sample",
                format_args!("{} isn't a share", self.sample),
                "choose from 0.0 (none) to 1.0 (all)",
            ));
        }
        if self.service.is_empty() || !self.service.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ConfigError::value(
                "telemetry.service",
                format_args!("{:?} isn't a service name", self.service),
                "use printable ASCII without blanks, like \"inro-ca\"",
            ));
        }
        Ok(Telemetry { endpoint, sample: self.sample, service: self.service })
    }
}
