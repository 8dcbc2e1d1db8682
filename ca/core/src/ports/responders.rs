//! The certificates of OCSP responders in the ledger, from the intent on. They belong to no user.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    signer::JournalPosition,
    store::{IntentReceipt, StoreResult},
};
use crate::domain::{
    audit::AuditEvent,
    ids::{EnrolmentId, IssuerId, SignerName},
    responder::ResponderRecord,
};

/// Responders' certificates that were renewed here; those of the key ceremony are files.
#[async_trait]
pub trait ResponderStore: Send + Sync {
    /// Commits an intent; `Taken` when its name or serial number is used already.
    async fn record_responder_intent(
        &self,
        record: &ResponderRecord,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt>;
    /// Commits the certificate and its place in the journal. Idempotent for the same DER; one that was revoked meanwhile
    /// keeps its revocation. `Missing` when there is no such intent, or it was given up.
    async fn record_responder(
        &self,
        intent: EnrolmentId,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Gives up an intent for which nothing was ever signed; `Missing` when it isn't merely intended.
    async fn abandon_responder_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()>;
    /// A certificate by its intent.
    async fn responder_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<ResponderRecord>>;
    /// Intents for this signer without a certificate, the newest first.
    async fn open_responder_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
    ) -> StoreResult<Vec<ResponderRecord>>;
    /// Certificates for this key that were issued, aren't revoked and end after `now`, the newest first.
    async fn responders(
        &self,
        issuer: &IssuerId,
        public_key_sha256: &[u8; 32],
        now: Timestamp,
    ) -> StoreResult<Vec<ResponderRecord>>;
}
