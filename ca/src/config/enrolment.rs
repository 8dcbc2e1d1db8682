//! `[enrolment]`: obtaining certificates.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    challenge_lifetime: String,
    lowest_agent: String,
    newest_agent: String,
    agent_download: String,
    agent_packages: Option<String>,
    agent_packages_signer_file: Option<String>,
    throttle_free_failures: u32,
    throttle_first_wait: String,
    throttle_longest_wait: String,
    throttle_source_free_failures: u32,
    throttle_source_longest_wait: String,
    acquisition_code_lifetime: String,
    acquisition_code_attempts: u8,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            challenge_lifetime: "15m".to_owned(),
            lowest_agent: "0.1.0".to_owned(),
            newest_agent: env!("CARGO_PKG_VERSION").to_owned(),
            agent_download: String::new(),
            agent_packages: None,
            agent_packages_signer_file: None,
            throttle_free_failures: 3,
            throttle_first_wait: "2s".to_owned(),
            throttle_longest_wait: "15m".to_owned(),
            throttle_source_free_failures: 30,
            throttle_source_longest_wait: "1m".to_owned(),
            acquisition_code_lifetime: "80d".to_owned(),
            acquisition_code_attempts: 5,
        }
    }
}

/// Obtaining certificates.
#[derive(Debug)]
pub(crate) struct Enrolment {
    /// How long a challenge can be answered.
    pub(crate) challenge_lifetime: Duration,
    /// Older agents are refused.
    pub(crate) lowest_agent: String,
    /// The newest there is.
    pub(crate) newest_agent: String,
    /// Where people get it; empty: the public listener's top page.
    pub(crate) agent_download: String,
    /// The folder of packages that the download page offers, with its `packages.json`.
    pub(crate) agent_packages: Option<PathBuf>,
    /// The certificate of whoever signs their list.
    pub(crate) agent_packages_signer: Option<PathBuf>,
    /// Failures of one user ID at one address that cost nothing (rule 13).
    pub(crate) throttle_free_failures: u32,
    /// The wait after the first failure that costs; it doubles with each further one.
    pub(crate) throttle_first_wait: Duration,
    /// The longest wait.
    pub(crate) throttle_longest_wait: Duration,
    /// Failures that cost nothing of an address, which a company shares, and of one ID at all addresses.
    pub(crate) throttle_source_free_failures: u32,
    /// The longest wait of an address.
    pub(crate) throttle_source_longest_wait: Duration,
    /// 取得期限 of a new acquisition code.
    pub(crate) acquisition_code_lifetime: Duration,
    /// Wrong attempts before a code is burnt.
    pub(crate) acquisition_code_attempts: u8,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Enrolment> {
        let enrolment = Enrolment {
            challenge_lifetime: value::duration(
                "enrolment.challenge_lifetime",
                &self.challenge_lifetime,
                value::minutes(1)..=value::hours(1),
            )?,
            lowest_agent: version("enrolment.lowest_agent", self.lowest_agent)?,
            newest_agent: version("enrolment.newest_agent", self.newest_agent)?,
            agent_download: self.agent_download,
            agent_packages: folder("enrolment.agent_packages", self.agent_packages.as_deref(), base)?,
            agent_packages_signer: folder(
                "enrolment.agent_packages_signer_file",
                self.agent_packages_signer_file.as_deref(),
                base,
            )?,
            throttle_free_failures: value::within(
                "enrolment.throttle_free_failures",
                self.throttle_free_failures,
                1..=100,
            )?,
            throttle_first_wait: value::duration(
                "enrolment.throttle_first_wait",
                &self.throttle_first_wait,
                value::seconds(1)..=value::minutes(10),
            )?,
            throttle_longest_wait: value::duration(
                "enrolment.throttle_longest_wait",
                &self.throttle_longest_wait,
                value::minutes(1)..=value::days(1),
            )?,
            throttle_source_free_failures: value::within(
                "enrolment.throttle_source_free_failures",
                self.throttle_source_free_failures,
                1..=10_000,
            )?,
            throttle_source_longest_wait: value::duration(
                "enrolment.throttle_source_longest_wait",
                &self.throttle_source_longest_wait,
                value::seconds(1)..=value::days(1),
            )?,
            acquisition_code_lifetime: value::duration(
                "enrolment.acquisition_code_lifetime",
                &self.acquisition_code_lifetime,
                value::hours(1)..=value::days(180),
            )?,
            acquisition_code_attempts: value::within(
                "enrolment.acquisition_code_attempts",
                self.acquisition_code_attempts,
                1..=20,
            )?,
        };
        enrolment.check()?;
        Ok(enrolment)
    }
}

impl Enrolment {
    /// What doesn't fit together.
    fn check(&self) -> ConfigResult<()> {
        if self.throttle_source_free_failures < self.throttle_free_failures {
            return Err(ConfigError::value(
                "enrolment.throttle_source_free_failures",
                "it is less than enrolment.throttle_free_failures",
                "choose more, such as ten times as many: a company's users share an address",
            ));
        }
        let download = &self.agent_download;
        if !download.is_empty() && !download.starts_with("https://") {
            return Err(ConfigError::value(
                "enrolment.agent_download",
                format_args!("{download:?} isn't an https URL"),
                "programs are only fetched over TLS",
            ));
        }
        if numbers(&self.lowest_agent) > numbers(&self.newest_agent) {
            return Err(ConfigError::value(
                "enrolment.lowest_agent",
                format_args!("{} is newer than the newest, {}", self.lowest_agent, self.newest_agent),
                "raise enrolment.newest_agent, or accept older agents: nobody could obtain a certificate",
            ));
        }
        if self.agent_packages_signer.is_some() && self.agent_packages.is_none() {
            return Err(ConfigError::value(
                "enrolment.agent_packages_signer_file",
                "there are no packages to be signed",
                "name their folder in enrolment.agent_packages",
            ));
        }
        Ok(())
    }
}

/// Of a version that was checked.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

fn version(key: &str, text: String) -> ConfigResult<String> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok()) {
        return Ok(text);
    }
    Err(ConfigError::value(
        key,
        format_args!("{text:?} isn't a version"),
        "write it as major.minor.patch, such as \"0.1.0\"",
    ))
}

fn folder(key: &str, text: Option<&str>, base: &Path) -> ConfigResult<Option<PathBuf>> {
    text.map(|text| value::path(key, text, base)).transpose()
}
