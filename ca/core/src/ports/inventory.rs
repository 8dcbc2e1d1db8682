//! The token inventory in the ledger.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;
use crate::domain::{
    audit::AuditEvent,
    device::Device,
    ids::ContractNumber,
    policy::{ListedToken, TokenRecord, TokenState},
};

/// The tokens that the bank knows. A token's row is never deleted.
#[async_trait]
pub trait InventoryStore: Send + Sync {
    /// Registers tokens as in stock, all or none; `Taken` when one of them is registered already.
    async fn register_tokens(
        &self,
        tokens: &[ListedToken],
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
    /// A token.
    async fn token(&self, device: &Device) -> StoreResult<Option<TokenRecord>>;
    /// Which of these are registered, in no particular order. At most a few thousand at a time.
    async fn registered_among(&self, devices: &[Device]) -> StoreResult<Vec<Device>>;
    /// The tokens that are looked for, by kind and serial number: at most `limit` after `after`.
    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&Device>,
        limit: u32,
    ) -> StoreResult<Vec<TokenRecord>>;
    /// Moves a token from the state `seen` to another. `Taken` when it isn't in `seen` any more, `Missing` when there
    /// is no such token or contract, `DeviceInUse` when it is assigned to a user of another contract than it is handed
    /// out to. One that is with no customer any more is taken away from its user in the same commit.
    async fn move_token(
        &self,
        device: &Device,
        seen: &TokenState,
        next: &TokenState,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()>;
}

/// Which tokens are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenFilter {
    /// All.
    #[default]
    All,
    /// Those in this state, by its stable name.
    InState(&'static str),
    /// Those that are handed out to this contract.
    With(ContractNumber),
}
