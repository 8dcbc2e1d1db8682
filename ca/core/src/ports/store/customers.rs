//! Contracts and their users.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    contract::Contract,
    device::Device,
    enrolment::AcquisitionCode,
    ids::{ContractNumber, UserId},
    user::{User, UserState},
};

/// Contracts and users.
#[async_trait]
pub trait CustomerStore: Send + Sync {
    /// Registers a contract.
    async fn register_contract(&self, contract: &Contract, audit: AuditEvent) -> StoreResult<()>;
    /// A contract by number.
    async fn contract(&self, number: &ContractNumber) -> StoreResult<Option<Contract>>;
    /// All contracts by number.
    async fn contracts(&self) -> StoreResult<Vec<Contract>>;
    /// Registers a user; `Quota` when the contract's plan has no room, `Taken` when the ID was ever used.
    async fn register_user(&self, user: &User, audit: AuditEvent) -> StoreResult<()>;
    /// A user by ID.
    async fn user(&self, id: &UserId) -> StoreResult<Option<User>>;
    /// The users of a contract, master first, then by ID.
    async fn users_of(&self, contract: &ContractNumber) -> StoreResult<Vec<User>>;
    /// Changes whether a user may act.
    async fn set_user_state(&self, id: &UserId, state: UserState, audit: AuditEvent) -> StoreResult<()>;
    /// Assigns a token to a user, or takes it away; `DeviceInUse` when it is another user's (a serial belongs to at
    /// most one user).
    async fn assign_device(&self, id: &UserId, device: Option<&Device>, audit: AuditEvent)
    -> StoreResult<()>;
    /// Replaces the user's acquisition code.
    async fn set_acquisition_code(
        &self,
        id: &UserId,
        code: &AcquisitionCode,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// Whether a live acquisition code is out for the user.
    async fn acquisition_code(&self, id: &UserId) -> StoreResult<Option<AcquisitionCode>>;
    /// Takes one attempt from the user's acquisition code (rule 13); at none left it is burnt. Without a live code, or
    /// such a user, only the audit row is written.
    async fn spend_code_attempt(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()>;
}
