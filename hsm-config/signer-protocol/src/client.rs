//! The authority's side of the signer socket: one connection, many requests in flight.
//!
//! A [`Client`] is cheap to clone and never blocks on another's request. It connects when first used and again after
//! the connection was lost; it never repeats a request by itself, because only the caller knows whether it may.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_bytes::ByteBuf;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    codec,
    message::{
        AuditPosition, Entry, JournalHead, JournalPosition, KeyLabel, Refusal, RefusalCode, ReplyBody,
        Request, RequestBody, RevocationEntry, Signed, Status, Timing,
    },
};

mod connection;

use connection::Link;

/// How long a request waits unless [`Client::with_deadline`] says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The signer's policy said no; asking again changes nothing.
    #[error("the signer refused: {0}")]
    Refused(Refusal),
    /// Not now. When the connection was lost with the request in flight, a signature may be in the journal: ask
    /// with the same intent and bytes again.
    #[error("the signer is unavailable: {reason}")]
    Unavailable {
        /// For the operator's log.
        reason: String,
    },
    /// The PIN is latched at the signer until an operator clears it.
    #[error("the signer is locked out: {remedy}")]
    LockedOut {
        /// What to do.
        remedy: String,
    },
    /// No answer in time. A signature may be in the journal: ask with the same intent and bytes again.
    #[error("the signer did not answer within {0:?}")]
    Deadline(Duration),
}

impl ClientError {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }
}

/// What the signer says of itself when greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The configured name of the signer.
    pub signer: String,
    /// Labels of the keys it serves.
    pub keys: Vec<KeyLabel>,
}

/// A handle on the signer behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    link: Arc<Link>,
    deadline: Duration,
}

