//! A key signed, before it was destroyed, that it is: its certificate is revoked at once. Nobody has to be asked, for
//! whoever could make that signature could as well have destroyed the key; and no password, for the key is the better
//! proof. What was signed without the network is told later, with the time that it was signed at.

use std::sync::Arc;

use ca_x509::{KeyKind, SignatureAlgorithm, verify::verify};
use der::Decode;
use jiff::{SignedDuration, Timestamp};
use x509_cert::Certificate;

use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure},
        revoke::{Revoke, RevokeError},
        trail::{Details, event},
    },
    domain::{
        audit::{Actor, AuditEvent},
        certificate::CertificateRecord,
        ids::{IssuerId, SerialNumber},
        revocation::RevocationReason,
    },
    ports::{
        clock::Clock,
        store::{AuditStore, CertificateStore, RevokeOutcome},
    },
};

/// A computer's clock may be ahead so much.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The use case.
pub struct TellErasure {
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// 失効.
    pub revoke: Arc<Revoke>,
    /// What was erased.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What strangers may write into the trail.
    pub budget: Arc<AuditBudget>,
    /// Whose certificates customers have.
    pub issuer: IssuerId,
}

/// What a key signed.
pub struct Erasure {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The time in the message.
    pub erased_at: Timestamp,
    /// The message, as `ca_wire::token::erasure_message` spells it.
    pub message: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
}

/// Why nothing follows from it.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// It isn't a certificate of ours, byte for byte.
    #[error("no such certificate was issued here")]
    Unknown,
    /// The signature isn't that key's.
    #[error("the signature isn't of the certificate's key")]
    Signature,
    /// It says that it was signed tomorrow.
    #[error("the time of the erasure is in the future: check the computer's clock")]
    Time,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ErasureError: store::StoreError);

impl From<RevokeError> for ErasureError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Failure(failure) => Self::Failure(failure),
            error => Self::Failure(Failure::defect(error)),
        }
    }
}

impl ErasureError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "certificate-unknown",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Failure(_) => "failure",
        }
    }
}

impl TellErasure {
    /// Revokes the certificate of a key that is gone. A repeat is no error.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub async fn run(&self, erasure: Erasure) -> Result<(), ErasureError> {
        let now = self.clock.now();
        let record = match self.judge(&erasure, now).await {
            Ok(record) => record,
            Err(error @ ErasureError::Failure(_)) => return Err(error),
            Err(error) => {
                let row = event(now, Actor::System, "token.erasure-refused", "certificate")
                    .with("why", error.code());
                return Err(refused_stranger((&*self.audit, &self.budget), "erasure", row, error).await);
            }
        };
        let actor = Actor::User(record.user.to_string());
        let (issuer, serial) = (&record.issuer, &record.serial);
        let reason = RevocationReason::CessationOfOperation;
        let outcome = self.revoke.by_serial(actor.clone(), issuer, serial, reason).await?;
        let row = event(now, actor, "token.erased", &record.device.serial)
            .with("kind", record.device.kind.as_str())
            .with("certificate", serial)
            .with("erased_at", erasure.erased_at);
        // A repeat changes nothing and can be made by anybody who saw the first.
        if matches!(outcome, RevokeOutcome::Revoked(_)) || self.is_first(&row) {
            self.audit.append(row).await?;
        }
        Ok(())
    }

    fn is_first(&self, row: &AuditEvent) -> bool {
        self.budget.take("erasure-again", row.at).is_some()
    }

    async fn judge(&self, erasure: &Erasure, now: Timestamp) -> Result<CertificateRecord, ErasureError> {
        let certificate = Certificate::from_der(&erasure.certificate).map_err(|_| ErasureError::Unknown)?;
        let tbs = certificate.tbs_certificate();
        let serial = SerialNumber::from_bytes(tbs.serial_number().as_bytes());
        let serial = serial.map_err(|_| ErasureError::Unknown)?;
        let record = self.certificates.certificate(&self.issuer, &serial).await?;
        let record = record.filter(|record| record.der() == Some(erasure.certificate.as_slice()));
        let record = record.ok_or(ErasureError::Unknown)?;
        let key = tbs.subject_public_key_info();
        let kind = KeyKind::of(key).map_err(|_| ErasureError::Signature)?;
        let algorithm = SignatureAlgorithm::for_key(kind);
        verify(key, algorithm, &erasure.message, &erasure.signature).map_err(|_| ErasureError::Signature)?;
        if erasure.erased_at.duration_since(now) > AHEAD {
            return Err(ErasureError::Time);
        }
        Ok(record)
    }
}
