//! The bank's staff: who they are, and what each role may do at the console. A member is known by the key of their
//! token; the certificate only brings it.
//!
//! What takes one person and what takes two is said by [`Task`] and [`approval`](super::approval).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::ids::StaffId;

/// A member of staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name in the audit trail, for ever.
    pub id: StaffId,
    /// The person's name.
    pub name: String,
    /// What the member may do.
    pub roles: Roles,
    /// Whether the member may act.
    pub state: MemberState,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`, DER: what the TLS handshake must prove.
    pub key_sha256: [u8; 32],
    /// The certificate that the member was admitted with, DER.
    pub certificate: Vec<u8>,
    /// When the member was admitted, or last admitted again.
    pub admitted_at: Timestamp,
}

impl Member {
    /// Whether the member may do that: active, and with a role that may.
    pub fn may(&self, task: Task) -> bool {
        self.state == MemberState::Active && self.roles.may(task)
    }
}

/// Whether a member of staff may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// May act.
    Active,
    /// May not, until two administrators admit the member again.
    Withdrawn,
}

impl MemberState {
    /// The stable name in storage and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Withdrawn].into_iter().find(|state| state.as_str() == text)
    }
}

/// What a member of staff works as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StaffRole {
    /// 窓口: contracts, users and their certificates.
    Clerk,
    /// Keys, CRLs, OCSP, failover: looks after the machinery, and has nothing to do with customers.
    HsmOperations,
    /// Reads everything, changes nothing.
    Auditor,
    /// Keeps the list of staff.
    Administrator,
}

impl StaffRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Clerk, Self::HsmOperations, Self::Auditor, Self::Administrator];

    /// The stable name in storage, forms and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clerk => "clerk",
            Self::HsmOperations => "hsm-operations",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may do that.
    pub fn may(self, task: Task) -> bool {
        use Task::{
            KeepCustomers, KeepStaff, ReadApprovals, ReadAudit, ReadCustomers, ReadHealth, ReadStaff, Revoke,
        };
        match self {
            Self::Clerk => {
                matches!(task, ReadCustomers | KeepCustomers | Revoke | ReadApprovals | ReadHealth)
            }
            Self::HsmOperations => matches!(task, ReadHealth),
            Self::Auditor => {
                matches!(task, ReadCustomers | ReadApprovals | ReadHealth | ReadStaff | ReadAudit)
            }
            Self::Administrator => matches!(task, ReadApprovals | ReadHealth | ReadStaff | KeepStaff),
        }
    }
}

/// What can be done at the console, as far as permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Searching, and a customer's page.
    ReadCustomers,
    /// Contracts, users, tokens, letters, passwords, locks; asking for and approving what takes two there.
    KeepCustomers,
    /// 失効, alone and at once.
    Revoke,
    /// The list of requests.
    ReadApprovals,
    /// Signers, CRLs, OCSP, the calendar.
    ReadHealth,
    /// The list of staff.
    ReadStaff,
    /// Withdrawing a member alone; asking for and approving an admission.
    KeepStaff,
    /// The audit trail and its export.
    ReadAudit,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReadCustomers,
        Self::KeepCustomers,
        Self::Revoke,
        Self::ReadApprovals,
        Self::ReadHealth,
        Self::ReadStaff,
        Self::KeepStaff,
        Self::ReadAudit,
    ];

    /// The stable name in audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadCustomers => "read-customers",
            Self::KeepCustomers => "keep-customers",
            Self::Revoke => "revoke",
            Self::ReadApprovals => "read-approvals",
            Self::ReadHealth => "read-health",
            Self::ReadStaff => "read-staff",
            Self::KeepStaff => "keep-staff",
            Self::ReadAudit => "read-audit",
        }
    }
}

/// The roles of a member: at least one, and an auditor has no other, so that nobody audits their own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<StaffRole>);

/// A set of roles that nobody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoles {
    /// None.
    #[error("a member of staff has at least one role")]
    None,
    /// An auditor with another role.
    #[error("an auditor has no other role")]
    AuditorActs,
    /// A name that isn't a role's.
    #[error("there is no such role")]
    Unknown,
}

impl Roles {
    /// These roles.
    ///
    /// # Errors
    /// [`InvalidRoles`].
    pub fn new(roles: impl IntoIterator<Item = StaffRole>) -> Result<Self, InvalidRoles> {
        let roles: BTreeSet<StaffRole> = roles.into_iter().collect();
        match roles.len() {
            0 => Err(InvalidRoles::None),
            1 => Ok(Self(roles)),
            _ if roles.contains(&StaffRole::Auditor) => Err(InvalidRoles::AuditorActs),
            _ => Ok(Self(roles)),
        }
    }

    /// Reads stable names with blanks between them.
    ///
    /// # Errors
    /// [`InvalidRoles`].
    pub fn parse(text: &str) -> Result<Self, InvalidRoles> {
        let roles =
            text.split_ascii_whitespace().map(|name| StaffRole::parse(name).ok_or(InvalidRoles::Unknown));
        Self::new(roles.collect::<Result<Vec<_>, _>>()?)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = StaffRole> {
        self.0.iter().copied()
    }

    /// Whether this is among them.
    pub fn has(&self, role: StaffRole) -> bool {
        self.0.contains(&role)
    }

    /// Whether one of them may do that.
    pub fn may(&self, task: Task) -> bool {
        self.iter().any(|role| role.may(task))
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, role) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People: "auditor: reads everything, changes nothing".
    #[test]
    fn an_auditor_reads_everything_and_changes_nothing() {
        for task in Task::ALL {
            let changes = matches!(task, Task::KeepCustomers | Task::Revoke | Task::KeepStaff);
            assert_eq!(StaffRole::Auditor.may(task), !changes, "{task:?}");
        }
        assert_eq!(Roles::parse("auditor clerk"), Err(InvalidRoles::AuditorActs));
    }

    /// People: "HSM operations team: keys, ceremonies, CRL/OCSP, failover, backups, health".
    #[test]
    fn operations_have_nothing_to_do_with_customers() {
        let may: Vec<Task> =
            Task::ALL.into_iter().filter(|task| StaffRole::HsmOperations.may(*task)).collect();
        assert_eq!(may, [Task::ReadHealth]);
    }

    #[test]
    fn only_administrators_keep_the_staff_and_they_keep_no_customers() {
        for role in StaffRole::ALL {
            assert_eq!(role.may(Task::KeepStaff), role == StaffRole::Administrator);
            assert_eq!(role.may(Task::KeepCustomers), role == StaffRole::Clerk);
            assert_eq!(role.may(Task::Revoke), role == StaffRole::Clerk);
        }
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for text in ["clerk", "auditor", "clerk hsm-operations administrator"] {
            assert_eq!(Roles::parse(text).expect("roles").to_string(), text);
        }
        assert_eq!(Roles::parse("administrator  clerk").expect("roles").to_string(), "clerk administrator");
        assert_eq!(Roles::parse(" "), Err(InvalidRoles::None));
        assert_eq!(Roles::parse("clerk root"), Err(InvalidRoles::Unknown));
    }
}
