//! Tokens for life: PUKs in custody, the way back from a blocked PIN, and what was erased. What is kept, and why, says
//! [`domain::custody`](crate::domain::custody).

pub mod deposit;
pub mod erasure;
pub mod reseal;
pub mod seal;
pub mod unblock;

use crate::domain::ids::EnrolmentId;

/// What a deposit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// An enrolment: the token had the factory's PUK.
    Enrolment(EnrolmentId),
    /// An unblocking: the token took the PUK that was released.
    Unblocking(uuid::Uuid),
}

impl std::fmt::Display for Occasion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Enrolment(id) => write!(f, "enrolment {id}"),
            Self::Unblocking(id) => write!(f, "unblocking {id}"),
        }
    }
}
