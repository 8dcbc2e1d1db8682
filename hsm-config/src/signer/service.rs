//! From a request to its reply. The order is the invariant: recorded? → reserved → judged → signed and verified → in
//! the journal, durably → reply.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use signer_protocol::message::{
    EntryBody, KeyLabel, Refusal, RefusalCode, ReplyBody, RequestBody, Status, Timing,
};
use tokio::{
    sync::{Mutex, OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore},
    time::Instant,
};

use super::{
    config::{Key, Role},
    policy::{self, key::IssuingKey, key::ResponderKey, refuse},
    reservation::Reservations,
    token::{TokenError, TokenKey},
    tokens::{Load, Tokens},
};
use crate::journal::{AppendError, Journal, Now};
use crate::token::key::PROBE;

mod certificate;
mod crl;
mod ocsp;
mod read;
mod revoke;
#[cfg(test)]
mod tests;

/// Everything that a request is answered with.
#[derive(Debug)]
pub(super) struct Service {
    name: String,
    keys: HashMap<KeyLabel, KeyState>,
    certificates: Vec<(KeyLabel, Vec<u8>)>,
    journal: Journal,
    tokens: Tokens,
    reservations: Reservations,
    large_replies: Arc<Semaphore>,
    now: Now,
    /// When the clock was last said to be behind.
    alarmed: std::sync::Mutex<Option<Instant>>,
}

/// Replies with journal entries in memory at once, over all connections: one may be as large as the largest CRL.
const LARGE_REPLIES: usize = 2;

/// How often an alarm is repeated while somebody asks.
const ALARM: Duration = Duration::from_mins(1);

/// What is held until a reply has left the signer.
#[derive(Debug, Default)]
pub(super) struct Held {
    _judged: Option<OwnedRwLockReadGuard<()>>,
    _large: Option<OwnedSemaphorePermit>,
}

/// A key, and what is going on with it.
#[derive(Debug)]
struct KeyState {
    role: Arc<Role>,
    token: TokenKey,
    /// One CRL at a time.
    crl: Mutex<()>,
    /// Held for reading while a revocation is journaled, for writing while a CRL is judged for the last time and
    /// journaled: no CRL enters the journal after a revocation that it leaves out.
    revoking: RwLock<()>,
    /// Held for reading by what was judged against the revocations until it has left the signer; a revocation is only
    /// acknowledged when it had this lock for writing after it was journaled. So nothing that denies it leaves later.
    leaving: Arc<RwLock<()>>,
    /// OCSP responses that no journal entry counts yet.
    uncounted: AtomicU64,
}

/// Why a request isn't done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    LockedOut(String),
}

impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unavailable(reason) => Self::Unavailable(reason),
            TokenError::LockedOut(remedy) => Self::LockedOut(remedy),
        }
    }
}

impl From<AppendError> for ServiceError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::ClockBehind(_) => {
                Self::Refused(Refusal { code: RefusalCode::ClockBehind, detail: error.to_string() })
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for ServiceError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(format!("the journal can't be read: {error}"))
    }
}

impl From<ServiceError> for ReplyBody {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusal) => Self::Refused(refusal),
            ServiceError::Unavailable(reason) => Self::Unavailable { reason },
            ServiceError::LockedOut(remedy) => Self::LockedOut { remedy },
        }
    }
}

type Outcome<T> = Result<T, ServiceError>;

impl Service {
    pub(super) fn new(name: String, keys: Vec<Key>, journal: Journal, tokens: Tokens, now: Now) -> Self {
        let certificates = keys.iter().map(|key| (key.label().clone(), key.certificate.clone())).collect();
        let keys = keys
            .into_iter()
            .zip(tokens.keys())
            .map(|(key, token)| {
                let state = KeyState {
                    role: Arc::new(key.role),
                    token: token.clone(),
                    crl: Mutex::new(()),
                    revoking: RwLock::new(()),
                    leaving: Arc::default(),
                    uncounted: AtomicU64::new(0),
                };
                (token.label.clone(), state)
            })
            .collect();
        let reservations = Reservations::default();
        let large_replies = Arc::new(Semaphore::new(LARGE_REPLIES));
        let alarmed = std::sync::Mutex::default();
        Self { name, keys, certificates, journal, tokens, reservations, large_replies, now, alarmed }
    }

