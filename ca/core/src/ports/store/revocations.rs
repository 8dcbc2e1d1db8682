//! Revocations, CRLs and what relying parties are told.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreResult;
use crate::{
    domain::{
        audit::{AuditEvent, AuditPosition},
        crl::PublishedCrl,
        ids::{IssuerId, SerialNumber, SignerName},
        ocsp::LedgerStatus,
        revocation::{Revocation, RevocationReason},
    },
    ports::signer::JournalPosition,
};

/// How long other processes' revocations may take to show in [`RevocationStore::revocation_head`].
pub const HEAD_LAG: Duration = Duration::from_millis(10);

/// Revocations, CRLs and what relying parties are told.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Revokes. Also an intent that was never seen issued, and an orphan. Returns the standing revocation when there is one
    /// already: its reason never changes, its time to none later, and nothing un-revokes. An unconfirmed renewal of it falls
    /// with it: the key that spoke for it isn't believed any more.
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
    /// Moves a revocation back to `at`, which a signer's journal holds: its signer signs nothing that says a later time.
    /// The next CRL is due then. Returns false, and writes nothing, when the ledger's time is as early; `Missing` when
    /// there is no such revocation.
    async fn predate_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool>;
    /// Revocations that this signer's journal hasn't acknowledged yet, in the order in which they were entered, and the
    /// audit head.
    async fn unjournaled_revocations(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        limit: u32,
    ) -> StoreResult<Unjournaled>;
    /// This signer's journal has all revocations up to this number ([`Unjournaled`]), the last by this entry or one before
    /// it; never moves back.
    async fn mark_journaled(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        up_to: (u64, JournalPosition),
    ) -> StoreResult<()>;
    /// Every revocation of a certificate with a notAfter of `from` or later that was entered by the time of `head`
    /// ([`NextCrl`]), ordered by serial number: a CRL's content.
    async fn revoked(&self, issuer: &IssuerId, from: Timestamp, head: u64) -> StoreResult<Vec<Revocation>>;
    /// What OCSP needs to know.
    async fn status(&self, issuer: &IssuerId, serial: &SerialNumber) -> StoreResult<LedgerStatus>;
    /// A number that is another one after each revocation, of whatever issuer: while it stays the same, so does every
    /// [`status`](Self::status) but `Unknown` and the time of what was predated. It is cheap to ask for again and again. It
    /// is never behind what this store acknowledged or said of a status, and behind what other processes committed by
    /// [`HEAD_LAG`] at the most.
    async fn revocation_head(&self) -> StoreResult<u64>;

    /// Takes the next CRL number, with the head of that moment; numbers rise strictly and are never given twice, and no
    /// number comes with a lower head than one before it.
    async fn next_crl_number(&self, issuer: &IssuerId) -> StoreResult<NextCrl>;
    /// CRL numbers go on above `number`, which a signer's journal holds. If that is higher than any that was taken, the CRL
    /// is lost that had it, and the next is due.
    async fn raise_crl_number(&self, issuer: &IssuerId, number: u64) -> StoreResult<()>;
    /// Makes a signed CRL the current one; `CrlNumber` when a higher one is.
    async fn publish_crl(&self, issuer: &IssuerId, crl: &PublishedCrl, audit: AuditEvent) -> StoreResult<()>;
    /// The current CRL.
    async fn current_crl(&self, issuer: &IssuerId) -> StoreResult<Option<PublishedCrl>>;
    /// How many revocations the current CRL lacks: those of certificates with its `listed_from` as notAfter or a later
    /// one, less its entries (counting, not comparing times: a revocation may be committed while a CRL is built). All, when there
    /// is no CRL. One more, when a revocation was predated since its number was given, or a later CRL is lost.
    async fn revoked_since_crl(&self, issuer: &IssuerId) -> StoreResult<u64>;
}

/// A CRL to be: what it lists is settled with its number, so that no CRL lacks what one with a lower number lists,
/// whoever makes the two, and however long each takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextCrl {
    /// `CRLNumber`.
    pub number: u64,
    /// The number of the latest revocation, of whatever issuer; the CRL lists none after it.
    pub head: u64,
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
