//! What a walk along a signer's journal asks the ledger, a page of entries at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{signer::JournalPosition, store::StoreResult};
use crate::domain::ids::{EnrolmentId, IssuerId, SerialNumber, SignerName};

/// The ledger's books as they are held against a journal.
#[async_trait]
pub trait LedgerBooks: Send + Sync {
    /// The users' certificates whose place in this signer's journal is from entry `first` to entry `last`, in that order.
    async fn entered(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        first: u64,
        last: u64,
    ) -> StoreResult<Vec<Entered>>;
    /// Which of these serial numbers are revoked, and since when.
    async fn revoked_among(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
    ) -> StoreResult<BTreeMap<SerialNumber, Timestamp>>;
    /// The numbers and hashes of the audit trail's rows from `first` to `last`, as far as there are any.
    async fn audit_hashes(&self, first: u64, last: u64) -> StoreResult<Vec<(u64, [u8; 32])>>;
}

/// A certificate that the ledger holds as issued, or as revoked after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The intent.
    pub intent: EnrolmentId,
    /// Where the journal keeps it, as the ledger has it.
    pub position: JournalPosition,
    /// DER of the `TBSCertificate`, as the ledger has it.
    pub tbs: Vec<u8>,
}
