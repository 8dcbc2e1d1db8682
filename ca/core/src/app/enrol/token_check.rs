//! What the token inventory has to say of a token that a key is to live on.
//!
//! A token that is assigned is fit by the store's own rule, so the inventory is asked only where something else binds,
//! where the contract's policy wants every token registered, and for TPMs: one without its maker's certificate is known by
//! its registration alone. That it is assigned says nothing, for masters assign as well.

use crate::{
    app::failure::Failure,
    domain::{
        device::{Device, DeviceKind},
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
    /// Whether the inventory vouches for this very device.
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
    let rule = policy.rules.inventory;
    let is_fit = binding == Binding::AssignedSerial && rule == InventoryRule::Optional;
    if is_fit && device.kind != DeviceKind::Tpm {
        return Ok(TokenCheck { fitness: Ok(()), is_known: false });
    }
    let state = inventory.token(device).await?.map(|token| token.state);
    Ok(TokenCheck {
        fitness: admit(rule, state.as_ref(), contract),
        is_known: vouches_for(device, state.as_ref(), contract),
    })
}
