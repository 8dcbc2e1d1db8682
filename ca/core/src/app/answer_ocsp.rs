//! OCSP: a request's octets in, a response's octets out. The ledger is asked every time, so that a revocation shows at
//! once; only the signature is spared, where the same question has the same answer and carries no nonce.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    audit_budget::AuditBudget,
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        ocsp::{self, ErrorStatus, Query, Responder, error_response},
        profile::Issuer,
    },
    ports::{
        clock::Clock,
        signer::Signer,
        store::{AuditStore, LedgerStatus, RevocationStore},
    },
};

/// Answers kept at the most.
const MAX_CACHED: usize = 50_000;
/// Longer requests aren't worth keeping: ordinary ones have about 100 octets.
const MAX_CACHED_REQUEST: usize = 256;
/// An answer is sent again for so long; half its validity is left to who caches it further on.
const REUSE: SignedDuration = SignedDuration::from_mins(30);
/// Refusals of one kind are written to the trail so often a minute, with their number.
const ROWS_A_MINUTE: u32 = 1;

/// The use case.
pub struct AnswerOcsp {
    revocations: Arc<dyn RevocationStore>,
    audit: Arc<dyn AuditStore>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    issuers: Vec<(Issuer, Responder)>,
    cache: Mutex<HashMap<Vec<u8>, Cached>>,
    refusals: AuditBudget,
}

struct Cached {
    statuses: Vec<LedgerStatus>,
    response: Vec<u8>,
    this_update: Timestamp,
    next_update: Timestamp,
}

/// A response to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspReply {
    /// The `OCSPResponse`, DER.
    pub der: Vec<u8>,
    /// The validity of what it says; `None` for a response that says nothing, or only to the one who asked.
    pub cacheable: Option<(Timestamp, Timestamp)>,
}

impl AnswerOcsp {
    /// Answers for these issuers, each by its own responder.
    pub fn new(
        revocations: Arc<dyn RevocationStore>,
        audit: Arc<dyn AuditStore>,
        signer: Arc<dyn Signer>,
        clock: Arc<dyn Clock>,
        issuers: Vec<(Issuer, Responder)>,
    ) -> Self {
        Self {
            revocations,
            audit,
            signer,
            clock,
            issuers,
            cache: Mutex::default(),
            refusals: AuditBudget::new(ROWS_A_MINUTE),
        }
    }

    /// Answers. There is always something to send.
    pub async fn run(&self, request: &[u8]) -> OcspReply {
        let query = match Query::parse(request) {
            Ok(query) => query,
            Err(error) => {
                let kind = match error {
                    ocsp::RequestError::TooLarge => "ocsp-too-large",
                    ocsp::RequestError::Malformed => "ocsp-malformed",
                    ocsp::RequestError::Entries => "ocsp-entries",
                    ocsp::RequestError::Nonce => "ocsp-nonce",
                    ocsp::RequestError::CriticalExtension => "ocsp-critical-extension",
                };
                return self.refuse(kind, ErrorStatus::MalformedRequest).await;
            }
        };
        let issuer = query.issuer(self.issuers.iter().map(|(issuer, _)| issuer)).map(Issuer::id);
        let Some((issuer, responder)) = self.issuers.iter().find(|(i, _)| Some(i.id()) == issuer) else {
            return self.refuse("ocsp-unknown-issuer", ErrorStatus::Unauthorized).await;
        };
        match self.answer(request, &query, issuer, responder).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an OCSP request can't be answered now"
                );
                OcspReply { der: error_response(ErrorStatus::TryLater), cacheable: None }
            }
        }
    }

    async fn answer(
        &self,
        request: &[u8],
        query: &Query,
        issuer: &Issuer,
        responder: &Responder,
    ) -> Result<OcspReply, Failure> {
        let statuses = self.statuses(query, issuer).await?;
        let now = self.clock.now();
        let may_cache = query.nonce().is_none() && request.len() <= MAX_CACHED_REQUEST;
        if may_cache && let Some(reply) = self.cached(request, &statuses, now) {
            return Ok(reply);
        }
        let answer = ocsp::answer(query, &statuses, responder, now).map_err(Failure::defect)?;
        let signature = self.signer.sign_ocsp(issuer.id(), answer.data().to_vec()).await?;
        let response = answer.signed(&signature, responder).map_err(Failure::defect)?;
        let (this_update, next_update) = (answer.this_update(), answer.next_update());
        if may_cache && !statuses.contains(&LedgerStatus::Unknown) {
            let cached = Cached { statuses, response: response.clone(), this_update, next_update };
            self.keep(request, cached, now);
        }
        let cacheable = query.nonce().is_none().then_some((this_update, next_update));
        Ok(OcspReply { der: response, cacheable })
    }

    async fn statuses(&self, query: &Query, issuer: &Issuer) -> Result<Vec<LedgerStatus>, Failure> {
        let mut statuses = Vec::new();
        for serial in query.serials() {
            statuses.push(self.revocations.status(issuer.id(), serial).await?);
        }
        Ok(statuses)
    }

    fn cached(&self, request: &[u8], statuses: &[LedgerStatus], now: Timestamp) -> Option<OcspReply> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached =
            cache.get(request).filter(|cached| cached.statuses == statuses && cached.is_fresh(now))?;
        let cacheable = Some((cached.this_update, cached.next_update));
        Some(OcspReply { der: cached.response.clone(), cacheable })
    }

    fn keep(&self, request: &[u8], cached: Cached, now: Timestamp) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CACHED {
            cache.retain(|_, cached| cached.is_fresh(now));
        }
        if cache.len() < MAX_CACHED {
            cache.insert(request.to_vec(), cached);
        }
    }

    async fn refuse(&self, kind: &'static str, status: ErrorStatus) -> OcspReply {
        let now = self.clock.now();
        if let Some(unwritten) = self.refusals.take(kind, now) {
            let row = event(now, Actor::System, "ocsp.refused", kind).with("count", unwritten + 1);
            if let Err(error) = self.audit.append(row).await {
                tracing::warn!(%error, kind, "a refused OCSP request can't be written to the audit trail");
            }
        }
        OcspReply { der: error_response(status), cacheable: None }
    }
}

impl Cached {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now >= self.this_update && now.duration_since(self.this_update) < REUSE && now < self.next_update
    }
}
