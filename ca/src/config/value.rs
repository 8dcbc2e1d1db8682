//! Values that several sections share: paths, durations, versions.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Span, SpanRelativeTo};

use super::{ConfigError, ConfigResult};

/// A file's path, relative to the configuration file's folder.
pub(super) fn path(key: &str, text: &str, base: &Path) -> ConfigResult<PathBuf> {
    if text.is_empty() {
        return Err(ConfigError::value(key, "the path is empty", "name a file"));
    }
    Ok(base.join(text))
}

/// Several files' paths.
pub(super) fn paths(key: &str, texts: &[String], base: &Path) -> ConfigResult<Vec<PathBuf>> {
    texts.iter().map(|text| path(key, text, base)).collect()
}

/// A duration such as `90s`, `15m`, `1h 30m` or `7d` between two bounds; a day has 24 hours.
pub(super) fn duration(
    key: &str,
    text: &str,
    bounds: std::ops::RangeInclusive<Duration>,
) -> ConfigResult<Duration> {
    let parsed = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| {
            ConfigError::value(
                key,
                format_args!("{text:?} isn't a duration"),
                "write it like \"90s\", \"15m\", \"6h\" or \"7d\"",
            )
        })?;
    if bounds.contains(&parsed) {
        return Ok(parsed);
    }
    Err(ConfigError::value(
        key,
        format_args!("{text:?} is out of bounds"),
        format!("choose from {:#} to {:#}", friendly(*bounds.start()), friendly(*bounds.end())),
    ))
}

fn friendly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// Refuses a number out of bounds.
pub(super) fn within<N: PartialOrd + std::fmt::Display>(
    key: &str,
    number: N,
    bounds: std::ops::RangeInclusive<N>,
) -> ConfigResult<N> {
    if bounds.contains(&number) {
        return Ok(number);
    }
    Err(ConfigError::value(
        key,
        format_args!("{number} is out of bounds"),
        format!("choose from {} to {}", bounds.start(), bounds.end()),
    ))
}

/// Seconds, minutes, hours and days for bounds.
pub(super) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
pub(super) const fn minutes(n: u64) -> Duration {
    seconds(n * 60)
}
pub(super) const fn hours(n: u64) -> Duration {
    minutes(n * 60)
}
pub(super) const fn days(n: u64) -> Duration {
    hours(n * 24)
}
