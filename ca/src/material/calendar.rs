//! The bank's own calendar: a line per day that is closed or open against the law's rule.

use std::fs;

use anyhow::{Context, bail};
use ca_core::domain::business_hours::{BankCalendar, IssuingHours};
use jiff::Timestamp;

use super::read;
use crate::config::{self, HoursMode};

const KEY: &str = "hours.calendar_file";

/// When certificates are obtained, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadHours {
    pub(crate) hours: IssuingHours,
    /// When the bank's file was written, where there is one.
    pub(crate) written_at: Option<Timestamp>,
}

/// When certificates are obtained, with the bank's own calendar.
///
/// # Errors
/// When the calendar can't be read; the line is named.
pub(crate) fn issuing_hours(hours: &config::Hours) -> anyhow::Result<ReadHours> {
    let by_law = |hours| ReadHours { hours, written_at: None };
    if hours.mode == HoursMode::AlwaysOpen {
        return Ok(by_law(IssuingHours::AlwaysOpenForDemonstration));
    }
    let Some(path) = &hours.calendar_file else {
        return Ok(by_law(IssuingHours::BankBusinessHours(BankCalendar::default())));
    };
    let text = String::from_utf8(read(KEY, path)?)
        .with_context(|| format!("{KEY}: {} isn't UTF-8 text", path.display()))?;
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let parsed = line.split_once(' ').and_then(|(word, day)| Some((word, day.trim().parse().ok()?)));
        match parsed {
            Some(("closed", day)) => closed.push(day),
            Some(("open", day)) => open.push(day),
            _ => bail!(
                "{KEY}: line {} of {} is {line:?}; write it like \"closed 2026-12-30\" or \"open 2027-01-02\"",
                number + 1,
                path.display()
            ),
        }
    }
    let calendar = BankCalendar::new(closed, open).with_context(|| format!("{KEY}: {}", path.display()))?;
    let written_at = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    Ok(ReadHours {
        hours: IssuingHours::BankBusinessHours(calendar),
        written_at: written_at.and_then(|at| Timestamp::try_from(at).ok()),
    })
}
