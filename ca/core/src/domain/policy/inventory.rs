//! The tokens that the bank bought, handed out and got back, and what they are fit for.

use jiff::Timestamp;

use crate::domain::{
    device::{Device, DeviceKind},
    ids::{ContractNumber, UserId},
};

/// Whether tokens must be in the inventory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InventoryRule {
    /// Tokens that nobody registered are accepted; those that are registered must be fit.
    #[default]
    Optional,
    /// Only registered tokens.
    Required,
}

impl InventoryRule {
    /// The stable name in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Optional, Self::Required].into_iter().find(|rule| rule.as_str() == text)
    }
}

/// Where a token is. That it is assigned to a user stands with the user; then it is handed out to the user's contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// With the bank, never handed out or checked since.
    InStock,
    /// With a customer.
    HandedOut {
        /// Whose.
        contract: ContractNumber,
    },
    /// Nobody knows where.
    Lost,
    /// It doesn't work.
    Broken,
    /// Another one took its place; it isn't back yet.
    Replaced,
    /// Back with the bank.
    Returned,
    /// Destroyed or given away, for good.
    Retired,
}

impl TokenState {
    /// The stable name in storage, APIs and audit rows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::InStock => "in-stock",
            Self::HandedOut { .. } => "handed-out",
            Self::Lost => "lost",
            Self::Broken => "broken",
            Self::Replaced => "replaced",
            Self::Returned => "returned",
            Self::Retired => "retired",
        }
    }

    /// Reads the stable name with the contract that goes with it.
    pub fn parse(text: &str, contract: Option<ContractNumber>) -> Option<Self> {
        Some(match (text, contract) {
            ("in-stock", None) => Self::InStock,
            ("handed-out", Some(contract)) => Self::HandedOut { contract },
            ("lost", None) => Self::Lost,
            ("broken", None) => Self::Broken,
            ("replaced", None) => Self::Replaced,
            ("returned", None) => Self::Returned,
            ("retired", None) => Self::Retired,
            _ => return None,
        })
    }

    /// Whether a token may go from here to `next`. A retired one goes nowhere; a customer's goes to another customer by
    /// way of the bank.
    pub fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Retired, _) => false,
            (now, Self::HandedOut { .. }) => matches!(now, Self::InStock | Self::Returned),
            (now, Self::InStock) => matches!(now, Self::Returned | Self::Broken),
            (now, next) => now != next,
        }
    }
}

/// A token of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The device.
    pub device: Device,
    /// Its model, as the vendor's list says.
    pub model: Option<String>,
    /// Where it is.
    pub state: TokenState,
    /// The user whom it is assigned to.
    pub user: Option<UserId>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
}

/// A token of a vendor's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    /// The device.
    pub device: Device,
    /// Its model.
    pub model: Option<String>,
}

/// Why a token isn't fit for a user of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitToken {
    /// It isn't in the inventory, and the policy wants it there.
    #[error("the token is not in the bank's inventory")]
    Unknown,
    /// It is another contract's.
    #[error("the token was handed out to another contract")]
    OtherContract,
    /// Lost, broken, replaced, returned or retired.
    #[error("the token's state in the inventory doesn't let it be used")]
    OutOfUse,
}

impl UnfitToken {
    /// The stable code, for the audit trail.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "token-not-in-inventory",
            Self::OtherContract => "token-of-another-contract",
            Self::OutOfUse => "token-out-of-use",
        }
    }
}

/// Whether a token may serve a user of `contract`, as far as the inventory has a say. `state` is the inventory's, if it
/// knows the token.
///
/// # Errors
/// [`UnfitToken`].
pub fn admit(
    rule: InventoryRule,
    state: Option<&TokenState>,
    contract: &ContractNumber,
) -> Result<(), UnfitToken> {
    match (state, rule) {
        (None, InventoryRule::Optional) | (Some(TokenState::InStock), _) => Ok(()),
        (None, InventoryRule::Required) => Err(UnfitToken::Unknown),
        (Some(TokenState::HandedOut { contract: holder }), _) if holder == contract => Ok(()),
        (Some(TokenState::HandedOut { .. }), _) => Err(UnfitToken::OtherContract),
        (Some(_), _) => Err(UnfitToken::OutOfUse),
    }
}

/// Whether the inventory vouches for a TPM's endorsement key that has no certificate: it is registered and fit.
pub fn vouches_for(device: &Device, state: Option<&TokenState>, contract: &ContractNumber) -> bool {
    device.kind == DeviceKind::Tpm
        && state.is_some()
        && admit(InventoryRule::Required, state, contract).is_ok()
}
