//! Repeats: the agent's idempotency key makes a repeated request return the first result.

use super::{device::Device, enrolment::Enrolment, ids::UserId};

/// What a request with an idempotency key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat<'a> {
    /// The key is new: go ahead.
    First,
    /// A repeat of this enrolment: go on from where it stands.
    Of(&'a Enrolment),
    /// The key was used by another user or for another token; nothing about that enrolment may be said.
    KeyReused,
}

/// What a request to open an enrolment is, given the enrolment that already has its idempotency key.
pub fn judge<'a>(existing: Option<&'a Enrolment>, user: &UserId, device: &Device) -> Repeat<'a> {
    match existing {
        None => Repeat::First,
        Some(enrolment) if enrolment.user == *user && enrolment.device == *device => Repeat::Of(enrolment),
        Some(_) => Repeat::KeyReused,
    }
}
