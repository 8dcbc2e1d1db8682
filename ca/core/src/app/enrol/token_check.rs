//! What the token inventory has to say of a token that a key is to live on.
//!
//! A token that is assigned is fit by the store's own rule, so the inventory is asked only where something else binds, or
//! where the contract's policy wants every token registered.

use crate::{
    app::failure::Failure,
    domain::{
        device::Device,
        enrolment::Binding,
        ids::ContractNumber,
        policy::{InventoryRule, IssuancePolicy, UnfitToken, admit, vouches_for},
    },
    ports::inventory::InventoryStore,
};

/// The inventory's word.
pub(super) struct TokenCheck {
    /// Whether the token may be used.
    pub(super) fitness: Result<(), UnfitToken>,
    /// Whether the bank knows this very device: by the serial that it assigned, or by the inventory.
    pub(super) is_known: bool,
}

/// Asks the inventory, where it has a say.
pub(super) async fn check(
    inventory: &dyn InventoryStore,
    policy: &IssuancePolicy,
    contract: &ContractNumber,
    device: &Device,
    binding: Binding,
) -> Result<TokenCheck, Failure> {
    let is_assigned = binding == Binding::AssignedSerial;
    let rule = policy.rules.inventory;
    if is_assigned && rule == InventoryRule::Optional {
        return Ok(TokenCheck { fitness: Ok(()), is_known: true });
    }
    let state = inventory.token(device).await?.map(|token| token.state);
    Ok(TokenCheck {
        fitness: admit(rule, state.as_ref(), contract),
        is_known: is_assigned || vouches_for(device, state.as_ref(), contract),
    })
}
