//! What takes two members of staff: one asks, another one approves, and that is when it is done. Whoever asks never
//! approves; the one who asked may withdraw, anybody else who may approve may also refuse; what nobody decided in time
//! expires. Who decides first, and whether both may still do it, is settled in the commit.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    contract::Plan,
    device::{Device, DeviceKind},
    ids::{ContractNumber, PolicyName, StaffId, TokenSerial, UserId},
    staff::{Member, Roles, Task},
};

/// A request that nobody has decided expires after so long.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A request for something that takes two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: Uuid,
    /// What is asked for.
    pub proposal: Proposal,
    /// Why, in the asker's words.
    pub reason: String,
    /// Who asks.
    pub asked_by: StaffId,
    /// When.
    pub asked_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// How it ended.
    pub end: Option<End>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// By whom.
    pub by: StaffId,
    /// When.
    pub at: Timestamp,
}

/// The three ways in which people end a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Another member approved, and it was done in the same commit.
    Executed,
    /// Another member refused.
    Refused,
    /// Who asked took it back.
    Withdrawn,
}

impl Outcome {
    /// The stable name in storage and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Executed, Self::Refused, Self::Withdrawn].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Where a request stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for somebody's decision.
    Open,
    /// Nobody decided in time.
    Expired,
    /// It ended.
    Ended(Outcome),
}

/// Why a member can't decide a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// Who decides was withdrawn, or has no role any more that may decide it.
    #[error("the member may not decide this any more")]
    DeciderLeft,
    /// Four eyes: whoever asks can't approve or refuse.
    #[error("whoever asks can't decide")]
    OwnRequest,
    /// Only who asked withdraws.
    #[error("only who asked can withdraw")]
    NotYours,
    /// Who asked was withdrawn, or has no role any more that may ask for it: one pair of eyes is missing.
    #[error("who asked may not ask for this any more")]
    AskerLeft,
    /// Decided, withdrawn or expired.
    #[error("the request doesn't wait for a decision any more")]
    NotOpen,
}

impl Approval {
    /// Where it stands at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match &self.end {
            Some(end) => Standing::Ended(end.outcome),
            None if now >= self.expires_at => Standing::Expired,
            None => Standing::Open,
        }
    }

    /// Whether `by` may end it in this way at `now`. `staff` holds `by` and the asker as they are at `now`; who isn't in
    /// it may nothing. The stores ask the same inside the commit.
    ///
    /// # Errors
    /// [`Barred`].
    pub fn check(
        &self,
        outcome: Outcome,
        by: &StaffId,
        staff: &[Member],
        now: Timestamp,
    ) -> Result<(), Barred> {
        let own = self.asked_by == *by;
        let task = self.proposal.task();
        let may = |id: &StaffId| staff.iter().any(|member| member.id == *id && member.may(task));
        match outcome {
            _ if self.standing(now) != Standing::Open => Err(Barred::NotOpen),
            _ if !may(by) => Err(Barred::DeciderLeft),
            Outcome::Executed | Outcome::Refused if own => Err(Barred::OwnRequest),
            Outcome::Withdrawn if !own => Err(Barred::NotYours),
            Outcome::Executed if !may(&self.asked_by) => Err(Barred::AskerLeft),
            _ => Ok(()),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// A user who had a certificate before may obtain one again, with an acquisition code by letter.
    ReobtainByCode {
        /// The user.
        user: UserId,
    },
    /// The same, with a token of this serial number.
    ReobtainWithToken {
        /// The user.
        user: UserId,
        /// The token.
        device: Device,
    },
    /// A contract gets another policy, or the bank's own again.
    AssignPolicy {
        /// The contract.
        contract: ContractNumber,
        /// The policy, always in its latest version; `None` for the bank's own.
        policy: Option<PolicyName>,
    },
    /// A contract gets another plan.
    ChangePlan {
        /// The contract.
        contract: ContractNumber,
        /// What it is to have.
        plan: Plan,
    },
    /// A person becomes a member of staff; or a member gets other roles, or a new token.
    Admit {
        /// The member.
        id: StaffId,
        /// The person's name.
        name: String,
        /// What the member may do.
        roles: Roles,
        /// The member's certificate, DER.
        certificate: Vec<u8>,
    },
}

/// A proposal as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The stable name of its kind.
    pub kind: &'static str,
    /// Whom it is about: one request of a kind is open about one subject.
    pub subject: String,
    /// The particulars, a line each.
    pub detail: String,
    /// A certificate, DER.
    pub attachment: Option<Vec<u8>>,
}

