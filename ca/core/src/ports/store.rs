//! The ledger. Texts are what the domain's types let through and what ca-core writes itself: they hold no NUL, which
//! PostgreSQL can't keep.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use crate::domain::{
    crl::PublishedCrl,
    ocsp::LedgerStatus,
    receipt::{IntentReceipt, IssuedReceipt},
};

use super::signer::JournalPosition;
use crate::domain::{
    audit::{AuditEvent, AuditPosition, AuditRow},
    certificate::CertificateRecord,
    contract::Contract,
    device::Device,
    enrolment::{AcquisitionCode, Enrolment},
    ids::{ContractNumber, EnrolmentId, IdempotencyKey, IssuerId, SerialNumber, SignerName, UserId},
    policy::{Applicant, PolicyVersion},
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
    /// The inventory doesn't let the token be used: it is another contract's, or out of use.
    #[error("the token inventory doesn't let the token be used")]
    TokenUnfit,
    /// The acquisition code is wrong, used, expired or burnt.
    #[error("the acquisition code is not valid")]
    Code,
    /// A CRL with this number exists, or a higher one.
    #[error("the CRL number doesn't rise")]
    CrlNumber,
    /// Two members of staff are needed, and this is the one who asked; or only that one may, and this isn't.
    #[error("it takes another member of staff")]
    FourEyes,
    /// The signer is known with another journal.
    #[error("the signer's journal is not the one that the ledger knows it by")]
    OtherJournal,
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
    /// Sets a password, forgets the wrong ones of its kind and ends the user's sessions. When the user does it, the
    /// session that it is done in goes on; without it, or when the user is locked or suspended, it is `Missing`.
    async fn set_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        hash: &PasswordHash,
        by: PasswordBy,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A user's password hash.
    async fn password(&self, id: &UserId, kind: PasswordKind) -> StoreResult<Option<PasswordHash>>;
    /// The user's passwords that somebody else set and handed over, and that the user hasn't changed since.
    async fn initial_passwords(&self, id: &UserId) -> StoreResult<Vec<PasswordKind>>;
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
    /// The user's last logins, newest first.
    async fn last_logins(&self, id: &UserId, limit: u32) -> StoreResult<Vec<LoginEntry>>;
    /// Forgets logins before a time, all users'.
    async fn purge_logins(&self, before: Timestamp) -> StoreResult<u64>;
}

/// Who sets a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordBy {
    /// The user, in the session with this SHA-256 of its token.
    User([u8; 32]),
    /// A master or a branch, who hands it over: an initial one, which the user changes at the next login.
    Issuer,
    /// The command line, in a bootstrap or a demonstration: it stands as it is.
    Operator,
}

impl PasswordBy {
    /// The session that goes on.
    pub fn session(&self) -> Option<&[u8; 32]> {
        match self {
            Self::User(token_sha256) => Some(token_sha256),
            Self::Issuer | Self::Operator => None,
        }
    }
}

