//! What the ledger and the signer's journal hand back once something is durable. The ports return these; only
//! [`issuance`](super::issuance) turns them into the right to go on.

use super::audit::AuditPosition;

/// Proof that an intent is durable. Only `ca-core` turns it into the right to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentReceipt {
    /// The head of the audit chain after the commit; it goes into the signer's journal.
    pub audit_head: AuditPosition,
}

/// Proof that a certificate is durable. Only `ca-core` turns it into the right to hand it out, unless it is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedReceipt {
    /// The head of the audit chain after the commit.
    pub audit_head: AuditPosition,
    /// Whether it was revoked before this commit, while it was being signed.
    pub is_revoked: bool,
}

/// A place in the signer's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPosition {
    /// Counts from 1.
    pub sequence: u64,
    /// The entry's chained SHA-256.
    pub hash: [u8; 32],
}

/// A signature that is in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledSignature {
    /// Content of the outer `signature` BIT STRING.
    pub signature: Vec<u8>,
    /// Where the journal keeps it.
    pub position: JournalPosition,
}
