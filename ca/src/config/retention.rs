//! `[retention]`: how long personal data is kept.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    logins: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self { logins: "400d".to_owned() }
    }
}

/// How long personal data is kept.
#[derive(Debug)]
pub(crate) struct Retention {
    /// The users' logins (利用履歴照会). The audit trail keeps its own row of each.
    pub(crate) logins: Duration,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Retention> {
        let bounds = value::days(1)..=value::days(3_660);
        Ok(Retention { logins: value::duration("retention.logins", &self.logins, bounds)? })
    }
}
