//! `GET /crl/{issuer}-{partition}.crl` and `GET /crl/root.crl`.
//!
//! The current CRL stands in the ledger, where any node may have published it. A copy is kept for a moment, so that a
//! flood of requests reads the ledger once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use ca_core::{
    app::accord::{Accord, Accords},
    ports::{
        clock::Clock,
        store::{RevocationStore, StoreError},
    },
};
use ca_x509::time::from_x509;
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::{sync::Mutex, time::Instant};

use super::{Validation, cacheable, unless_known};
use crate::http::{layers::plain, path::Named};

/// As long as CRLs aren't partitioned there is one partition, with the full CRL.
pub(crate) const PARTITION: u32 = 0;
/// A copy is used for so long before the ledger is asked again.
const FRESH: Duration = Duration::from_secs(1);

/// A CRL ready to be sent.
#[derive(Clone)]
struct Ready {
    etag: String,
    this_update: Timestamp,
    next_update: Timestamp,
    der: Bytes,
}

/// All CRLs that are served.
pub(crate) struct Crls {
    ledger: Arc<dyn RevocationStore>,
    clock: Arc<dyn Clock>,
    /// By name, such as `customer-0`.
    issuers: HashMap<String, Slot>,
    root: RwLock<Ready>,
}

struct Slot {
    accord: Arc<Accord>,
    copy: Mutex<Option<(Instant, Ready)>>,
}

impl Crls {
    /// Serves the CRLs of these issuers, and the root's from the last ceremony.
    ///
    /// # Errors
    /// When the root's CRL can't be read.
    pub(crate) fn new(
        ledger: Arc<dyn RevocationStore>,
        clock: Arc<dyn Clock>,
        accords: &Accords,
        root: Vec<u8>,
    ) -> anyhow::Result<Self> {
        let slot = |accord: Arc<Accord>| {
            (format!("{}-{PARTITION}", accord.issuer()), Slot { accord, copy: Mutex::new(None) })
        };
        Ok(Self {
            ledger,
            clock,
            issuers: accords.iter().cloned().map(slot).collect(),
            root: RwLock::new(ready(root)?),
        })
    }

    /// Takes up the CRL of a newer ceremony.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn replace_root(&self, root: Vec<u8>) -> anyhow::Result<()> {
        let root = ready(root)?;
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root;
        Ok(())
    }

    /// When the root's CRL lapses.
    pub(crate) fn root_next_update(&self) -> Timestamp {
        self.root.read().unwrap_or_else(PoisonError::into_inner).next_update
    }

    async fn named(&self, name: &str) -> Result<Option<Ready>, StoreError> {
        let Some(slot) = self.issuers.get(name) else { return Ok(None) };
        let mut copy = slot.copy.lock().await;
        if let Some((read_at, ready)) = copy.as_ref()
            && read_at.elapsed() < FRESH
        {
            return Ok(Some(ready.clone()));
        }
        let current = self.ledger.current_crl(slot.accord.issuer()).await?;
        // A ledger from a backup has an older CRL than the last: what was on that one must not seem to be off again.
        if current.as_ref().is_some_and(|crl| !slot.accord.is_current_crl(crl.number)) {
            return Err(StoreError::Unavailable("the last CRL is lost, and the next is being made".into()));
        }
        let current = current.map(|crl| Ready {
            etag: crl.number.to_string(),
            this_update: crl.this_update,
            next_update: crl.next_update,
            der: crl.der.into(),
        });
        *copy = current.clone().map(|ready| (Instant::now(), ready));
        Ok(current)
    }
}

fn ready(der: Vec<u8>) -> anyhow::Result<Ready> {
    let crl = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&der)?;
    let this_update = from_x509(&crl.tbs_cert_list.this_update)?;
    let next_update = crl.tbs_cert_list.next_update.as_ref().map(from_x509).transpose()?;
    Ok(Ready {
        etag: hex::encode(&Sha256::digest(&der)[..8]),
        this_update,
        next_update: next_update.unwrap_or(this_update),
        der: der.into(),
    })
}

/// A CRL.
#[utoipa::path(
    get,
    path = "/crl/{name}",
    tag = "validation",
    operation_id = "crl",
    params(("name" = String, Path, description = "Such as customer-0.crl or root.crl")),
    responses(
        (status = 200, description = "A CertificateList, DER", content_type = "application/pkix-crl", body = [u8]),
        (status = 304, description = "It hasn't changed"),
        (status = 404, description = "There is no such CRL", content_type = "text/plain", body = String),
        (status = 503, description = "Not at the moment", content_type = "text/plain", body = String),
    )
)]
pub(crate) async fn get(
    State(state): State<Arc<Validation>>,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Response {
    let found = match name.as_deref().and_then(|name| name.strip_suffix(".crl")) {
        Some("root") => {
            let root = state.crls.root.read().unwrap_or_else(PoisonError::into_inner);
            Ok(Some(root.clone()))
        }
        Some(name) => state.crls.named(name).await,
        None => Ok(None),
    };
    send(&state, found, &headers)
}

fn send(state: &Validation, found: Result<Option<Ready>, StoreError>, headers: &HeaderMap) -> Response {
    let ready = match found {
        Ok(Some(ready)) => ready,
        Ok(None) => return plain(StatusCode::NOT_FOUND, "There is no such CRL.\n"),
        Err(error) => {
            tracing::error!(error = %crate::logging::chain(&error), "the current CRL can't be read");
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Try again later.\n");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        }
    };
    let now = state.crls.clock.now();
    let Ready { etag, this_update, next_update, der } = ready;
    unless_known(headers, cacheable("application/pkix-crl", der, &etag, this_update, next_update, now))
}
