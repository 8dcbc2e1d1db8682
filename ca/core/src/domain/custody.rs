//! The custody of PUKs, and the way back from a blocked PIN.
//!
//! A token's PUK is either forgotten by everybody once it is set, or kept by the bank, encrypted. It never leaves but
//! for one unblocking, which the user asked for and somebody else approved, and is replaced then: a PUK that is about to
//! be set is deposited before it is, and the one before it is given up only when the token has the new one. So whatever
//! is interrupted, what the token has is among the at most two that are kept.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    device::Device,
    ids::{IdempotencyKey, UserId},
    user::{Role, User, UserState},
};

/// What becomes of the PUK of a token that is enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PukRule {
    /// Random, and nobody knows it: a blocked PIN is the token's end, until it is reset.
    #[default]
    Forgotten,
    /// Random, and the bank keeps it.
    Kept,
}

impl PukRule {
    /// The stable name in policies and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forgotten => "forgotten",
            Self::Kept => "kept",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Forgotten, Self::Kept].into_iter().find(|rule| rule.as_str() == text)
    }
}

/// A PUK as it is kept: encrypted, and bound to token, user and deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPuk {
    /// The agent's name for it.
    pub deposit: Uuid,
    /// The token.
    pub device: Device,
    /// Who deposited it.
    pub user: UserId,
    /// What it is encrypted to.
    pub sealed: Sealed,
    /// When it was deposited.
    pub deposited_at: Timestamp,
    /// When the token was known to have it.
    pub confirmed_at: Option<Timestamp>,
}

/// An encrypted PUK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The version of the custody key.
    pub key_version: u32,
    /// AES-GCM's nonce.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub octets: Vec<u8>,
}

/// A request to unblock a PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unblocking {
    /// Its name.
    pub id: Uuid,
    /// The agent's key for it.
    pub idempotency_key: IdempotencyKey,
    /// Who asks.
    pub user: UserId,
    /// For which token.
    pub device: Device,
    /// SHA-256 of the bearer that was handed out last.
    pub bearer_sha256: [u8; 32],
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What is possible in its state is possible until then.
    pub expires_at: Timestamp,
    /// How far it got.
    pub stage: Stage,
    /// Who decided, as the audit trail names them, and when.
    pub decision: Option<(String, Timestamp)>,
}

/// How far an unblocking got. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nobody has decided yet.
    Waiting,
    /// Somebody approved; the PUK can be fetched.
    Approved,
    /// The PUK was fetched, which happens once.
    Released,
    /// The token's new PUK is kept.
    Done,
    /// Somebody declined.
    Declined,
    /// The user asked anew.
    Withdrawn,
}

impl Stage {
    const ALL: [Self; 6] =
        [Self::Waiting, Self::Approved, Self::Released, Self::Done, Self::Declined, Self::Withdrawn];

    /// The stable name in storage and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Released => "released",
            Self::Done => "done",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether time runs out in it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Approved | Self::Released)
    }
}

impl Unblocking {
    /// Whether its time ran out.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.stage.is_open() && now >= self.expires_at
    }

    /// Whether it is in this stage, and in time.
    pub fn is(&self, stage: Stage, now: Timestamp) -> bool {
        self.stage == stage && !self.has_expired(now)
    }

    /// 受付番号: what people read to each other. It authorises nothing.
    pub fn number(&self) -> String {
        let digits = self.id.as_u128() % 100_000_000;
        format!("{:04}-{:04}", digits / 10_000, digits % 10_000)
    }
}

/// Whether a user may ask for an unblocking at all: a suspended or locked one goes to the branch first.
pub fn may_ask(user: &User) -> bool {
    user.state == UserState::Active && user.locked_at.is_none()
}

/// Whether the contract's master may approve a request of this user; the branch always may.
pub fn is_masters_business(user: &User) -> bool {
    user.role == Role::General
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{at, device, user};

    fn request(stage: Stage) -> Unblocking {
        Unblocking {
            id: Uuid::from_u128(12_345_678),
            idempotency_key: IdempotencyKey::parse("0123456789abcdef").expect("a key"),
            user: user("hokkai-01", Role::General).id,
            device: device("111"),
            bearer_sha256: [0; 32],
            asked_at: at("2026-11-22T10:00:00+09:00"),
            expires_at: at("2026-11-22T11:00:00+09:00"),
            stage,
            decision: None,
        }
    }

    #[test]
    fn time_runs_out_only_while_something_can_still_happen() {
        let (before, after) = (at("2026-11-22T10:59:59+09:00"), at("2026-11-22T11:00:00+09:00"));
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), Some(stage));
            let request = request(stage);
            assert!(request.is(stage, before) && !request.has_expired(before));
            assert_eq!(request.has_expired(after), stage.is_open(), "{stage:?}");
        }
        assert_eq!(request(Stage::Waiting).number(), "1234-5678");
    }

    #[test]
    fn who_is_locked_or_suspended_goes_to_the_branch_first() {
        let general = user("hokkai-01", Role::General);
        assert!(may_ask(&general) && is_masters_business(&general));
        assert!(!may_ask(&User { state: UserState::Suspended, ..general.clone() }));
        assert!(!may_ask(&User { locked_at: Some(at("2026-11-22T10:00:00+09:00")), ..general }));
        assert!(!is_masters_business(&user("hokkai-master", Role::Master)));
    }
}