    /// The signer's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The keys' labels, in order of configuration.
    pub(super) fn labels(&self) -> Vec<KeyLabel> {
        self.certificates.iter().map(|(label, _)| label.clone()).collect()
    }

    /// Answers a request; whatever goes wrong is in the reply.
    pub(super) async fn answer(&self, body: RequestBody, end: Instant) -> (ReplyBody, Held) {
        let alone = |reply: ReplyBody| (reply, Held::default());
        if let (Err(unsound), true) = (self.journal.sound(), relies_on_journal(&body)) {
            return alone(ServiceError::Unavailable(unsound.to_string()).into());
        }
        match body {
            RequestBody::SignCertificate { key, intent, audit_head, tbs } => {
                let signed = self.sign_certificate(&key, intent, audit_head, tbs, end).await;
                signed.map(|signed| alone(ReplyBody::Signed(signed)))
            }
            RequestBody::SignCrl { key, audit_head, tbs } => {
                let signed = self.sign_crl(&key, audit_head, tbs, end).await;
                signed.map(|(signed, held)| (ReplyBody::Signed(signed), held))
            }
            RequestBody::SignOcsp { key, tbs } => {
                let signed = self.sign_ocsp(&key, tbs, end).await;
                signed.map(|(signed, held)| (ReplyBody::Signed(signed), held))
            }
            RequestBody::Revoke { key, audit_head, revocations } => {
                let position = self.revoke(&key, audit_head, revocations, end).await;
                position.map(|position| alone(ReplyBody::Revoked(position)))
            }
            RequestBody::Recorded { intent } => {
                let entry = self.recorded(intent).await;
                entry.map(|entry| alone(ReplyBody::Recorded(entry.map(Box::new))))
            }
            RequestBody::Entries { after, limit } => {
                let entries = self.entries(after, limit, end).await;
                entries.map(|(entries, held)| (ReplyBody::Entries(entries), held))
            }
            RequestBody::Prove { key } => {
                let proven = self.prove(&key, end).await;
                proven.map(|timing| alone(ReplyBody::Proven(timing)))
            }
            RequestBody::Journal => Ok(alone(ReplyBody::Journal(self.journal.summary()))),
            RequestBody::Certificates => Ok(alone(self.certificates())),
            RequestBody::Status => Ok(alone(ReplyBody::Status(Box::new(self.status(end).await)))),
            RequestBody::Hello { .. } => {
                refuse(RefusalCode::Protocol, "Hello is only the first message").map_err(Into::into)
            }
        }
        .unwrap_or_else(|error: ServiceError| alone(error.into()))
    }

    fn certificates(&self) -> ReplyBody {
        let with_octets = |(label, der): &(KeyLabel, Vec<u8>)| (label.clone(), der.clone().into());
        ReplyBody::Certificates(self.certificates.iter().map(with_octets).collect())
    }

    /// To be taken before the last look at a key's revocations, and held until the answer has left.
    async fn leaving(&self, issuing: &KeyLabel) -> Held {
        let judged = match self.keys.get(issuing) {
            Some(key) => Some(Arc::clone(&key.leaving).read_owned().await),
            None => None,
        };
        Held { _judged: judged, _large: None }
    }

    fn key(&self, label: &KeyLabel) -> Result<&KeyState, Refusal> {
        match self.keys.get(label) {
            Some(key) => Ok(key),
            None => refuse(RefusalCode::WrongKey, format!("no key has the label {:?}", label.0)),
        }
    }