impl Client {
    /// A client of the signer that listens at `socket`. Connects when first used.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { link: Arc::new(Link::new(socket.into())), deadline: DEFAULT_DEADLINE }
    }

    /// The same connection with another deadline per request.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { link: Arc::clone(&self.link), deadline }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        self.link.socket()
    }

    /// Connects, if need be, and says who answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn welcome(&self) -> Result<Welcome, ClientError> {
        let connecting = self.link.connection();
        let connection = timeout_at(Instant::now() + self.deadline, connecting)
            .await
            .map_err(|_| ClientError::Deadline(self.deadline))??;
        Ok(connection.welcome().clone())
    }

    /// Has a `TBSCertificate` (DER) signed. The same intent with the same bytes returns the recorded signature.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sign_certificate(
        &self,
        key: &KeyLabel,
        intent: Uuid,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<Signed, ClientError> {
        let body = RequestBody::SignCertificate { key: key.clone(), intent, audit_head, tbs };
        expect(self.ask(body).await?, |reply| match reply {
            ReplyBody::Signed(signed) => Ok(signed),
            other => Err(other),
        })
    }

    /// Has a `TBSCertList` (DER) signed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sign_crl(
        &self,
        key: &KeyLabel,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<Signed, ClientError> {
        let body = RequestBody::SignCrl { key: key.clone(), audit_head, tbs };
        expect(self.ask(body).await?, |reply| match reply {
            ReplyBody::Signed(signed) => Ok(signed),
            other => Err(other),
        })
    }

    /// Has an OCSP `ResponseData` (DER) signed; returns the content of the signature BIT STRING.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sign_ocsp(&self, key: &KeyLabel, tbs: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let body = RequestBody::SignOcsp { key: key.clone(), tbs };
        expect(self.ask(body).await?, |reply| match reply {
            ReplyBody::Signed(signed) => Ok(signed.signature),
            other => Err(other),
        })
    }

    /// Records revocations; returns the position of the last one, written now or found.
    ///
    /// # Errors
    /// See [`ClientError`]. A list that doesn't fit a frame (some 500 entries) is refused: split it.
    pub async fn revoke(
        &self,
        key: &KeyLabel,
        audit_head: AuditPosition,
        revocations: Vec<RevocationEntry>,
    ) -> Result<JournalPosition, ClientError> {
        let body = RequestBody::Revoke { key: key.clone(), audit_head, revocations };
        expect(self.ask(body).await?, |reply| match reply {
            ReplyBody::Revoked(position) => Ok(position),
            other => Err(other),
        })
    }

    /// The journal's certificate entry for an intent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn recorded(&self, intent: Uuid) -> Result<Option<Entry>, ClientError> {
        expect(self.ask(RequestBody::Recorded { intent }).await?, |reply| match reply {
            ReplyBody::Recorded(entry) => Ok(entry.map(|entry| *entry)),
            other => Err(other),
        })
    }

    /// Journal entries with a sequence number above `after`, in order, at most `limit`; fewer when they are large.
    /// Empty at the end of the journal.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn entries(&self, after: u64, limit: u32) -> Result<Vec<Entry>, ClientError> {
        expect(self.ask(RequestBody::Entries { after, limit }).await?, |reply| match reply {
            ReplyBody::Entries(entries) => Ok(entries),
            other => Err(other),
        })
    }

    /// The journal's identity and end.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn journal(&self) -> Result<JournalHead, ClientError> {
        expect(self.ask(RequestBody::Journal).await?, |reply| match reply {
            ReplyBody::Journal(head) => Ok(head),
            other => Err(other),
        })
    }

    /// The configured certificates: label and DER.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn certificates(&self) -> Result<Vec<(KeyLabel, Vec<u8>)>, ClientError> {
        let certificates = expect(self.ask(RequestBody::Certificates).await?, |reply| match reply {
            ReplyBody::Certificates(certificates) => Ok(certificates),
            other => Err(other),
        })?;
        Ok(certificates.into_iter().map(|(label, der)| (label, ByteBuf::into_vec(der))).collect())
    }

    /// Has a key prove itself once; nothing is journaled or counted.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn prove(&self, key: &KeyLabel) -> Result<Timing, ClientError> {
        expect(self.ask(RequestBody::Prove { key: key.clone() }).await?, |reply| match reply {
            ReplyBody::Proven(timing) => Ok(timing),
            other => Err(other),
        })
    }

    /// The signer's health, proven by signing with every key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        expect(self.ask(RequestBody::Status).await?, |reply| match reply {
            ReplyBody::Status(status) => Ok(*status),
            other => Err(other),
        })
    }

    async fn ask(&self, body: RequestBody) -> Result<ReplyBody, ClientError> {
        let end = Instant::now() + self.deadline;
        let asking = async {
            let connection = self.link.connection().await?;
            let number = self.link.next_number();
            let remaining = end.saturating_duration_since(Instant::now()).as_millis();
            let deadline_ms = u32::try_from(remaining).unwrap_or(u32::MAX);
            let frame = codec::encode_request(&Request { number, deadline_ms, body })
                .map_err(|error| too_large(&error))?;
            connection.ask(number, frame).await
        };
        timeout_at(end, asking).await.unwrap_or(Err(ClientError::Deadline(self.deadline)))
    }
}

/// A frame that can't be built never reaches the signer, which would have refused it the same way.
fn too_large(error: &codec::FrameError) -> ClientError {
    let code = match error {
        codec::FrameError::TooLarge { .. } => RefusalCode::TooLarge,
        _ => RefusalCode::Malformed,
    };
    ClientError::Refused(Refusal { code, detail: error.to_string() })
}

/// Takes the reply apart: the expected kind, or the error that it says.
fn expect<T>(
    reply: ReplyBody,
    wanted: impl FnOnce(ReplyBody) -> Result<T, ReplyBody>,
) -> Result<T, ClientError> {
    wanted(reply).map_err(|other| match other {
        ReplyBody::Refused(refusal) => ClientError::Refused(refusal),
        ReplyBody::Unavailable { reason } => ClientError::Unavailable { reason },
        ReplyBody::LockedOut { remedy } => ClientError::LockedOut { remedy },
        _ => ClientError::unavailable("the signer answered with another kind of reply"),
    })
}
