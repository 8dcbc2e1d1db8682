//! 利用者管理: whom a master may act on. A master looks after the general users of the own contract; what concerns a
//! master is the branch's business.

use super::user::{Role, User, UserState};

/// Why a master may not act on a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not a master, or one who is suspended or locked.
    #[error("only a contract's master user may do this")]
    NotAMaster,
    /// Another contract's user, one who was removed, or nobody at all: one answer, so that no ID is given away.
    #[error("there is no such general user in the contract")]
    NotYours,
    /// The master: the branch suspends, unlocks and removes.
    #[error("a master user is looked after by the branch")]
    Master,
}

impl Denied {
    /// The stable code, for the audit trail.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAMaster => "manage-not-permitted",
            Self::NotYours => "manage-not-yours",
            Self::Master => "manage-master",
        }
    }
}

/// Whether a user is a master who may act.
///
/// # Errors
/// [`Denied::NotAMaster`].
pub fn acting_master(user: &User) -> Result<(), Denied> {
    let acts = user.role == Role::Master && user.state == UserState::Active && user.locked_at.is_none();
    if acts { Ok(()) } else { Err(Denied::NotAMaster) }
}

/// Whether `master` may act on `target`, who was looked up by ID.
///
/// # Errors
/// [`Denied`].
pub fn may_manage(master: &User, target: Option<&User>) -> Result<(), Denied> {
    acting_master(master)?;
    let target = target.filter(|user| user.contract == master.contract && user.state != UserState::Removed);
    match target.map(|user| user.role) {
        None => Err(Denied::NotYours),
        Some(Role::Master) => Err(Denied::Master),
        Some(Role::General) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        fixtures::{at, user},
        ids::ContractNumber,
    };

    fn master() -> User {
        user("hokkai-master", Role::Master)
    }

    fn general() -> User {
        user("hokkai-01", Role::General)
    }

    /// People: a master may do "everything a general user may, plus revoke general users' certificates"; rule 14: "only the
    /// branch (or the master, for a general user) lifts it."
    #[test]
    fn rule_14_a_master_looks_after_general_users_of_the_own_contract_alone() {
        assert_eq!(may_manage(&master(), Some(&general())), Ok(()));
        let suspended = User { state: UserState::Suspended, ..general() };
        let locked = User { locked_at: Some(at("2026-11-22T10:00:00+09:00")), ..general() };
        for target in [suspended, locked] {
            assert_eq!(may_manage(&master(), Some(&target)), Ok(()), "{target:?}");
        }
        assert_eq!(may_manage(&master(), Some(&master())), Err(Denied::Master));
        assert_eq!(may_manage(&master(), None), Err(Denied::NotYours));
        let removed = User { state: UserState::Removed, ..general() };
        let contract = ContractNumber::parse("7654321").expect("a number");
        let stranger = User { contract: contract.clone(), ..general() };
        let other_master = User { contract, ..master() };
        for target in [removed, stranger, other_master] {
            assert_eq!(may_manage(&master(), Some(&target)), Err(Denied::NotYours), "{target:?}");
        }
    }

    #[test]
    fn a_master_who_may_not_act_manages_nobody() {
        let locked = User { locked_at: Some(at("2026-11-22T10:00:00+09:00")), ..master() };
        let suspended = User { state: UserState::Suspended, ..master() };
        for actor in [locked, suspended, general()] {
            assert_eq!(may_manage(&actor, Some(&general())), Err(Denied::NotAMaster), "{actor:?}");
        }
    }
}
