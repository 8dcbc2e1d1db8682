//! The ledger.

use async_trait::async_trait;
use jiff::Timestamp;

pub use crate::domain::{
    crl::PublishedCrl,
    ocsp::LedgerStatus,
    receipt::{IntentReceipt, IssuedReceipt},
};

use super::signer::JournalPosition;
use crate::domain::{
    audit::{AuditEvent, AuditRow},
    certificate::CertificateRecord,
    contract::Contract,
    device::Device,
    enrolment::{AcquisitionCode, Enrolment},
    ids::{ContractNumber, EnrolmentId, IdempotencyKey, IssuerId, SerialNumber, UserId},
    revocation::{Revocation, RevocationReason},
    user::{PasswordHash, PasswordKind, User, UserState},
};

/// Why a store method did nothing. What is merely not found is `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The commit would break a rule that the store guards; nothing was changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// Busy, full or out of reach for now; nothing was changed, or whether it was is unknown.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row that Inro can't have written.
    #[error("the database holds a row that is corrupt: {what}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        what: String,
    },
}

/// The rule that a commit would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The number or ID is taken, now or by a removed user.
    #[error("it is already registered")]
    Taken,
    /// The contract, user, enrolment or certificate that it belongs to isn't there, or not in a fit state.
    #[error("what it belongs to is missing or not in a fit state")]
    Missing,
    /// The contract has its master, or all its general users.
    #[error("the contract's plan is exhausted")]
    Quota,
    /// The user already holds a certificate or an open intent (rule 1).
    #[error("the user already has a certificate")]
    OnePerUser,
    /// The key is certified already, or the token serves another user.
    #[error("the key or token is in use by another certificate")]
    DeviceInUse,
    /// The acquisition code is wrong, used, expired or burnt.
    #[error("the acquisition code is not valid")]
    Code,
    /// A CRL with this number exists, or a higher one.
    #[error("the CRL number doesn't rise")]
    CrlNumber,
}

/// Shorthand for store results.
pub type StoreResult<T> = Result<T, StoreError>;

