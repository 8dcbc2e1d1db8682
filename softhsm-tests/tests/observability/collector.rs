//! A collector of traces: OTLP over HTTP, in memory.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

type Spans = Arc<Mutex<Vec<Span>>>;

/// Collects until dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    spans: Spans,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(collect)).with_state(spans.clone());
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            tell.send(listener.local_addr().expect("an address")).expect("somebody who waits");
            axum::serve(listener, router).await.expect("a collector that doesn't end");
        });
        let address = told.recv().expect("an address");
        Self { address, spans, _runtime: runtime }
    }

    /// What the authority's configuration names.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn collect(State(spans): State<Spans>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let arrived = scopes.flat_map(|scope| scope.spans);
    spans.lock().unwrap_or_else(PoisonError::into_inner).extend(arrived);
    StatusCode::OK
}

/// The texts of attributes by name.
pub(crate) fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    };
    attributes.iter().filter_map(|value| Some((value.key.clone(), text(value)?))).collect()
}