impl Proposal {
    /// The stable name of its kind, in storage and audit rows.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReobtainByCode { .. } | Self::ReobtainWithToken { .. } => "reobtain",
            Self::AssignPolicy { .. } => "policy",
            Self::ChangePlan { .. } => "plan",
            Self::Admit { .. } => "admit",
        }
    }

    /// Whom it is about.
    pub fn subject(&self) -> &str {
        match self {
            Self::ReobtainByCode { user } | Self::ReobtainWithToken { user, .. } => user.as_str(),
            Self::AssignPolicy { contract, .. } | Self::ChangePlan { contract, .. } => contract.as_str(),
            Self::Admit { id, .. } => id.as_str(),
        }
    }

    /// What asking, approving and refusing take.
    pub fn task(&self) -> Task {
        match self {
            Self::ReobtainByCode { .. }
            | Self::ReobtainWithToken { .. }
            | Self::AssignPolicy { .. }
            | Self::ChangePlan { .. } => Task::KeepCustomers,
            Self::Admit { .. } => Task::KeepStaff,
        }
    }

    /// For storage.
    pub fn write(&self) -> Written {
        let (detail, attachment) = match self {
            Self::ReobtainByCode { .. } => ("code".to_owned(), None),
            Self::ReobtainWithToken { device, .. } => {
                (format!("{}\n{}", device.kind.as_str(), device.serial), None)
            }
            Self::AssignPolicy { policy, .. } => {
                (policy.clone().unwrap_or_else(PolicyName::bank).to_string(), None)
            }
            Self::ChangePlan { plan, .. } => (plan.general_users.to_string(), None),
            Self::Admit { name, roles, certificate, .. } => {
                (format!("{roles}\n{name}"), Some(certificate.clone()))
            }
        };
        Written { kind: self.kind(), subject: self.subject().to_owned(), detail, attachment }
    }

    /// From storage; `None` for what Inro can't have written.
    pub fn read(kind: &str, subject: &str, detail: &str, attachment: Option<Vec<u8>>) -> Option<Self> {
        match (kind, detail.split_once('\n'), attachment) {
            ("reobtain", None, None) if detail == "code" => {
                Some(Self::ReobtainByCode { user: UserId::parse(subject).ok()? })
            }
            ("reobtain", Some((kind, serial)), None) => Some(Self::ReobtainWithToken {
                user: UserId::parse(subject).ok()?,
                device: Device { kind: DeviceKind::parse(kind)?, serial: TokenSerial::parse(serial).ok()? },
            }),
            ("policy", None, None) => {
                let policy = PolicyName::parse(detail).ok()?;
                let policy = (policy != PolicyName::bank()).then_some(policy);
                Some(Self::AssignPolicy { contract: ContractNumber::parse(subject).ok()?, policy })
            }
            ("plan", None, None) => Some(Self::ChangePlan {
                contract: ContractNumber::parse(subject).ok()?,
                plan: Plan { general_users: detail.parse().ok()? },
            }),
            ("admit", Some((roles, name)), Some(certificate)) => Some(Self::Admit {
                id: StaffId::parse(subject).ok()?,
                name: name.to_owned(),
                roles: Roles::parse(roles).ok()?,
                certificate,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::staff::MemberState;

    fn staff(id: &str) -> StaffId {
        StaffId::parse(id).expect("a staff ID")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn contract() -> ContractNumber {
        ContractNumber::parse("1234567").expect("a number")
    }

    fn request() -> Approval {
        Approval {
            id: Uuid::from_u128(1),
            proposal: Proposal::ReobtainByCode { user: UserId::parse("hokkai-01").expect("an ID") },
            reason: "PC replaced".to_owned(),
            asked_by: staff("hanako"),
            asked_at: at(0),
            expires_at: at(100),
            end: None,
        }
    }

    fn clerk(id: &str) -> Member {
        Member {
            id: staff(id),
            name: id.to_owned(),
            roles: Roles::parse("clerk").expect("roles"),
            state: MemberState::Active,
            key_sha256: [0; 32],
            certificate: Vec::new(),
            admitted_at: at(0),
        }
    }

    fn check(request: &Approval, outcome: Outcome, by: &str, now: i64) -> Result<(), Barred> {
        request.check(outcome, &staff(by), &[clerk("hanako"), clerk("ichiro")], at(now))
    }

    /// Revoke a master: "permitting the re-obtaining … takes a second member of staff."
    #[test]
    fn whoever_asks_never_approves() {
        let request = request();
        for outcome in [Outcome::Executed, Outcome::Refused] {
            assert_eq!(check(&request, outcome, "hanako", 1), Err(Barred::OwnRequest));
            assert_eq!(check(&request, outcome, "ichiro", 1), Ok(()));
        }
        assert_eq!(check(&request, Outcome::Withdrawn, "hanako", 1), Ok(()));
        assert_eq!(check(&request, Outcome::Withdrawn, "ichiro", 1), Err(Barred::NotYours));
    }

    #[test]
    fn both_are_members_who_may_when_it_is_done() {
        let request = request();
        let gone = |id| Member { state: MemberState::Withdrawn, ..clerk(id) };
        let operator = |id| Member { roles: Roles::parse("hsm-operations").expect("roles"), ..clerk(id) };
        let by = staff("ichiro");
        for asker in [Some(gone("hanako")), Some(operator("hanako")), None] {
            let staff: Vec<Member> = asker.into_iter().chain([clerk("ichiro")]).collect();
            assert_eq!(request.check(Outcome::Executed, &by, &staff, at(1)), Err(Barred::AskerLeft));
            assert_eq!(request.check(Outcome::Refused, &by, &staff, at(1)), Ok(()), "it only takes away");
        }
        for decider in [Some(gone("ichiro")), Some(operator("ichiro")), None] {
            let staff: Vec<Member> = decider.into_iter().chain([clerk("hanako")]).collect();
            for outcome in [Outcome::Executed, Outcome::Refused] {
                assert_eq!(request.check(outcome, &by, &staff, at(1)), Err(Barred::DeciderLeft));
            }
        }
    }

    #[test]
    fn what_ended_or_expired_is_not_decided_again() {
        let end = End { outcome: Outcome::Withdrawn, by: staff("hanako"), at: at(2) };
        let withdrawn = Approval { end: Some(end), ..request() };
        assert_eq!(withdrawn.standing(at(3)), Standing::Ended(Outcome::Withdrawn));
        assert_eq!(check(&withdrawn, Outcome::Executed, "ichiro", 3), Err(Barred::NotOpen));
        assert_eq!(request().standing(at(99)), Standing::Open);
        assert_eq!(request().standing(at(100)), Standing::Expired);
        assert_eq!(check(&request(), Outcome::Executed, "ichiro", 100), Err(Barred::NotOpen));
    }

    #[test]
    fn a_proposal_is_read_as_it_was_written() {
        let user = UserId::parse("hokkai-01").expect("an ID");
        let serial = TokenSerial::parse("12345678").expect("a serial");
        for proposal in [
            Proposal::ReobtainByCode { user: user.clone() },
            Proposal::ReobtainWithToken { user, device: Device { kind: DeviceKind::YubiKeyPiv, serial } },
            Proposal::AssignPolicy { contract: contract(), policy: PolicyName::parse("strict").ok() },
            Proposal::AssignPolicy { contract: contract(), policy: None },
            Proposal::ChangePlan { contract: contract(), plan: Plan { general_users: 49 } },
            Proposal::Admit {
                id: staff("jiro"),
                name: "鈴木 次郎\n<b>".to_owned(),
                roles: Roles::parse("clerk administrator").expect("roles"),
                certificate: vec![0x30, 0],
            },
        ] {
            let Written { kind, subject, detail, attachment } = proposal.write();
            assert_eq!(Proposal::read(kind, &subject, &detail, attachment), Some(proposal));
        }
        for (kind, detail) in
            [("reobtain", "letter"), ("reobtain", "abacus\n1"), ("promote", "x\ny"), ("plan", "-1")]
        {
            assert_eq!(Proposal::read(kind, "hokkai-01", detail, None), None, "{kind} {detail}");
        }
    }
}
