//! `[retention]`: how long personal data is kept.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    logins: String,
    mail: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self { logins: "400d".to_owned(), mail: "90d".to_owned() }
    }
}

/// How long personal data is kept.
#[derive(Debug)]
pub(crate) struct Retention {
    /// The users' logins (利用履歴照会). The audit trail keeps its own row of each.
    pub(crate) logins: Duration,
    /// Mails that were delivered, bounced or withdrawn, with the addresses that they went to.
    pub(crate) mail: Duration,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Retention> {
        let longest = value::days(3_660);
        Ok(Retention {
            logins: value::duration("retention.logins", &self.logins, value::days(1)..=longest)?,
            // Longer than the 40 days in which a certificate is told of: what is remembered isn't told again.
            mail: value::duration("retention.mail", &self.mail, value::days(60)..=longest)?,
        })
    }
}
