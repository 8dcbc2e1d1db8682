//! `[hours]`: when certificates may be obtained (rule 3).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    mode: HoursMode,
    calendar_file: Option<String>,
}

/// Which hours are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HoursMode {
    /// Bank business days, 9:00 to 21:00 Japan time.
    Bank,
    /// At any time: for demonstrations and tests, and visible in the log.
    AlwaysOpen,
}

/// Business hours.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    /// Which hours.
    pub(crate) mode: HoursMode,
    /// The bank's own closed and open days.
    pub(crate) calendar_file: Option<PathBuf>,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Hours> {
        let calendar_file =
            self.calendar_file.map(|text| value::path("hours.calendar_file", &text, base)).transpose()?;
        Ok(Hours { mode: self.mode, calendar_file })
    }
}
