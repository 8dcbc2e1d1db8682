//! The messages themselves. Everything here is data; the signer's policy judges it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of this protocol; a signer refuses a client that greets it with another.
pub const PROTOCOL_VERSION: u16 = 2;

/// A key by the name that the signer's configuration gives it, such as `customer-issuing` or `customer-ocsp`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyLabel(pub String);

/// A numbered request. Numbers are the client's and unique among its requests in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Echoed in the reply.
    pub number: u64,
    /// Milliseconds after which the client no longer waits; the signer gives up no later.
    pub deadline_ms: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RequestBody {
    /// The first message of a connection.
    Hello {
        /// [`PROTOCOL_VERSION`] of the client.
        version: u16,
    },
    /// Sign a `TBSCertificate` with an issuing key.
    SignCertificate {
        /// The issuing key.
        key: KeyLabel,
        /// Names this issuance for ever: the same intent with the same bytes returns the recorded signature, with
        /// other bytes it is refused.
        intent: Uuid,
        /// Where the authority's audit trail ended when the intent was committed; kept in the journal.
        audit_head: AuditPosition,
        /// DER of the `TBSCertificate` (RFC 5280, 4.1).
        #[serde(with = "serde_bytes")]
        tbs: Vec<u8>,
    },
    /// Sign a `TBSCertList` with an issuing key.
    SignCrl {
        /// The issuing key.
        key: KeyLabel,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// DER of the `TBSCertList` (RFC 5280, 5.1).
        #[serde(with = "serde_bytes")]
        tbs: Vec<u8>,
    },
    /// Sign an OCSP `ResponseData` with a responder key.
    SignOcsp {
        /// The responder key.
        key: KeyLabel,
        /// DER of the `ResponseData` (RFC 6960, 4.2.1).
        #[serde(with = "serde_bytes")]
        tbs: Vec<u8>,
    },
    /// Record revocations durably. Idempotent per serial number; a recorded revocation can't be taken back.
    Revoke {
        /// The issuing key whose certificates are revoked.
        key: KeyLabel,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// The certificates.
        revocations: Vec<RevocationEntry>,
    },
    /// The recorded signature for an intent, if there is one.
    Recorded {
        /// The intent.
        intent: Uuid,
    },
    /// Journal entries after a sequence number, in order, OCSP counters left out and CRLs by their number.
    Entries {
        /// Entries with a larger sequence number are returned; 0 starts at the beginning.
        after: u64,
        /// At the most so many.
        limit: u32,
    },
    /// Have a key prove itself once, by a signature that nobody gets: it is neither journaled nor counted.
    Prove {
        /// The key.
        key: KeyLabel,
    },
    /// The journal's identity and end.
    Journal,
    /// The certificates of the keys, as configured: `(label, DER)`.
    Certificates,
    /// Health, proven by signing: see [`Status`].
    Status,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationEntry {
    /// Content octets of the serial number's INTEGER, big-endian, minimal.
    #[serde(with = "serde_bytes")]
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// `CRLReason` (RFC 5280, 5.3.1), 0 when unspecified.
    pub reason: u8,
    /// notAfter of the certificate: it may leave the CRL afterwards.
    pub not_after: Timestamp,
}

/// A numbered reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The request's number.
    pub number: u64,
    /// What is answered.
    pub body: ReplyBody,
}

/// What the signer can answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplyBody {
    /// To `Hello`.
    Welcome {
        /// The configured name of this signer, stored with each intent.
        signer: String,
        /// Labels of the keys it serves.
        keys: Vec<KeyLabel>,
    },
    /// To the three signing requests.
    Signed(Signed),
    /// To `Revoke`: the position of the last entry written or found.
    Revoked(JournalPosition),
    /// To `Recorded`.
    Recorded(Option<Box<Entry>>),
    /// To `Entries`.
    Entries(Vec<Entry>),
    /// To `Prove`: the key signed, which took so long.
    Proven(Timing),
    /// To `Journal`.
    Journal(JournalHead),
    /// To `Certificates`.
    Certificates(Vec<(KeyLabel, serde_bytes::ByteBuf)>),
    /// To `Status`.
    Status(Box<Status>),
    /// Policy said no. Asking again changes nothing.
    Refused(Refusal),
    /// Not now: worker restarting, queue full, module failing. Nothing was signed that left the signer; the same
    /// request may be sent again.
    Unavailable {
        /// For the operator's log.
        reason: String,
    },
    /// The PIN was refused and is latched: nothing logs in until an operator clears the latch.
    LockedOut {
        /// What to do.
        remedy: String,
    },
}

/// A signature and where the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The value for the outer `signature` BIT STRING (DER `ECDSA-Sig-Value` for ECDSA keys). Its algorithm is the
    /// one inside the structure that was signed, or for OCSP the key's.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
    /// Where it is journaled; `None` for OCSP responses, which are only counted.
    pub position: Option<JournalPosition>,
    /// Where the time went; all zero for a recorded signature.
    pub timing: Timing,
}

/// Where a signature's time went, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Waiting for a lane.
    pub queued_us: u32,
    /// In the lane: the module's `C_Sign`, and checking what it gave.
    pub signed_us: u32,
    /// Until the entry was on the disk.
    pub journaled_us: u32,
}

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPosition {
    /// Counts from 1.
    pub sequence: u64,
    /// The entry's chained SHA-256.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
}

