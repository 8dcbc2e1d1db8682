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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        enrolment::{Binding, EnrolmentState},
        fixtures::{device, now, user},
        ids::{EnrolmentId, IdempotencyKey},
        user::Role,
    };

    #[test]
    fn a_key_belongs_to_one_user_and_token() {
        let owner = user("hokkai-01", Role::General).id;
        let enrolment = Enrolment {
            id: EnrolmentId(uuid::Uuid::from_u128(1)),
            idempotency_key: IdempotencyKey::parse("0123456789abcdef").expect("a key"),
            user: owner.clone(),
            device: device("111"),
            binding: Binding::AssignedSerial,
            renews: None,
            challenge: [0; 32],
            bearer_sha256: [0; 32],
            expires_at: now(),
            opened_at: now(),
            ak_name: None,
            state: EnrolmentState::Challenged,
        };
        assert_eq!(judge(None, &owner, &device("111")), Repeat::First);
        assert_eq!(judge(Some(&enrolment), &owner, &device("111")), Repeat::Of(&enrolment));
        assert_eq!(judge(Some(&enrolment), &owner, &device("222")), Repeat::KeyReused);
        let other = user("hokkai-02", Role::General).id;
        assert_eq!(judge(Some(&enrolment), &other, &device("111")), Repeat::KeyReused);
    }
}
