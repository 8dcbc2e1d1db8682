//! The staff console's use cases. Each begins with who acts and whether one of the member's roles may do it; the
//! handlers above decide nothing.

pub mod admission;
pub mod approvals;
pub mod desk;
pub mod forms;
pub mod members;
pub mod overview;
pub mod session;
pub mod tokens;
pub mod trail;

use std::sync::Arc;

use super::{
    failure::{Failure, carries_failure},
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        ids::StaffId,
        staff::{Member, Task},
    },
    ports::{clock::Clock, store::AuditStore},
};

/// A member of staff in the act. Only a session that stands makes one.
#[derive(Clone, Debug)]
pub struct Acting {
    member: Member,
}

impl Acting {
    /// The member.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The member's ID.
    pub fn id(&self) -> &StaffId {
        &self.member.id
    }

    /// Whether one of the member's roles may do that: for what a page shows, never in place of [`Guard::permit`].
    pub fn may(&self, task: Task) -> bool {
        self.member.roles.may(task)
    }

    /// The member, for the audit trail.
    pub fn actor(&self) -> Actor {
        Actor::Staff(self.member.id.to_string())
    }
}

/// Why a member was turned away before anything was looked at.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// None of the member's roles may do it.
    #[error("none of the member's roles may do this")]
    Role(Task),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(Denied: store::StoreError);

/// Stands before every use case.
#[derive(Clone)]
pub struct Guard {
    /// What was refused.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Guard {
    /// Lets the member pass whose roles include the task; a refusal is written down with what was wanted.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn permit(
        &self,
        acting: &Acting,
        task: Task,
        wanted: impl std::fmt::Display,
    ) -> Result<(), Denied> {
        if acting.may(task) {
            return Ok(());
        }
        let row = event(
            self.clock.now(),
            acting.actor(),
            "staff.denied",
            super::trail::foreign(&wanted.to_string()),
        )
        .with("task", task.as_str());
        self.audit.append(row).await?;
        Err(Denied::Role(task))
    }
}
