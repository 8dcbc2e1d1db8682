//! Contracts (契約) and their plans.

use jiff::Timestamp;

use super::ids::ContractNumber;

/// A contract with the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its number, for ever.
    pub number: ContractNumber,
    /// The customer's name, the O of its users' certificates.
    pub name: String,
    /// How many users it may have.
    pub plan: Plan,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// 発行数: one master and a number of general users, each with one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// General users (一般ユーザ) at the most; there is always exactly one master (マスターユーザ).
    pub general_users: u16,
}

impl Default for Plan {
    /// The bank's ordinary plan, 1 + 9.
    fn default() -> Self {
        Self { general_users: 9 }
    }
}