/// A place in the authority's audit trail: what an entry of the journal is anchored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPosition {
    /// Counts from 1; 0 before the first row.
    pub sequence: u64,
    /// The row's chained SHA-256.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
}

impl AuditPosition {
    /// Before the first row.
    pub const START: Self = Self { sequence: 0, hash: [0; 32] };
}

/// A journal's identity and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The random identifier in the file's header.
    pub journal: Uuid,
    /// The last entry; `None` for an empty journal.
    pub last: Option<JournalPosition>,
    /// The furthest place in the authority's audit trail that any entry carries.
    pub audit: Option<AuditPosition>,
}

/// One journal entry as the signer shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub position: JournalPosition,
    /// The hash of the entry before, or the journal's first: with [`crate::record::encode`] it makes the entry's own.
    #[serde(with = "serde_bytes")]
    pub previous: [u8; 32],
    /// When, by the signer's clock.
    pub at: Timestamp,
    /// What.
    pub body: EntryBody,
}

/// What the journal remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// A certificate was signed.
    Certificate {
        /// The issuing key.
        key: KeyLabel,
        /// The intent.
        intent: Uuid,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// What was signed.
        #[serde(with = "serde_bytes")]
        tbs: Vec<u8>,
        /// The signature.
        #[serde(with = "serde_bytes")]
        signature: Vec<u8>,
    },
    /// A CRL was signed.
    Crl {
        /// The issuing key.
        key: KeyLabel,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// What was signed.
        #[serde(with = "serde_bytes")]
        tbs: Vec<u8>,
        /// The signature.
        #[serde(with = "serde_bytes")]
        signature: Vec<u8>,
    },
    /// A certificate was revoked.
    Revocation {
        /// The issuing key.
        key: KeyLabel,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// Which, when and why.
        revocation: RevocationEntry,
    },
    /// In replies to `Entries`, in place of a CRL that the journal has whole.
    CrlDigest {
        /// The issuing key.
        key: KeyLabel,
        /// Where the authority's audit trail ended.
        audit_head: AuditPosition,
        /// `cRLNumber`.
        number: u64,
        /// thisUpdate.
        this_update: Timestamp,
        /// SHA-256 of the `TBSCertList`.
        #[serde(with = "serde_bytes")]
        digest: [u8; 32],
    },
    /// A human took the clock as right though it was behind the last entry: later entries may be earlier than it.
    ClockAccepted {
        /// The last entry's time.
        before: Timestamp,
    },
    /// So many OCSP responses were signed since the last such entry.
    OcspCount {
        /// The responder key.
        key: KeyLabel,
        /// How many.
        count: u64,
    },
}

/// A refusal by policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {detail}")]
pub struct Refusal {
    /// The kind, for programs.
    pub code: RefusalCode,
    /// The particulars, for people.
    pub detail: String,
}

/// Why policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The structure doesn't parse as what this request signs, or isn't its own DER re-encoding.
    Malformed,
    /// No such key, or a key of another role.
    WrongKey,
    /// The issuer or responder name isn't the key's own.
    WrongIssuer,
    /// An extension, subject or key that the profile doesn't allow.
    OutsideProfile,
    /// notBefore, notAfter, thisUpdate or nextUpdate out of bounds.
    OutsideValidity,
    /// This intent was signed with other bytes.
    IntentReused,
    /// This serial number was signed before.
    SerialReused,
    /// The CRL number doesn't rise.
    CrlNumber,
    /// The CRL or OCSP response denies a revocation in the journal.
    DeniesRevocation,
    /// The signer's clock is behind its last entry.
    ClockBehind,
    /// Another protocol version, or no `Hello`.
    Protocol,
    /// Larger than this kind of structure may be.
    TooLarge,
}

/// How the signer is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// True when the journal is sound and each key just made a signature that verified, on one token at least.
    pub healthy: bool,
    /// Per key: the label and what went wrong, if anything did.
    pub keys: Vec<(KeyLabel, Option<String>)>,
    /// The last entry, `None` for an empty journal.
    pub journal: Option<JournalPosition>,
    /// Why the journal can't be trusted and nothing is signed any more; only a human gets it out of that.
    pub journal_fault: Option<String>,
    /// Lanes that are signing now, and lanes in all.
    pub lanes_busy: u32,
    /// Lanes in all.
    pub lanes: u32,
    /// Requests that wait for a lane.
    pub queued: u32,
    /// How often a worker was restarted since the signer started.
    pub worker_restarts: u64,
    /// The tokens, each with all the keys, in order of configuration.
    #[serde(default)]
    pub tokens: Vec<TokenStatus>,
}

/// How one token behind the signer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The name that the signer's configuration gives it.
    pub name: String,
    /// Whether it signs.
    pub state: TokenState,
    /// What is wrong, if anything is.
    pub trouble: Option<String>,
    /// How often its worker was restarted since the signer started.
    pub worker_restarts: u64,
}

/// Whether a token signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Each key just made a signature on it that verified.
    Ready,
    /// Its worker is being started.
    Starting,
    /// It can't be used now; it is tried again and again.
    Down,
    /// Its PIN is latched until an operator clears the latch.
    LockedOut,
}
