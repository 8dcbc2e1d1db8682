//! `[retention]`: how long personal data is kept. What the ledger needs can't be configured away: each key has a floor.

use ca_core::domain::retention::{Periods, PersonalData};
use jiff::SignedDuration;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

/// The longest period: a hundred years, for who keeps a thing as long as there is a bank.
const MOST_DAYS: u64 = 36_525;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    logins: Option<String>,
    mail: Option<String>,
    enrolments: Option<String>,
    evidence: Option<String>,
    removed_users: Option<String>,
}

/// How long personal data is kept.
#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) periods: Periods,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Retention> {
        let usual = Periods::default();
        let period = |key: &str, text: Option<String>, kind: PersonalData| match text {
            None => Ok(usual.of(kind)),
            Some(text) => period(key, &text, kind),
        };
        let periods = Periods {
            logins: period("retention.logins", self.logins, PersonalData::Logins)?,
            mail: period("retention.mail", self.mail, PersonalData::Mail)?,
            enrolments: period("retention.enrolments", self.enrolments, PersonalData::Enrolments)?,
            evidence: period("retention.evidence", self.evidence, PersonalData::Evidence)?,
            removed_users: period("retention.removed_users", self.removed_users, PersonalData::RemovedUsers)?,
        };
        Ok(Retention { periods })
    }
}

fn period(key: &str, text: &str, kind: PersonalData) -> ConfigResult<SignedDuration> {
    let bounds = value::days(kind.fewest_days().into())..=value::days(MOST_DAYS);
    let duration = value::duration(key, text, bounds)?;
    SignedDuration::try_from(duration)
        .map_err(|_| ConfigError::value(key, format_args!("{text:?} is out of bounds"), "choose fewer days"))
}
