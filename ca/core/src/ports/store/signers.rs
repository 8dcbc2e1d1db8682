//! The signers of all nodes, and how far their journals and the ledger agree.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::StoreResult;
use crate::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SignerName},
    },
    ports::signer::JournalPosition,
};

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
    /// The furthest place in the signer's journal that the ledger knows: an issued certificate's, or a revocation's.
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