/// A login that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginEntry {
    /// When.
    pub at: Timestamp,
    /// With which certificate.
    pub serial: SerialNumber,
    /// Where its key lives.
    pub device: Device,
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
    /// unrevoked certificate or open intent (for a renewal: an unconfirmed one), `DeviceInUse` when the key was ever
    /// certified or the token serves another user, `Missing` when the enrolment was refused, the user may not act, or the
    /// certificate to be renewed isn't the user's valid one on this token. `Taken` when the enrolment already has its
    /// intent comes before all of these (read it back and go on from there).
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
    /// Intents for this signer older than `before` without a certificate.
    async fn open_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        before: Timestamp,
    ) -> StoreResult<Vec<CertificateRecord>>;
    /// Keeps a certificate of the signer's journal that the ledger doesn't know: blocked, alarmed, decided by people.
    /// It can be revoked like any other. Returns false, and writes nothing, when it is already kept.
    async fn record_orphan(&self, orphan: &Orphan, audit: AuditEvent) -> StoreResult<bool>;
    /// The orphans of an issuer by their place in the journal, revoked ones included.
    async fn orphans(&self, issuer: &IssuerId) -> StoreResult<Vec<Orphan>>;
    /// The agent has read the certificate back from the token. A renewal becomes the user's certificate with it, and its
    /// predecessor is revoked as superseded (in whole seconds), in the same commit. `Missing` when it isn't issued, is
    /// revoked, or renews what doesn't stand any more.
    async fn confirm(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Renewals drafted before `before` that nobody confirmed, oldest first, at most `limit`.
    async fn unconfirmed_renewals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>>;
    /// Rule 1: revokes a renewal that is still unconfirmed. False, and nothing is written, when it isn't any more.
    async fn lapse_renewal(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool>;
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
    /// A user as policy judges one, all of one moment.
    async fn applicant(&self, user: &UserId) -> StoreResult<Option<Applicant>>;
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
    /// Whose journal holds it.
    pub signer: SignerName,
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
    /// The challenge that was answered.
    pub challenge: [u8; 32],
    /// The key's signature over [`challenge_message`](crate::domain::attestation::challenge_message).
    pub challenge_signature: Vec<u8>,
    /// Of a renewal: the old key's signature over [`renewal_message`](crate::domain::renewal::renewal_message).
    pub predecessor_signature: Option<Vec<u8>>,
    /// The policy that judged it, in the version that held.
    pub policy: PolicyVersion,
    /// Version of the trust bundle whose anchors judged it; 0 for those of the configuration's files.
    pub trust_version: u32,
    /// `accepted`, or the refusal's stable code.
    pub verdict: String,
    /// What was decoded, as `name=value` lines.
    pub decoded: String,
    /// When.
    pub judged_at: Timestamp,
}

impl StoredEvidence {
    /// SHA-256 over all of it: the audit trail names it, so that a row which was changed afterwards shows.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"inro-evidence-record-1");
        let mut put = |octets: &[u8]| {
            hash.update((octets.len() as u64).to_be_bytes());
            hash.update(octets);
        };
        put(self.format.as_bytes());
        put(&(self.parts.len() as u64).to_be_bytes());
        self.parts.iter().for_each(|part| put(part));
        put(&self.csr);
        put(&self.challenge);
        put(&self.challenge_signature);
        put(self.predecessor_signature.as_deref().unwrap_or_default());
        put(self.policy.name.as_str().as_bytes());
        put(&self.policy.version.to_be_bytes());
        put(&self.trust_version.to_be_bytes());
        put(self.verdict.as_bytes());
        put(self.decoded.as_bytes());
        put(&self.judged_at.as_millisecond().to_be_bytes());
        hash.finalize().into()
    }
}

/// How long other processes' revocations may take to show in [`RevocationStore::revocation_head`].
pub const HEAD_LAG: Duration = Duration::from_millis(10);

/// Revocations, CRLs and what relying parties are told.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Revokes. Also an intent that was never seen issued, and an orphan. Returns the standing revocation when there is one already:
    /// its time and reason never change, and nothing un-revokes. An unconfirmed renewal of it falls with it: the key that
    /// spoke for it isn't believed any more.
    async fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome>;
    /// Enters a revocation that a signer's journal holds and the ledger lost, with its time and reason, whether the
    /// ledger knows the certificate or not. Returns false, and writes nothing, when the number is revoked already.
    async fn restore_revocation(&self, revocation: &Revocation, audit: AuditEvent) -> StoreResult<bool>;
    /// Revocations that this signer's journal hasn't acknowledged yet, in the order in which they were entered, and the
    /// audit head.
    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        limit: u32,
    ) -> StoreResult<Unjournaled>;
    /// This signer's journal has all revocations up to this number ([`Unjournaled`]); never moves back.
    async fn mark_journaled(&self, issuer: &IssuerId, signer: &SignerName, up_to: u64) -> StoreResult<()>;
    /// Every revocation of a certificate with a notAfter of `from` or later, ordered by serial number: a CRL's content.
    async fn revoked(&self, issuer: &IssuerId, from: Timestamp) -> StoreResult<Vec<Revocation>>;
    /// What OCSP needs to know.
    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus>;
    /// A number that is another one after each revocation, of whatever issuer: while it stays the same, so does every
    /// [`status`](Self::status) but `Unknown`. It is cheap to ask for again and again. It is never behind what this
    /// store acknowledged or said of a status, and behind what other processes committed by [`HEAD_LAG`] at the most.
    async fn revocation_head(&self) -> StoreResult<u64>;

    /// Takes the next CRL number; numbers rise strictly and are never given twice.
    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<u64>;
    /// CRL numbers go on above `number`, which a signer's journal holds.
    async fn raise_crl_number(&self, issuer: &IssuerId, number: u64) -> StoreResult<()>;
    /// Makes a signed CRL the current one; `CrlNumber` when a higher one is.
    async fn publish_crl(&self, issuer: &IssuerId, crl: &PublishedCrl, audit: AuditEvent) -> StoreResult<()>;
    /// The current CRL.
    async fn current_crl(&self, issuer: &IssuerId) -> StoreResult<Option<PublishedCrl>>;
    /// How many revocations the current CRL lacks: those of certificates with its `listed_from` as notAfter or a later
    /// one, less its entries (counting, not comparing times: a revocation may be committed while a CRL is built). All, when there
    /// is no CRL.
    async fn revoked_since_crl(&self, issuer: &IssuerId) -> StoreResult<u64>;
}

