//! Enrolments, intents and certificates, with the evidence that they were judged on.

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::StoreResult;
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateRecord,
        enrolment::Enrolment,
        ids::{EnrolmentId, IdempotencyKey, IssuerId, SerialNumber, SignerName, UserId},
        policy::{Applicant, PolicyVersion},
        receipt::{IntentReceipt, IssuedReceipt},
    },
    ports::signer::JournalPosition,
};

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
    /// revoked, is a renewal that has [lapsed](crate::domain::renewal::has_lapsed) at `at`, or renews what doesn't stand any
    /// more.
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
    /// An enrolment and its applicant, all of one moment.
    async fn application(&self, id: EnrolmentId) -> StoreResult<Option<Application>>;
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

/// An enrolment, and whom it is for as policy judges them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The enrolment.
    pub enrolment: Enrolment,
    /// Its user.
    pub applicant: Applicant,
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
