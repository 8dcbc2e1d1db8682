//! What the bank's other applications ask: whose certificate this is, what it is worth now, and what was proven about
//! its key. What isn't in the ledger byte for byte is unknown, never good.

use std::sync::Arc;

use der::Decode;
use jiff::Timestamp;
use x509_cert::Certificate;

use super::failure::Failure;
use crate::{
    domain::{
        certificate::CertificateRecord,
        ids::{IssuerId, SerialNumber},
        profile::Issuer,
        standing::{Standing, is_usable, standing},
        user::User,
    },
    ports::{
        clock::Clock,
        store::{CertificateStore, CustomerStore},
    },
};

/// Queries; they change nothing and leave no audit row.
pub struct CertificateStatus {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The issuers, to find one by the name in a certificate.
    pub issuers: Vec<Arc<Issuer>>,
}

/// What is known of a certificate.
#[derive(Clone, Debug)]
pub struct Known {
    /// The ledger's row.
    pub record: CertificateRecord,
    /// Its owner.
    pub user: User,
    /// Its state.
    pub standing: Standing,
    /// Whether its owner may act by it now.
    pub is_usable: bool,
    /// The moment that this is true of.
    pub at: Timestamp,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// What was handed in is no certificate.
    #[error("this is not a certificate in DER")]
    NotACertificate,
    /// None of ours, or not byte for byte.
    #[error("no such certificate was issued here")]
    Unknown,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
super::failure::carries_failure!(StatusError: store::StoreError);

impl CertificateStatus {
    /// By issuer and serial number.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn by_serial(&self, issuer: &IssuerId, serial: &SerialNumber) -> Result<Known, StatusError> {
        let record = self.certificates.certificate(issuer, serial).await?;
        self.known(record.ok_or(StatusError::Unknown)?).await
    }

    /// By the certificate itself, DER. The same names and number from another authority are unknown.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn by_certificate(&self, der: &[u8]) -> Result<Known, StatusError> {
        let certificate = Certificate::from_der(der).map_err(|_| StatusError::NotACertificate)?;
        let tbs = certificate.tbs_certificate();
        let issuer = self.issuers.iter().find(|issuer| issuer.name() == tbs.issuer());
        let serial = SerialNumber::from_bytes(tbs.serial_number().as_bytes());
        let (Some(issuer), Ok(serial)) = (issuer, serial) else { return Err(StatusError::Unknown) };
        let record = self.certificates.certificate(issuer.id(), &serial).await?;
        let record = record.filter(|record| record.der() == Some(der));
        self.known(record.ok_or(StatusError::Unknown)?).await
    }

    async fn known(&self, record: CertificateRecord) -> Result<Known, StatusError> {
        let user = self.customers.user(&record.user).await?;
        let user = user.ok_or_else(|| Failure::defect("a certificate without user"))?;
        let at = self.clock.now();
        let standing = standing(&record, at);
        let is_usable = is_usable(&record, &user, at);
        Ok(Known { record, user, standing, is_usable, at })
    }
}
