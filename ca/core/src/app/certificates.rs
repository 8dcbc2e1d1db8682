//! Looking at certificates: the operator's list, one certificate with the evidence behind it, a user's own.

use std::sync::Arc;

use super::failure::Failure;
use crate::{
    domain::{
        certificate::CertificateRecord,
        ids::{IssuerId, SerialNumber, UserId},
    },
    ports::store::{CertificateStore, Orphan, StoredEvidence},
};

/// Queries; they change nothing and leave no audit row.
pub struct Certificates {
    /// The ledger.
    pub certificates: Arc<dyn CertificateStore>,
}

/// A certificate with what it was issued on.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The row.
    pub record: CertificateRecord,
    /// The evidence with its verdict.
    pub evidence: Option<StoredEvidence>,
}

impl Certificates {
    /// At most `limit` certificates in the order of issuance, after the one with the number `after`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn list(
        &self,
        issuer: &IssuerId,
        after: Option<&SerialNumber>,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, Failure> {
        Ok(self.certificates.certificates(issuer, after, limit).await?)
    }

    /// One certificate.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn show(&self, issuer: &IssuerId, serial: &SerialNumber) -> Result<Option<Shown>, Failure> {
        let Some(record) = self.certificates.certificate(issuer, serial).await? else { return Ok(None) };
        let evidence = self.certificates.evidence(record.intent).await?;
        Ok(Some(Shown { record, evidence }))
    }

    /// All certificates of a user, newest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn of_user(&self, user: &UserId) -> Result<Vec<CertificateRecord>, Failure> {
        Ok(self.certificates.certificates_of(user).await?)
    }

    /// The orphans that wait for people's decision, revoked ones included.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn orphans(&self, issuer: &IssuerId) -> Result<Vec<Orphan>, Failure> {
        Ok(self.certificates.orphans(issuer).await?)
    }
}
