//! Who asks for a certificate, and what shows that they may: the user's own password, or one of the bank's registered
//! machines that vouches for the user. Evidence, hours, binding and quota are the same for both.

use std::sync::Arc;

use secrecy::SecretString;

use crate::domain::{
    audit::Actor,
    ids::{ContractNumber, UserId},
    machine::Machine,
};

/// What an enrolment is opened with.
pub enum Credentials {
    /// What the user knows.
    Password(PasswordCredentials),
    /// A machine that was identified by its certificate and admitted: it takes the place of the password and of nothing
    /// else. Only an assigned token binds its users (rule 12); acquisition codes are letters to people.
    Machine(Arc<Machine>),
}

/// What a user knows.
pub struct PasswordCredentials {
    /// ログインパスワード.
    pub password: SecretString,
    /// 取得用コード, as typed.
    pub acquisition_code: Option<SecretString>,
    /// Where the request came from, such as an address: an opaque name to throttle by.
    pub source: String,
}

/// Who sends the later steps. The enrolment's bearer authorises them, whoever it is.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The user's agent.
    Agent,
    /// A registered machine.
    Machine(Arc<Machine>),
}

impl Caller {
    /// Who it is in the trail, acting for `user`.
    pub(super) fn actor(&self, user: &UserId) -> Actor {
        match self {
            Self::Agent => Actor::User(user.to_string()),
            Self::Machine(machine) => Actor::Machine(machine.id.to_string()),
        }
    }

    /// Who it is in the trail where nothing shows whom it acts for.
    pub(super) fn stranger(&self) -> Actor {
        match self {
            Self::Agent => Actor::System,
            Self::Machine(machine) => Actor::Machine(machine.id.to_string()),
        }
    }

    /// Whether it may act for users of this contract.
    pub(super) fn may_register(&self, contract: &ContractNumber) -> bool {
        match self {
            Self::Agent => true,
            Self::Machine(machine) => machine.may_register(contract),
        }
    }
}
