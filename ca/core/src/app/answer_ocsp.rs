//! OCSP: a request's octets in, a response's octets out. Where the same question has the same answer and carries no nonce,
//! the signature is spared, and while nothing at all was revoked, for moments, the look into the ledger too: an answer is
//! kept with the head of the revocations that it was true at, and the head is asked for each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

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
/// Where there is no room, the old ones are thrown out so often.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// An answer is sent again for so long; half its validity is left to who caches it further on.
const REUSE: SignedDuration = SignedDuration::from_mins(30);
/// The longest that an answer goes without a look into the ledger. A database that was put back to an earlier state under
/// a running node gives numbers out again: the head alone wouldn't show that. Well within the 5 s in which a revocation shows.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// Refusals of one kind are written to the trail so often a minute, with their number.
const ROWS_A_MINUTE: u32 = 1;

/// The use case.
pub struct AnswerOcsp {
    revocations: Arc<dyn RevocationStore>,
    audit: Arc<dyn AuditStore>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    issuers: Vec<(Issuer, Responder)>,
    cache: Mutex<Cache>,
    refusals: AuditBudget,
}

/// Answers by the requests that they were given to.
#[derive(Default)]
struct Cache {
    answers: HashMap<Vec<u8>, Cached>,
    /// When the old ones were last thrown out for want of room.
    swept_at: Option<Timestamp>,
}

struct Cached {
    statuses: Vec<LedgerStatus>,
    /// The head of the revocations before these statuses were read.
    head: u64,
    /// The time before these statuses were last read.
    looked_at: Timestamp,
    response: Vec<u8>,
    lasts: Lasting,
}

/// A response to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspReply {
    /// The `OCSPResponse`, DER.
    pub der: Vec<u8>,
    /// Why it has no answer; HTTP says 200 all the same (RFC 6960, A.2).
    pub error: Option<ErrorStatus>,
    /// `None` for a response that says nothing, or only to the one who asked.
    pub cacheable: Option<Lasting>,
}

/// What HTTP caches want to know of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// Since when what it says is known.
    pub this_update: Timestamp,
    /// Until when it may be believed.
    pub next_update: Timestamp,
    /// SHA-256 of the response.
    pub sha256: [u8; 32],
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
        if let Some(reply) = self.ready(request).await {
            return reply;
        }
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
                OcspReply::unanswered(ErrorStatus::TryLater)
            }
        }
    }

    /// The answer that was given before, if nothing was revoked since.
    async fn ready(&self, request: &[u8]) -> Option<OcspReply> {
        if request.len() > MAX_CACHED_REQUEST || !self.cache().answers.contains_key(request) {
            return None;
        }
        let head = self.revocations.revocation_head().await.ok()?;
        let now = self.clock.now();
        let cache = self.cache();
        let cached = cache.answers.get(request).filter(|cached| cached.still_stands(head, now));
        cached.map(Cached::reply)
    }

    async fn answer(
        &self,
        request: &[u8],
        query: &Query,
        issuer: &Issuer,
        responder: &Responder,
    ) -> Result<OcspReply, Failure> {
        let may_cache = query.is_plain() && request.len() <= MAX_CACHED_REQUEST;
        // Before the statuses: what is revoked between the two is taken for something new.
        let looked_at = self.clock.now();
        let head = if may_cache { Some(self.revocations.revocation_head().await?) } else { None };
        let statuses = self.statuses(query, issuer).await?;
        let now = self.clock.now();
        if let Some(head) = head
            && let Some(reply) = self.still_true(request, &statuses, (head, looked_at), now)
        {
            return Ok(reply);
        }
        let answer = ocsp::answer(query, &statuses, responder, now).map_err(Failure::defect)?;
        let signature = self.signer.sign_ocsp(issuer.id(), answer.data().to_vec()).await?;
        let response = answer.signed(&signature, responder).map_err(Failure::defect)?;
        let lasts = Lasting {
            this_update: answer.this_update(),
            next_update: answer.next_update(),
            sha256: Sha256::digest(&response).into(),
        };
        if let Some(head) = head
            && !statuses.contains(&LedgerStatus::Unknown)
        {
            self.keep(request, Cached { statuses, head, looked_at, response: response.clone(), lasts }, now);
        }
        let cacheable = query.nonce().is_none().then_some(lasts);
        Ok(OcspReply { der: response, error: None, cacheable })
    }

    async fn statuses(&self, query: &Query, issuer: &Issuer) -> Result<Vec<LedgerStatus>, Failure> {
        let mut statuses = Vec::new();
        for serial in query.serials() {
            statuses.push(self.revocations.status(issuer.id(), serial).await?);
        }
        Ok(statuses)
    }

    /// The answer that was given before, if the ledger says today what it said then.
    fn still_true(
        &self,
        request: &[u8],
        statuses: &[LedgerStatus],
        (head, looked_at): (u64, Timestamp),
        now: Timestamp,
    ) -> Option<OcspReply> {
        let mut cache = self.cache();
        let cached = cache.answers.get_mut(request)?;
        if cached.statuses != statuses || !cached.is_fresh(now) {
            return None;
        }
        (cached.head, cached.looked_at) = (head, looked_at);
        Some(cached.reply())
    }

    fn keep(&self, request: &[u8], cached: Cached, now: Timestamp) {
        let mut cache = self.cache();
        // Looking through all of them takes its time: not for each answer that finds no room.
        let is_due = cache.swept_at.is_none_or(|at| now.duration_since(at).abs() >= SWEEP_EVERY);
        if cache.answers.len() >= MAX_CACHED && is_due {
            cache.answers.retain(|_, cached| cached.is_fresh(now));
            cache.swept_at = Some(now);
        }
        if cache.answers.len() < MAX_CACHED {
            cache.answers.insert(request.to_vec(), cached);
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refuse(&self, kind: &'static str, status: ErrorStatus) -> OcspReply {
        let now = self.clock.now();
        if let Some(unwritten) = self.refusals.take(kind, now) {
            let row = event(now, Actor::System, "ocsp.refused", kind).with("count", unwritten + 1);
            if let Err(error) = self.audit.append(row).await {
                tracing::warn!(%error, kind, "a refused OCSP request can't be written to the audit trail");
            }
        }
        OcspReply::unanswered(status)
    }
}

impl OcspReply {
    fn unanswered(status: ErrorStatus) -> Self {
        Self { der: error_response(status), error: Some(status), cacheable: None }
    }
}

impl Cached {
    /// Whether the ledger needn't be asked.
    fn still_stands(&self, head: u64, now: Timestamp) -> bool {
        let looked = now.duration_since(self.looked_at);
        self.head == head && self.is_fresh(now) && !looked.is_negative() && looked < LOOK_AGAIN
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let Lasting { this_update, next_update, .. } = self.lasts;
        now >= this_update && now.duration_since(this_update) < REUSE && now < next_update
    }

    fn reply(&self) -> OcspReply {
        OcspReply { der: self.response.clone(), error: None, cacheable: Some(self.lasts) }
    }
}
