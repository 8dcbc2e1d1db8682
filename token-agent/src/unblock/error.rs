//! Why a PIN isn't unblocked. The words for people stand in `messages`.

/// Why it isn't, where it is about unblocking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnblockError {
    #[error("the PIN isn't blocked, {tries_left} tries left")]
    NotBlocked { tries_left: u8 },
    #[error("the PUK is blocked as well")]
    PukBlocked,
    #[error("the token doesn't take the PUK that the bank keeps")]
    PukUnknown,
    #[error("nobody has approved request {number} yet")]
    Waiting { number: String, branch_only: bool },
    #[error("request {number} was declined")]
    Declined { number: String },
}
