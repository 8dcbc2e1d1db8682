//! The fleet: all living certificates with the evidence that they rest on, a page at a time.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::{StoreResult, StoredEvidence};
use crate::domain::{
    device::{Assurance, Device},
    enrolment::Binding,
    ids::{ContractNumber, EnrolmentId, IssuerId, SerialNumber, UserId},
    policy::TokenState,
};

/// Certificates and their evidence, for judging again.
#[async_trait]
pub trait FleetStore: Send + Sync {
    /// How many certificates of an issuer live at `at`: issued, neither revoked nor expired.
    async fn fleet_size(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
    ) -> StoreResult<u64>;
    /// At most `limit` of them after the place `after`, in the order of their places.
    async fn fleet(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
        after: FleetPlace,
        limit: u32,
    ) -> StoreResult<Vec<FleetMember>>;
}

/// A place in the order of the fleet, which is that of the intents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetPlace(pub i64);

/// A certificate with what it was issued on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetMember {
    /// Where it stands in the order.
    pub place: FleetPlace,
    /// The intent, which is the enrolment.
    pub intent: EnrolmentId,
    /// Its serial number.
    pub serial: SerialNumber,
    /// Whose it is.
    pub user: UserId,
    /// The user's contract.
    pub contract: ContractNumber,
    /// Where its key lives.
    pub device: Device,
    /// What was proven.
    pub assurance: Assurance,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// How the user was bound to the token.
    pub binding: Binding,
    /// The Name of the attestation key that the enrolment was opened with; a TPM's only.
    pub ak_name: Option<Vec<u8>>,
    /// What the token inventory says of the device today, if it knows it.
    pub token: Option<TokenState>,
    /// What it was issued on.
    pub evidence: StoredEvidence,
}
