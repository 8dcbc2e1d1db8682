//! Users (利用者): who they are and whether they may act.

use jiff::Timestamp;
use zeroize::Zeroize;

use super::{
    device::Device,
    ids::{ContractNumber, UserId},
    mail::EmailAddress,
};

/// A user of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// ログインID.
    pub id: UserId,
    /// The contract, for ever.
    pub contract: ContractNumber,
    /// What the user may do.
    pub role: Role,
    /// The CN of the user's certificates; empty once the period of a removed user is over.
    pub display_name: String,
    /// Where notices go.
    pub email: Option<EmailAddress>,
    /// Whether the user may act.
    pub state: UserState,
    /// The token that the bank or the master assigned (rule 12).
    pub assigned_device: Option<Device>,
    /// When the login was locked for wrong passwords (IDロック).
    pub locked_at: Option<Timestamp>,
    /// When the user was registered.
    pub registered_at: Timestamp,
}

/// The two roles of a customer's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// マスターユーザ, exactly one per contract.
    Master,
    /// 一般ユーザ.
    General,
}

impl Role {
    /// The stable name in storage, APIs and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::General => "general",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Master, Self::General].into_iter().find(|r| r.as_str() == text)
    }
}

/// Whether a user may act. Suspension (利用停止) is a state of the account, never certificateHold (rule 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserState {
    /// May act.
    Active,
    /// 利用停止: may not log in or obtain until it is lifted.
    Suspended,
    /// Removed for good; the ID stays taken.
    Removed,
}

impl UserState {
    /// The stable name in storage, APIs and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Removed].into_iter().find(|s| s.as_str() == text)
    }
}

/// Which of a user's passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordKind {
    /// ログインパスワード.
    Login,
    /// 確認用パスワード of a master (rule 10).
    Confirmation,
}

impl PasswordKind {
    /// The stable name in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Confirmation => "confirmation",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Login, Self::Confirmation].into_iter().find(|kind| kind.as_str() == text)
    }

    /// The kind that it isn't.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Login => Self::Confirmation,
            Self::Confirmation => Self::Login,
        }
    }
}

/// A password hash in PHC string form (argon2id). Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string.
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC string, for storage and verification.
    pub fn expose_phc(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
