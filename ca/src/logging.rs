//! Structured logs on standard error. Nothing secret reaches a log: secrets are in types without `Debug`.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts logging; `INRO_LOG` holds tracing's filter directives.
pub(crate) fn start(format: LogFormat, default_level: &str) {
    let filter = EnvFilter::try_from_env("INRO_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let ansi = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(filter);
    // A log that can't be written, as on a full disk, must not end the thread that speaks: that it can't would be told
    // on standard error, by a panic.
    let layer = || fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => registry.with(layer().with_ansi(ansi)).try_init(),
        LogFormat::Json => registry.with(layer().json()).try_init(),
    };
    // Only tests start it twice in a process; the first one stays.
    drop(started);
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
