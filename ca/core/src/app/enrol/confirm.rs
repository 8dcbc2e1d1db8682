//! Step 3 of the wire: the agent read the certificate back from the token. A renewal becomes the user's certificate with it,
//! and the one before is superseded.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{applicant::Caller, bearer::is_bearer_of};
use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        failure::{Failure, carries_failure},
        trail::{Details, event, refused},
    },
    domain::{
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        enrolment::Enrolment,
        ids::{EnrolmentId, IdempotencyKey},
    },
    ports::{
        clock::Clock,
        store::{AuditStore, CertificateStore, Conflict, StoreError},
    },
};

/// The use case.
pub struct ConfirmEnrolment {
    /// Enrolments and certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What requests without a bearer may write into the trail.
    pub budget: Arc<AuditBudget>,
}

/// The command.
pub struct Confirm {
    /// Who asks.
    pub caller: Caller,
    /// Which enrolment.
    pub enrolment: EnrolmentId,
    /// As handed out when it was opened.
    pub bearer: SecretString,
    /// The client's key for this enrolment.
    pub idempotency_key: IdempotencyKey,
    /// SHA-256 of the certificate as read back from the token.
    pub certificate_sha256: [u8; 32],
}

/// Why it isn't confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// No such enrolment, or not its bearer.
    #[error("the bearer is not this enrolment's")]
    Bearer,
    /// The bearer has expired with its challenge.
    #[error("the bearer has expired; open the enrolment again")]
    Expired,
    /// Another idempotency key than the enrolment's.
    #[error("the idempotency key is not this enrolment's")]
    IdempotencyKey,
    /// Another certificate than the one that was issued.
    #[error("the certificate on the token is not the one that was issued")]
    Mismatch,
    /// There is no certificate to confirm: not issued yet, revoked, or a renewal of what doesn't stand any more.
    #[error("the enrolment has no certificate that could be confirmed")]
    NothingToConfirm,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ConfirmError);

impl ConfirmError {
    fn code(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer-invalid",
            Self::Expired => "bearer-expired",
            Self::IdempotencyKey => "idempotency-key-reused",
            Self::Mismatch => "confirmation-mismatch",
            Self::NothingToConfirm => "nothing-to-confirm",
            Self::Failure(_) => "failure",
        }
    }
}

impl ConfirmEnrolment {
    /// Confirms. A repeat is no error.
    ///
    /// # Errors
    /// [`ConfirmError`]; each leaves an audit row.
    pub async fn run(&self, confirm: Confirm) -> Result<(), ConfirmError> {
        match self.try_confirm(&confirm).await {
            Ok(()) => Ok(()),
            Err(error @ ConfirmError::Failure(_)) => Err(error),
            Err(error) => {
                let actor = confirm.caller.stranger();
                let row = event(self.clock.now(), actor, "confirmation.refused", confirm.enrolment)
                    .with("why", error.code());
                Err(match error {
                    ConfirmError::Bearer => {
                        refused_stranger((&*self.audit, &self.budget), "confirm-bearer", row, error).await
                    }
                    error => refused(&*self.audit, row, error).await,
                })
            }
        }
    }

    async fn try_confirm(&self, confirm: &Confirm) -> Result<(), ConfirmError> {
        let enrolment = self.certificates.enrolment(confirm.enrolment).await?;
        let enrolment = enrolment.filter(|e| is_bearer_of(&confirm.bearer, e)).ok_or(ConfirmError::Bearer)?;
        if enrolment.idempotency_key != confirm.idempotency_key {
            return Err(ConfirmError::IdempotencyKey);
        }
        let now = self.clock.now();
        if now >= enrolment.expires_at {
            return Err(ConfirmError::Expired);
        }
        let record = self.certificates.certificate_of_intent(enrolment.id).await?;
        let record = record.ok_or(ConfirmError::NothingToConfirm)?;
        let CertificateState::Issued { der, .. } = &record.state else {
            return Err(ConfirmError::NothingToConfirm);
        };
        if <[u8; 32]>::from(Sha256::digest(der)) != confirm.certificate_sha256 {
            return Err(ConfirmError::Mismatch);
        }
        let row = self.row(&confirm.caller, &enrolment, &record, now).await?;
        match self.certificates.confirm(&record.issuer, &record.serial, now, row).await {
            Err(StoreError::Conflict(Conflict::Missing)) => Err(ConfirmError::NothingToConfirm),
            result => Ok(result?),
        }
    }

    async fn row(
        &self,
        caller: &Caller,
        enrolment: &Enrolment,
        record: &CertificateRecord,
        now: Timestamp,
    ) -> Result<AuditEvent, ConfirmError> {
        let superseded = superseded_by(&*self.certificates, record).await?;
        let action = if superseded.is_some() { "certificate.renewed" } else { "certificate.confirmed" };
        let row = event(now, caller.actor(&enrolment.user), action, &record.serial)
            .with("enrolment", enrolment.id)
            .with("issuer", &record.issuer);
        Ok(match superseded {
            Some(predecessor) => row.with("user", &record.user).with("supersedes", predecessor.serial),
            None => row,
        })
    }
}

/// The certificate that is superseded when this one is confirmed.
pub(in crate::app) async fn superseded_by(
    certificates: &dyn CertificateStore,
    record: &CertificateRecord,
) -> Result<Option<CertificateRecord>, StoreError> {
    match record.renews {
        Some(intent) if record.is_unconfirmed_renewal() => certificates.certificate_of_intent(intent).await,
        _ => Ok(None),
    }
}
