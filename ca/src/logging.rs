//! Structured logs on standard error. Nothing secret reaches a log: secrets are in types without `Debug`, and other
//! crates' lines below `info`, which may hold what a client sent, are never written, whatever is asked for.

use std::io::IsTerminal;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    config::LogFormat,
    telemetry::{self, OURS},
};

/// Starts logging, and tracing if there is somebody to trace for; `INRO_LOG` holds tracing's filter directives.
pub(crate) fn start(format: Option<LogFormat>, level: tracing::Level, traces: Option<&SdkTracerProvider>) {
    let terminal = std::io::stderr().is_terminal();
    let asked = EnvFilter::try_from_env("INRO_LOG").unwrap_or_else(|_| EnvFilter::new(level.as_str()));
    let filter = asked.and(at_most());
    // A log that can't be written, as on a full disk, must not end the thread that speaks: that it can't would be told
    // on standard error, by a panic.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => lines.with_ansi(terminal).with_filter(filter).boxed(),
        // The request's span is the outermost, so the list has it wherever the line comes from.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    };
    let started = tracing_subscriber::registry().with(traces.map(telemetry::layer)).with(lines).try_init();
    // Only tests start it twice in a process; the first one stays.
    drop(started);
}

/// Everything of ours, other crates' lines from `info` on.
fn at_most() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(OURS.map(|target| (target, LevelFilter::TRACE)))
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
