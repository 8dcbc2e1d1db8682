//! The token inventory in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        device::Device,
        ids::ContractNumber,
        policy::{ListedToken, TokenRecord, TokenState},
    },
    ports::{
        inventory::{InventoryStore, TokenFilter},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl InventoryStore for MemoryStore {
    async fn register_tokens(
        &self,
        tokens: &[ListedToken],
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("register_tokens", |state| {
            let mut new: Vec<TokenRecord> = Vec::with_capacity(tokens.len());
            for ListedToken { device, model } in tokens {
                let is_there = |token: &TokenRecord| token.device == *device;
                if state.tokens.iter().any(is_there) || new.iter().any(is_there) {
                    return Err(conflict(Conflict::Taken));
                }
                new.push(TokenRecord {
                    device: device.clone(),
                    model: model.clone(),
                    state: TokenState::InStock,
                    user: None,
                    registered_at: at,
                    changed_at: at,
                });
            }
            state.tokens.extend(new);
            state.append(&audit);
            Ok(())
        })
    }

    async fn token(&self, device: &Device) -> StoreResult<Option<TokenRecord>> {
        self.query("token", |state| {
            state.tokens.iter().find(|token| token.device == *device).map(|token| state.with_user(token))
        })
    }

    async fn registered_among(&self, devices: &[Device]) -> StoreResult<Vec<Device>> {
        self.query("registered_among", |state| {
            let known = state.tokens.iter().map(|token| &token.device);
            known.filter(|device| devices.contains(device)).cloned().collect()
        })
    }

    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&Device>,
        limit: u32,
    ) -> StoreResult<Vec<TokenRecord>> {
        self.query("tokens", |state| {
            let wanted = |token: &&TokenRecord| match (filter, &token.state) {
                (TokenFilter::All, _) => true,
                (TokenFilter::InState(name), state) => *name == state.as_str(),
                (TokenFilter::With(wanted), TokenState::HandedOut { contract }) => wanted == contract,
                (TokenFilter::With(_), _) => false,
            };
            let mut tokens: Vec<&TokenRecord> = state.tokens.iter().filter(wanted).collect();
            tokens.sort_by_key(|token| place(&token.device));
            let later =
                tokens.into_iter().filter(|t| after.is_none_or(|after| place(&t.device) > place(after)));
            later.take(limit as usize).map(|token| state.with_user(token)).collect()
        })
    }

    async fn move_token(
        &self,
        device: &Device,
        seen: &TokenState,
        next: &TokenState,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("move_token", |state| {
            let place = state.tokens.iter().position(|token| token.device == *device);
            let place = place.ok_or(conflict(Conflict::Missing))?;
            if state.tokens[place].state != *seen {
                return Err(conflict(Conflict::Taken));
            }
            if let TokenState::HandedOut { contract } = next {
                if !state.contracts.contains_key(contract) {
                    return Err(conflict(Conflict::Missing));
                }
                let mut users = state.users.values().map(|row| &row.user);
                if users.any(|u| u.assigned_device.as_ref() == Some(device) && u.contract != *contract) {
                    return Err(conflict(Conflict::DeviceInUse));
                }
            } else {
                for row in state.users.values_mut() {
                    if row.user.assigned_device.as_ref() == Some(device) {
                        row.user.assigned_device = None;
                    }
                }
            }
            let token = &mut state.tokens[place];
            (token.state, token.changed_at) = (next.clone(), at);
            state.append(&audit);
            Ok(())
        })
    }
}

impl State {
    fn with_user(&self, token: &TokenRecord) -> TokenRecord {
        let mut users = self.users.values().map(|row| &row.user);
        let user = users.find(|user| user.assigned_device.as_ref() == Some(&token.device));
        TokenRecord { user: user.map(|user| user.id.clone()), ..token.clone() }
    }

    /// A token that is assigned to a user is with the user's contract, as far as the inventory knows it.
    pub(super) fn token_assigned(
        &mut self,
        device: &Device,
        contract: &ContractNumber,
        at: Timestamp,
    ) -> StoreResult<()> {
        let Some(token) = self.tokens.iter_mut().find(|token| token.device == *device) else { return Ok(()) };
        match &token.state {
            TokenState::HandedOut { contract: holder } if holder == contract => {}
            TokenState::InStock => {
                token.state = TokenState::HandedOut { contract: contract.clone() };
                token.changed_at = at;
            }
            _ => return Err(conflict(Conflict::TokenUnfit)),
        }
        Ok(())
    }
}
/// By which the list is in order.
fn place(device: &Device) -> (&str, &str) {
    (device.kind.as_str(), device.serial.as_str())
}