/// Revocations that a signer's journal lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unjournaled {
    /// Each with its number: they rise in the order of the commits, over all issuers.
    pub revocations: Vec<(u64, Revocation)>,
    /// The head of the audit chain, which covers them.
    pub audit: AuditPosition,
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

/// The signers of all nodes, and how far their journals and the ledger agree.
#[async_trait]
pub trait SignerStore: Send + Sync {
    /// Introduces a signer, or returns it as it stands. `OtherJournal` when the name is known with another journal:
    /// a lost or foreign one must not pass for the old.
    async fn introduce_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        journal: Uuid,
        audit: AuditEvent,
    ) -> StoreResult<SignerRecord>;
    /// The signers of an issuer by name, retired ones included.
    async fn signers(&self, issuer: &IssuerId) -> StoreResult<Vec<SignerRecord>>;
    /// The ledger agrees with the journal up to here; never moves back.
    async fn set_reconciled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        position: JournalPosition,
    ) -> StoreResult<()>;
    /// The furthest place in the signer's journal that an issued certificate names.
    async fn last_journaled(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
    ) -> StoreResult<Option<JournalPosition>>;
    /// An operator accepted that journal entries up to this sequence number carry audit positions that the ledger has
    /// lost; never moves back.
    async fn accept_lost_anchors(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        up_to: u64,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A signer that never comes back; `Missing` when there is none or it is retired already.
    async fn retire_signer(
        &self,
        issuer: &IssuerId,
        name: &SignerName,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
}

/// A signer as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerRecord {
    /// Whose certificates it signs.
    pub issuer: IssuerId,
    /// Its name.
    pub name: SignerName,
    /// Its journal's identity.
    pub journal: Uuid,
    /// How far ledger and journal agree; `None` before the first reconciliation.
    pub reconciled: Option<JournalPosition>,
    /// The number of the last revocation that its journal has; 0 for none.
    pub revocations_to: u64,
    /// Journal entries up to this sequence number may carry audit positions that the ledger has lost; 0 for none.
    pub anchors_accepted_to: u64,
    /// Since when it isn't expected back.
    pub retired_at: Option<Timestamp>,
}

/// Which node does what only one may do at a time.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes or prolongs the lease by `lifetime`, by the database's clock; false when another holder has it.
    async fn take_lease(&self, name: &str, holder: &str, lifetime: SignedDuration) -> StoreResult<bool>;
    /// Gives the lease back, if this holder has it.
    async fn release_lease(&self, name: &str, holder: &str) -> StoreResult<()>;
}

/// The audit trail by itself: decisions that change nothing else, and reading.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends a row.
    async fn append(&self, event: AuditEvent) -> StoreResult<()>;
    /// The last row's place.
    async fn head(&self) -> StoreResult<AuditPosition>;
    /// Rows after a number, in order.
    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>>;
}
