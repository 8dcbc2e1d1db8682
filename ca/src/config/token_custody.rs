//! `[token_custody]`: the key that PUKs are kept under, and how long a request to unblock a PIN is good for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    key_file: String,
    #[serde(default = "default_waiting")]
    waiting: String,
    #[serde(default = "default_fetching")]
    fetching: String,
    #[serde(default = "default_requests")]
    requests_per_day: u32,
}

fn default_waiting() -> String {
    "24h".to_owned()
}

fn default_fetching() -> String {
    "15m".to_owned()
}

fn default_requests() -> u32 {
    5
}

/// The custody of PUKs.
#[derive(Debug)]
pub(crate) struct TokenCustody {
    /// The custody keys, a version and a key a line.
    pub(crate) key_file: PathBuf,
    /// A request waits for a decision so long.
    pub(crate) waiting: Duration,
    /// After the approval the PUK can be fetched so long.
    pub(crate) fetching: Duration,
    /// Requests of a user in 24 hours.
    pub(crate) requests_per_day: u32,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<TokenCustody> {
        let hour = value::minutes(60);
        Ok(TokenCustody {
            key_file: value::path("token_custody.key_file", &self.key_file, base)?,
            waiting: value::duration("token_custody.waiting", &self.waiting, hour..=value::days(7))?,
            fetching: value::duration(
                "token_custody.fetching",
                &self.fetching,
                value::minutes(1)..=value::minutes(60),
            )?,
            requests_per_day: value::within(
                "token_custody.requests_per_day",
                self.requests_per_day,
                1..=100,
            )?,
        })
    }
}
