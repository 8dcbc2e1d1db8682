//! Structured logs on standard error. Nothing secret reaches a log: secrets are in types without `Debug`, and other
//! crates' lines below `info`, which may hold what a client sent, are never written, whatever is asked for.

use std::io::IsTerminal;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::{Filter, SubscriberExt},
    registry::LookupSpan,
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
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let lines = lines(format, asked, terminal, std::io::stderr);
    let started = tracing_subscriber::registry().with(traces.map(telemetry::layer)).with(lines).try_init();
    // Only tests start it twice in a process; the first one stays.
    drop(started);
}

/// The layer that writes lines.
fn lines<S, W>(format: LogFormat, asked: EnvFilter, ansi: bool, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A log that can't be written, as on a full disk, must not end the thread that speaks: that it can't would be told
    // on standard error, by a panic.
    let lines = fmt::layer().with_writer(to).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(ansi).with_filter(filter(asked)).boxed(),
        // The request's span is the outermost, so the list has it wherever the line comes from.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_filter(filter(asked)).boxed()
        }
    }
}

/// What is asked for, of other crates' lines from `info` on only; and the spans that say of which request a line is,
/// however little is asked for.
fn filter<S>(asked: EnvFilter) -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let requests =
        filter_fn(|metadata| *metadata.level() <= LevelFilter::INFO && telemetry::is_our_span(metadata))
            .with_max_level_hint(LevelFilter::INFO);
    asked.and(at_most()).or(requests)
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Seek as _},
        sync::Arc,
    };

    use serde_json::{Value, json};

    use super::*;

    /// What is written of a request at a level.
    fn written(level: &str) -> Vec<Value> {
        let mut file = Arc::new(tempfile::tempfile().expect("a file"));
        let lines = lines(LogFormat::Json, EnvFilter::new(level), false, file.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _theirs = tracing::info_span!(target: "hyper", "connection", peer = "198.51.100.7").entered();
            let _request = tracing::info_span!("request", support_id = "W2Y7FERY5C").entered();
            let _part = tracing::debug_span!("draft").entered();
            tracing::error!("broken");
            tracing::warn!("odd");
            tracing::info!("answered");
        });
        let mut text = String::new();
        file.rewind().expect("the file");
        file.read_to_string(&mut text).expect("the file");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    fn messages(lines: &[Value]) -> Vec<&str> {
        lines.iter().filter_map(|line| line["message"].as_str()).collect()
    }

    #[test]
    fn every_line_of_a_request_has_its_support_id_however_few_are_written() {
        let (errors, warnings) = (written("error"), written("warn"));
        assert_eq!(messages(&errors), ["broken"]);
        assert_eq!(messages(&warnings), ["broken", "odd"]);
        for line in errors.iter().chain(&warnings) {
            assert_eq!(line["spans"], json!([{"name": "request", "support_id": "W2Y7FERY5C"}]), "{line}");
        }
    }
}
