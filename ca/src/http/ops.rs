//! Health and metrics, on loopback.
//!
//! `/livez`: the process answers. `/readyz`: it would do its work: reconciled with the journals, ledger readable, every
//! key signed something just now, every CRL within its validity.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use ca_core::{
    domain::ids::IssuerId,
    ports::{
        clock::Clock,
        signer::Signer,
        store::{AuditStore, RevocationStore},
    },
};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::layers::plain;
use crate::metrics::Metrics;

/// One look at a dependency may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A verdict is told again for so long: a probe must not become a load.
const FRESH: Duration = Duration::from_secs(1);

/// What health depends on.
pub(crate) struct Ops {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) audit: Arc<dyn AuditStore>,
    pub(crate) revocations: Arc<dyn RevocationStore>,
    pub(crate) issuers: Vec<IssuerId>,
    /// Set by the first reconciliation.
    pub(crate) reconciled: Arc<AtomicBool>,
    pub(crate) last: Mutex<Option<(Instant, Readiness)>>,
}

/// Whether the node would do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    /// What is in the way.
    troubles: Vec<String>,
}

/// The routes.
pub(crate) fn router(state: Arc<Ops>) -> Router {
    Router::new()
        .route("/livez", get(|| async { plain(StatusCode::OK, "alive\n") }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "There is nothing here.\n") })
        .with_state(state)
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], ops.metrics.text()).into_response()
}

async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let readiness = ops.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

impl Ops {
    async fn readiness(&self) -> Readiness {
        let mut last = self.last.lock().await;
        if let Some((at, readiness)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return readiness.clone();
        }
        let troubles = self.troubles().await;
        let readiness = Readiness { ready: troubles.is_empty(), troubles };
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }

    async fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if !self.reconciled.load(Ordering::Acquire) {
            troubles.push("the ledger isn't reconciled with the signer's journal yet".to_owned());
        }
        match timeout(PATIENCE, self.audit.head()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => troubles.push(format!("the ledger: {error}")),
            Err(_) => troubles.push("the ledger doesn't answer".to_owned()),
        }
        for issuer in &self.issuers {
            match timeout(PATIENCE, self.signer.healthy(issuer)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => troubles.push(format!("the signer of {issuer}: {error}")),
                Err(_) => troubles.push(format!("the signer of {issuer} doesn't answer")),
            }
            match timeout(PATIENCE, self.revocations.current_crl(issuer)).await {
                Ok(Ok(Some(crl))) if crl.next_update > self.clock.now() => {}
                Ok(Ok(Some(crl))) => {
                    troubles.push(format!("the CRL of {issuer} lapsed at {}", crl.next_update));
                }
                Ok(Ok(None)) => troubles.push(format!("{issuer} has published no CRL yet")),
                Ok(Err(error)) => troubles.push(format!("the CRL of {issuer}: {error}")),
                Err(_) => troubles.push(format!("the CRL of {issuer} can't be read in time")),
            }
        }
        troubles
    }
}