/// Contracts and users.
#[async_trait]
pub trait CustomerStore: Send + Sync {
    /// Registers a contract.
    async fn register_contract(&self, contract: &Contract, audit: AuditEvent) -> StoreResult<()>;
    /// A contract by number.
    async fn contract(&self, number: &ContractNumber) -> StoreResult<Option<Contract>>;
    /// All contracts by number.
    async fn contracts(&self) -> StoreResult<Vec<Contract>>;
    /// Registers a user; `Quota` when the contract's plan has no room, `Taken` when the ID was ever used.
    async fn register_user(&self, user: &User, audit: AuditEvent) -> StoreResult<()>;
    /// A user by ID.
    async fn user(&self, id: &UserId) -> StoreResult<Option<User>>;
    /// The users of a contract, master first, then by ID.
    async fn users_of(&self, contract: &ContractNumber) -> StoreResult<Vec<User>>;
    /// Changes whether a user may act.
    async fn set_user_state(&self, id: &UserId, state: UserState, audit: AuditEvent) -> StoreResult<()>;
    /// Assigns a token to a user, or takes it away; `DeviceInUse` when it is another user's (a serial belongs to at
    /// most one user).
    async fn assign_device(&self, id: &UserId, device: Option<&Device>, audit: AuditEvent)
    -> StoreResult<()>;
    /// Replaces the user's acquisition code.
    async fn set_acquisition_code(
        &self,
        id: &UserId,
        code: &AcquisitionCode,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Whether a live acquisition code is out for the user.
    async fn acquisition_code(&self, id: &UserId) -> StoreResult<Option<AcquisitionCode>>;
    /// Takes one attempt from the user's acquisition code (rule 13); at none left it is burnt. Without a live code, or
    /// such a user, only the audit row is written.
    async fn spend_code_attempt(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()>;
}

/// Passwords and portal sessions.
#[async_trait]
pub trait LoginStore: Send + Sync {
    /// Sets a password.
    async fn set_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        hash: &PasswordHash,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A user's password hash.
    async fn password(&self, id: &UserId, kind: PasswordKind) -> StoreResult<Option<PasswordHash>>;
    /// Counts a wrong password at the portal (never at the enrolment API, rule 13), each kind by itself; at `lock_at`
    /// wrong ones of one kind in a row the user is locked, whichever kind it was. Returns the count.
    async fn count_wrong_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        now: Timestamp,
        lock_at: u32,
        audit: AuditEvent,
    ) -> StoreResult<u32>;
    /// Forgets the wrong passwords of this kind after a right one; `Missing` when the user was locked or suspended
    /// meanwhile, so that of many guesses at once none counts after the one that locks.
    async fn accept_password(&self, id: &UserId, kind: PasswordKind, audit: AuditEvent) -> StoreResult<()>;
    /// Unlocks a user and forgets the wrong passwords of both kinds.
    async fn unlock(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()>;
    /// Opens a session after a successful login, forgets wrong login passwords (of the other kind nothing was proven),
    /// confirms the certificate.
    async fn open_session(&self, session: &Session, audit: AuditEvent) -> StoreResult<()>;
    /// A session by the SHA-256 of its token.
    async fn session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<Session>>;
    /// Moves a session's idle clock.
    async fn touch_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()>;
    /// Ends a session.
    async fn close_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()>;
    /// Deletes sessions that were last used before `idle_since` or opened before `opened_before`.
    async fn purge_sessions(&self, idle_since: Timestamp, opened_before: Timestamp) -> StoreResult<u64>;
    /// The user's last logins, newest first: when, and with which certificate.
    async fn last_logins(&self, id: &UserId, limit: u32) -> StoreResult<Vec<(Timestamp, SerialNumber)>>;
}

/// A portal session, bound to one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie's value.
    pub token_sha256: [u8; 32],
    /// SHA-256 of the token that forms carry against cross-site requests.
    pub csrf_sha256: [u8; 32],
    /// Whose.
    pub user: UserId,
    /// The issuer of the certificate it is bound to.
    pub issuer: IssuerId,
    /// The serial number of the certificate it is bound to.
    pub serial: SerialNumber,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
}

/// Enrolments, intents and certificates.
#[async_trait]
pub trait CertificateStore: Send + Sync {
    /// Opens an enrolment. An acquisition code is consumed here, in the same commit. A repeat of the idempotency key
    /// by the same user returns the first enrolment; by another user it is `Taken`.
    async fn open_enrolment(
        &self,
        enrolment: &Enrolment,
        code: Option<[u8; 32]>,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment>;
    /// An enrolment by ID.
    async fn enrolment(&self, id: EnrolmentId) -> StoreResult<Option<Enrolment>>;
    /// An enrolment by the agent's key.
    async fn enrolment_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Enrolment>>;
    /// Replaces challenge, bearer and expiry if the challenge is still `seen`, in whatever state the enrolment is (a
    /// certified one needs a bearer for its confirmation). Returns the enrolment as it then stands, also when another
    /// was faster; `Missing` when there is none.
    async fn renew_challenge(
        &self,
        id: EnrolmentId,
        seen: &[u8; 32],
        fresh: &FreshChallenge,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment>;
    /// Refuses an enrolment for good and keeps the evidence with its verdict; `Missing` when it isn't merely
    /// challenged.
    async fn refuse_enrolment(
        &self,
        id: EnrolmentId,
        code: &str,
        detail: &str,
        evidence: Option<&StoredEvidence>,
        audit: AuditEvent,
    ) -> StoreResult<()>;

    /// Step 6: commits the intent, the evidence with its verdict, and the audit row. `OnePerUser` when the user has an
    /// unrevoked certificate or open intent, `DeviceInUse` when the key was ever certified or the token serves
    /// another user, `Missing` when the enrolment was refused or the user may not act. `Taken` when the enrolment already has its intent comes
    /// before all of these (read it back and go on from there).
    async fn record_intent(
        &self,
        certificate: &CertificateRecord,
        evidence: &StoredEvidence,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt>;
    /// Step 9: commits the certificate, its place in the journal and the audit row. Idempotent for the same DER; a
    /// row that was revoked meanwhile keeps its revocation and gains the DER, and the receipt says so.
    async fn record_issued(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<IssuedReceipt>;
    /// Gives up an intent for which nothing was ever signed; `Missing` when it isn't merely intended.
    async fn abandon_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()>;
    /// Intents older than `before` without a certificate.
    async fn open_intents(&self, issuer: &IssuerId, before: Timestamp)
    -> StoreResult<Vec<CertificateRecord>>;
    /// Keeps a certificate of the signer's journal that the ledger doesn't know: blocked, alarmed, decided by people.
    /// It can be revoked like any other. Returns false, and writes nothing, when it is already kept.
    async fn record_orphan(&self, orphan: &Orphan, audit: AuditEvent) -> StoreResult<bool>;
    /// The orphans of an issuer by their place in the journal, revoked ones included.
    async fn orphans(&self, issuer: &IssuerId) -> StoreResult<Vec<Orphan>>;
    /// How far the journal of an issuer's signer was reconciled.
    async fn reconciled_to(&self, issuer: &IssuerId) -> StoreResult<u64>;
    /// Remembers how far.
    async fn set_reconciled_to(&self, issuer: &IssuerId, sequence: u64) -> StoreResult<()>;

    /// The agent has read the certificate back from the token.
    async fn confirm(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A certificate by serial number.
    async fn certificate(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<CertificateRecord>>;
    /// A certificate by its intent.
    async fn certificate_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<CertificateRecord>>;
    /// All certificates of a user, newest first.
    async fn certificates_of(&self, user: &UserId) -> StoreResult<Vec<CertificateRecord>>;
    /// How many other users of the user's contract and role have a certificate or open intent that isn't revoked
    /// (rule 1).
    async fn holders_beside(&self, user: &UserId) -> StoreResult<u64>;
    /// Certificates in the order of issuance, for the operator's list: at most `limit` after `after`.
    async fn certificates(
        &self,
        issuer: &IssuerId,
        after: Option<&SerialNumber>,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>>;
    /// The evidence that a certificate was issued or an enrolment refused on.
    async fn evidence(&self, id: EnrolmentId) -> StoreResult<Option<StoredEvidence>>;
}

/// What takes the place of an expired challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshChallenge {
    /// 32 random octets.
    pub challenge: [u8; 32],
    /// SHA-256 of the bearer that goes with it.
    pub bearer_sha256: [u8; 32],
    /// When both become worthless.
    pub expires_at: Timestamp,
}

/// A certificate in the signer's journal without a matching intent in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Whose name it was signed in.
    pub issuer: IssuerId,
    /// The intent that the journal names.
    pub intent: EnrolmentId,
    /// Its serial number.
    pub serial: SerialNumber,
    /// Its notAfter.
    pub not_after: Timestamp,
    /// The certificate, DER, assembled from the journal.
    pub der: Vec<u8>,
    /// Where the journal keeps it.
    pub position: JournalPosition,
}

/// Evidence as it was received, with what was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// The raw evidence: its format's name and its parts in order, such as slot and f9 certificate.
    pub format: String,
    /// The parts, raw.
    pub parts: Vec<Vec<u8>>,
    /// The certification request, raw.
    pub csr: Vec<u8>,
    /// Version of the policy that judged it.
    pub policy_version: u32,
    /// `accepted`, or the refusal's stable code.
    pub verdict: String,
    /// What was decoded, as `name=value` lines.
    pub decoded: String,
    /// When.
    pub judged_at: Timestamp,
}

/// Revocations, CRLs and what relying parties are told.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Revokes. Also an intent that was never seen issued, and an orphan. Returns the standing revocation when there is one already:
    /// its time and reason never change, and nothing un-revokes.
    async fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome>;
    /// Revocations that the signer's journal hasn't acknowledged yet, oldest first, and the audit head.
    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        limit: u32,
    ) -> StoreResult<(Vec<Revocation>, [u8; 32])>;
    /// The journal has them.
    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
        position: JournalPosition,
    ) -> StoreResult<()>;
    /// Every revocation whose certificate had not expired at `now` (it is valid up to and including its notAfter),
    /// ordered by serial number: the CRL's content.
    async fn revoked(&self, issuer: &IssuerId, now: Timestamp) -> StoreResult<Vec<Revocation>>;
    /// What OCSP needs to know.
    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus>;

    /// Takes the next CRL number; numbers rise strictly and are never given twice.
    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<u64>;
    /// Makes a signed CRL the current one; `CrlNumber` when a higher one is.
    async fn publish_crl(&self, issuer: &IssuerId, crl: &PublishedCrl, audit: AuditEvent) -> StoreResult<()>;
    /// The current CRL.
    async fn current_crl(&self, issuer: &IssuerId) -> StoreResult<Option<PublishedCrl>>;
    /// How many revocations the current CRL lacks: those of certificates that hadn't expired at its thisUpdate, less
    /// its entries (counting, not comparing times: a revocation may be committed while a CRL is built). All, when there
    /// is no CRL.
    async fn revoked_since_crl(&self, issuer: &IssuerId) -> StoreResult<u64>;
}

/// What `revoke` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It is revoked now.
    Revoked(Revocation),
    /// It already was.
    Already(Revocation),
    /// No such certificate.
    Unknown,
}

/// The audit trail by itself: decisions that change nothing else, and reading.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends a row.
    async fn append(&self, event: AuditEvent) -> StoreResult<()>;
    /// The last row's number and hash.
    async fn head(&self) -> StoreResult<(u64, [u8; 32])>;
    /// Rows after a number, in order.
    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>>;
}
