//! Admits the bank's registered machines, and writes down who wasn't. Nothing is read from the ledger: a machine is who
//! the configuration says, and what it may do to whom is decided by the use cases that it then calls.

use std::sync::Arc;

use super::{
    audit_budget::{AuditBudget, refused_stranger},
    failure::{Failure, carries_failure},
    trail::{Details, event, foreign},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        machine::{Machine, MachineRefusal, MachineRole, ValiditySpan},
    },
    ports::{clock::Clock, store::AuditStore},
};

/// The use case.
pub struct AdmitMachine {
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How many of them are written.
    pub budget: Arc<AuditBudget>,
}

/// What a connection showed.
#[derive(Clone, Debug)]
pub enum Presented {
    /// No certificate, or a customer's.
    NoMachine,
    /// A certificate that is neither a customer's nor a machine's.
    Unknown {
        /// SHA-256 of its key's `SubjectPublicKeyInfo`.
        public_key_sha256: [u8; 32],
    },
    /// A certificate for the key of a registered machine.
    Registered {
        /// Which one.
        machine: Arc<Machine>,
        /// When the certificate that it showed is valid.
        validity: ValiditySpan,
    },
}

/// Why it isn't admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It may not.
    #[error(transparent)]
    Refused(MachineRefusal),
    /// It asks too much at once.
    #[error("the machine asks for more than it is allowed at a time")]
    Throttled,
    /// A machine at a door for people.
    #[error("machines have no business here")]
    NotForMachines,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(AdmitError: store::StoreError);

impl AdmitError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Throttled => "machine-throttled",
            Self::NotForMachines => "machine-at-portal",
            Self::Failure(_) => "failure",
        }
    }
}

impl AdmitMachine {
    /// Admits what was presented in `role`, or refuses. `source` is where the request came from.
    ///
    /// # Errors
    /// [`AdmitError`]; each leaves an audit row, so many a minute.
    pub async fn run(
        &self,
        presented: &Presented,
        role: MachineRole,
        source: &str,
    ) -> Result<Arc<Machine>, AdmitError> {
        let refusal = match presented {
            Presented::NoMachine => MachineRefusal::NoMachine,
            Presented::Unknown { .. } => MachineRefusal::Unknown,
            Presented::Registered { machine, validity } => {
                match machine.admit(*validity, role, self.clock.now()) {
                    Ok(()) => return Ok(machine.clone()),
                    Err(refusal) => refusal,
                }
            }
        };
        Err(self.refuse(presented, AdmitError::Refused(refusal), source).await)
    }

    /// Writes down that an admitted machine was told to slow down, or that one came where people log in.
    pub async fn refuse(&self, presented: &Presented, error: AdmitError, source: &str) -> AdmitError {
        let why = error.code();
        let row = self.row(presented).with("why", why).with("source", foreign(source));
        refused_stranger((&*self.audit, &self.budget), why, row, error).await
    }

    fn row(&self, presented: &Presented) -> AuditEvent {
        let row = |actor: Actor, subject: &str| event(self.clock.now(), actor, "machine.refused", subject);
        match presented {
            Presented::NoMachine => row(Actor::System, "none"),
            Presented::Unknown { public_key_sha256 } => {
                row(Actor::System, "unknown").with("key", hex::encode(public_key_sha256))
            }
            Presented::Registered { machine, .. } => {
                row(Actor::Machine(machine.id.to_string()), machine.id.as_str())
            }
        }
    }
}
