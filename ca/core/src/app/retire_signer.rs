//! A signer whose host never comes back. What it may have signed and nobody recorded is taken over from a copy of its
//! journal, as far as that goes; the serial numbers of all other open intents are revoked, so that whatever was signed
//! for them is dead.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    failure::{Failure, carries_failure},
    journal::whole_second,
    reconcile::{Reconcile, Reconciled},
    trail::{Details, event},
};
use crate::{
    domain::{
        anchor::Divergence,
        audit::{Actor, AuditEvent},
        certificate::CertificateRecord,
        ids::{IssuerId, SerialNumber, SignerName},
        revocation::RevocationReason,
    },
    ports::{
        clock::Clock,
        responders::ResponderStore,
        store::{
            CertificateStore, Conflict, RevocationStore, RevokeOutcome, SignerRecord, SignerStore, StoreError,
        },
    },
};

/// What certificates that may exist and whose signer is gone are revoked for: nobody is compromised, something ended.
const REASON: RevocationReason = RevocationReason::CessationOfOperation;
/// Intents are dated by the second and by other nodes' clocks.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The use case.
pub struct RetireSigner {
    /// Open intents.
    pub certificates: Arc<dyn CertificateStore>,
    /// Open renewals of OCSP responders' certificates.
    pub responders: Arc<dyn ResponderStore>,
    /// What is revoked.
    pub revocations: Arc<dyn RevocationStore>,
    /// The signers.
    pub signers: Arc<dyn SignerStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose.
    pub issuer: IssuerId,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// What came from the copy of the journal.
    pub copy: Option<Reconciled>,
    /// Serial numbers that were revoked, because nobody knows whether they were signed.
    pub revoked: Vec<SerialNumber>,
}

/// Why a signer wasn't retired.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// There is no such signer.
    #[error("the ledger knows no signer {0} of this issuer")]
    Unknown(SignerName),
    /// It was retired before.
    #[error("the signer {0} was retired already")]
    Already(SignerName),
    /// The copy isn't of the journal that the ledger knows, or is older than what the ledger knows of it.
    #[error("{0}: take a newer copy of this signer's journal, or retire it without one")]
    Copy(Divergence),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(RetireError);

impl RetireSigner {
    /// The signer and its open intents, as they stand.
    ///
    /// # Errors
    /// `Unknown`, `Already`.
    pub async fn prepare(
        &self,
        name: &SignerName,
    ) -> Result<(SignerRecord, Vec<CertificateRecord>), RetireError> {
        let known = self.signers.signers(&self.issuer).await?.into_iter().find(|known| known.name == *name);
        let known = known.ok_or_else(|| RetireError::Unknown(name.clone()))?;
        if known.retired_at.is_some() {
            return Err(RetireError::Already(name.clone()));
        }
        let intents = self.open_intents(name).await?;
        Ok((known, intents))
    }

    /// Retires it. `copy` reconciles with a copy of its journal. A run that fails half-way is repeated as a whole.
    ///
    /// # Errors
    /// [`RetireError`].
    pub async fn run(
        &self,
        by: Actor,
        name: &SignerName,
        copy: Option<&Reconcile>,
    ) -> Result<Retired, RetireError> {
        self.prepare(name).await?;
        let mut retired = Retired::default();
        if let Some(copy) = copy {
            let report = copy.take_over().await?;
            match report.divergence {
                Some(divergence) if divergence.is_journals() => return Err(RetireError::Copy(divergence)),
                _ => retired.copy = Some(report),
            }
        }
        let now = self.clock.now();
        let why = format!("the signer {name} is retired, and may have signed it");
        let row = |serial: &SerialNumber| {
            let row = event(now, by.clone(), "certificate.revoked", serial).with("issuer", &self.issuer);
            row.with("reason", REASON.as_str()).with("why", &why)
        };
        for intent in self.open_intents(name).await? {
            let row = row(&intent.serial).with("user", &intent.user);
            self.revoke(intent.serial, row, now, &mut retired).await?;
        }
        for intent in self.responders.open_responder_intents(&self.issuer, name).await? {
            let row = row(&intent.serial);
            self.revoke(intent.serial, row, now, &mut retired).await?;
        }
        let row = event(now, by, "signer.retired", name)
            .with("issuer", &self.issuer)
            .with("from_copy", retired.copy.is_some())
            .with("revoked", retired.revoked.len());
        match self.signers.retire_signer(&self.issuer, name, now, row).await {
            Ok(()) => Ok(retired),
            Err(StoreError::Conflict(Conflict::Missing)) => Err(RetireError::Already(name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn revoke(
        &self,
        serial: SerialNumber,
        row: AuditEvent,
        now: Timestamp,
        retired: &mut Retired,
    ) -> Result<(), Failure> {
        let outcome = self.revocations.revoke(&self.issuer, &serial, REASON, whole_second(now), row).await?;
        if matches!(outcome, RevokeOutcome::Revoked(_)) {
            retired.revoked.push(serial);
        }
        Ok(())
    }

    async fn open_intents(&self, name: &SignerName) -> Result<Vec<CertificateRecord>, Failure> {
        let before = self.clock.now().checked_add(AHEAD).map_err(Failure::defect)?;
        Ok(self.certificates.open_intents(&self.issuer, name, before).await?)
    }
}