    fn issuing(&self, label: &KeyLabel) -> Result<(&KeyState, &IssuingKey), Refusal> {
        let state = self.key(label)?;
        match &*state.role {
            Role::Issuing(key) => Ok((state, key)),
            Role::Ocsp(_) => refuse(
                RefusalCode::WrongKey,
                format!("key {:?} is an OCSP responder's: it signs OCSP responses only", label.0),
            ),
        }
    }

    fn responder(&self, label: &KeyLabel) -> Result<(&KeyState, &ResponderKey), Refusal> {
        let state = self.key(label)?;
        match &*state.role {
            Role::Ocsp(key) => Ok((state, key)),
            Role::Issuing(_) => refuse(
                RefusalCode::WrongKey,
                format!("key {:?} is an issuing key: it signs certificates and CRLs only", label.0),
            ),
        }
    }

    /// Now, provided that the clock isn't behind the journal.
    fn time(&self) -> Result<Timestamp, Refusal> {
        // First the index, then the clock: an entry that came in between the two would be newer than our look.
        let past = self.journal.index();
        let judged = policy::clock((self.now)(), &past);
        drop(past);
        if let Err(refusal) = &judged {
            let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
            if alarmed.is_none_or(|last| last.elapsed() >= ALARM) {
                *alarmed = Some(Instant::now());
                tracing::error!(
                    %refusal,
                    "ALARM: nothing is signed until then. If the clock is right now and was ahead before, see `inro-hsm \
                     journal accept-clock`"
                );
            }
        }
        judged
    }

    /// One signature of no meaning, through the same lanes as all others.
    async fn prove(&self, label: &KeyLabel, end: Instant) -> Outcome<Timing> {
        let key = self.key(label)?;
        Ok(self.tokens.sign(&key.token, PROBE, end).await?.timing)
    }

    async fn status(&self, end: Instant) -> Status {
        let (troubles, tokens) = self.tokens.status(end).await;
        let journal_fault = self.journal.sound().err().map(|unsound| unsound.to_string());
        let told = |trouble: Option<String>| journal_fault.clone().or(trouble);
        let labels = self.tokens.keys().iter().map(|key| key.label.clone());
        let keys: Vec<_> = labels.zip(troubles.into_iter().map(told)).collect();
        let Load { lanes, busy, queued } = self.tokens.load();
        Status {
            healthy: keys.iter().all(|(_, fault)| fault.is_none()),
            keys,
            journal: self.journal.last(),
            journal_fault,
            lanes_busy: busy,
            lanes,
            queued,
            worker_restarts: self.tokens.restarts(),
            tokens,
        }
    }

    /// Writes the counts of OCSP responses into the journal. What can't be written is kept for the next time.
    pub(super) async fn seal_counters(&self) {
        for (label, key) in &self.keys {
            let count = key.uncounted.swap(0, Ordering::AcqRel);
            if count == 0 {
                continue;
            }
            let entry = EntryBody::OcspCount { key: label.clone(), count };
            if let Err(error) = self.journal.append(vec![entry]).await {
                key.uncounted.fetch_add(count, Ordering::AcqRel);
                tracing::error!(%error, key = label.0, "OCSP responses can't be counted yet");
            }
        }
    }
}

/// Whether a request is answered by the journal's past, or adds to it. What only shows it is answered still: it helps to
/// find out what happened.
fn relies_on_journal(body: &RequestBody) -> bool {
    match body {
        RequestBody::SignCertificate { .. }
        | RequestBody::SignCrl { .. }
        | RequestBody::SignOcsp { .. }
        | RequestBody::Revoke { .. } => true,
        RequestBody::Hello { .. }
        | RequestBody::Recorded { .. }
        | RequestBody::Entries { .. }
        | RequestBody::Prove { .. }
        | RequestBody::Journal
        | RequestBody::Certificates
        | RequestBody::Status => false,
    }
}
