//! Traces by OpenTelemetry, sent to a collector on this host; none unless `[telemetry]` names one.
//!
//! Only spans leave, no log lines, and of a span only the fields that our code gives it. Who sends `traceparent` from
//! outside is linked to, never obeyed: the trace stays ours and the sampling too.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, global,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanBuilder, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Metadata, Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::config;

/// The crates whose lines and spans are ours.
pub(crate) const OURS: [&str; 7] =
    ["ca", "ca_core", "ca_wire", "ca_x509", "signer_protocol", "store_postgres", "store_sqlite"];

/// The collector must take a batch within this time.
const EXPORT: Duration = Duration::from_secs(5);
/// So long the end waits for the last batch.
const FLUSH: Duration = Duration::from_secs(5);
/// The name of our instrumentation.
const SCOPE: &str = "inro";

/// What a request's `traceparent` is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// From anybody: a link.
    Link,
    /// From one of the bank's own machines: our part of its trace, sampled as it says.
    Parent,
}

/// Starts to send traces, if a collector is configured. Not for an asynchronous context: the exporter has a thread and a
/// client of its own.
///
/// # Errors
/// When the exporter can't be built; a collector that isn't there is none.
pub(crate) fn start(config: &config::Telemetry, node: &str) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = &config.endpoint else { return Ok(None) };
    // The environment of a server may name a proxy for other purposes.
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(EXPORT).build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_timeout(EXPORT)
        .build()
        .with_context(|| format!("telemetry.endpoint: traces can't be sent to {endpoint}"))?;
    let resource = Resource::builder()
        .with_service_name(config.service.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_owned()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
        .with_resource(resource)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(Some(provider))
}

/// Sends what is left.
pub(crate) fn stop(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(FLUSH) {
        tracing::warn!(%error, "the last traces couldn't be sent");
    }
}

/// The layer that turns our spans into OpenTelemetry's.
pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(is_our_span))
        .with_filter(LevelFilter::DEBUG)
}

/// Whether it is a span of our code.
pub(crate) fn is_our_span(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split(':').next().unwrap_or_default();
    metadata.is_span() && OURS.contains(&of)
}

/// Takes `traceparent` (W3C Trace Context) into a span that wasn't entered yet.
pub(crate) fn follow(span: &Span, headers: &HeaderMap, trust: Trust) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let theirs = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let context = theirs.span().span_context().clone();
    if !context.is_valid() {
        return;
    }
    match trust {
        Trust::Link => span.add_link(context),
        // It fails where nothing is traced, or not this.
        Trust::Parent => drop(span.set_parent(theirs)),
    }
}

/// The trace that a span belongs to, if it is sampled: for the log.
pub(crate) fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_sampled().then(|| context.trace_id().to_string())
}

/// Adds spans to `parent` that are over: `parts` one after the other, the last of them ending at `end`.
pub(crate) fn add_past(parent: &Span, end: SystemTime, parts: &[(&'static str, Duration)]) {
    let context = parent.context();
    if !context.span().span_context().is_sampled() {
        return;
    }
    let tracer = global::tracer(SCOPE);
    let whole: Duration = parts.iter().map(|(_, duration)| *duration).sum();
    let mut at = end.checked_sub(whole).unwrap_or(end);
    for (name, duration) in parts {
        let begun = SpanBuilder::from_name(*name).with_start_time(at);
        at += *duration;
        tracer.build_with_context(begun, &context).end_with_timestamp(at);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
