//! Members of staff. The first administrators come from the key ceremony's certificates by the operator's hand
//! (bootstrap, and break-glass when nobody is left who can log in); after that two administrators admit everybody.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Acting, Denied, Guard,
    admission::{NewMember, StaffIssuer, UnfitCertificate, fingerprint},
    approvals::{ApprovalError, Approvals},
};
use crate::{
    app::{
        failure::{Failure, carries_failure},
        trail::{Details, event, refused},
    },
    domain::{
        approval::{Approval, Proposal},
        audit::{Actor, AuditEvent},
        ids::StaffId,
        staff::{Member, MemberState, StaffRole, Task},
        subject::{self, InvalidText},
    },
    ports::{
        staff::StaffStore,
        store::{Conflict, StoreError},
    },
};

/// So many administrators admit others without the operator.
const ENOUGH: usize = 2;

/// The use cases.
#[derive(Clone)]
pub struct Members {
    /// Who may.
    pub guard: Guard,
    /// Members.
    pub staff: Arc<dyn StaffStore>,
    /// Which certificates they may have.
    pub issuer: StaffIssuer,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The member's roles.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The person's name.
    #[error(transparent)]
    Name(#[from] InvalidText),
    /// The certificate.
    #[error("the certificate can't be used: {0}")]
    Certificate(#[from] UnfitCertificate),
    /// The operator's hand brings administrators only.
    #[error("only administrators are imported; they admit everybody else at the console")]
    OnlyAdministrators,
    /// There are administrators who can do it.
    #[error(
        "there are {ENOUGH} administrators or more, who admit others at the console; in an emergency say why with --break-glass"
    )]
    NotNeeded,
    /// The key is another member's.
    #[error("the key is another member's")]
    KeyTaken,
    /// No such member, or withdrawn already.
    #[error("there is no such active member of staff")]
    Unknown,
    /// The request.
    #[error(transparent)]
    Approval(Box<ApprovalError>),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(MemberError: store::StoreError);

impl From<ApprovalError> for MemberError {
    fn from(error: ApprovalError) -> Self {
        Self::Approval(Box::new(error))
    }
}

impl Members {
    /// Enters an administrator of the key ceremony, by the operator's hand. With two active administrators it takes a
    /// reason: break-glass.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn import(
        &self,
        by: Actor,
        new: NewMember,
        break_glass: Option<&str>,
    ) -> Result<Member, MemberError> {
        let row = event(self.guard.clock.now(), by, "staff.imported", &new.id)
            .with("name", &new.name)
            .with("roles", &new.roles)
            .with("certificate_sha256", fingerprint(&new.certificate));
        let row = break_glass.into_iter().fold(row, |row, why| row.with("break_glass", why));
        let member = match self.judge_import(&new, break_glass, row.at).await {
            Ok(member) => member,
            Err(MemberError::Failure(failure)) => return Err(failure.into()),
            Err(error) => return Err(self.refuse(row, error).await),
        };
        match self.staff.put_member(&member, row.clone()).await {
            Ok(()) => Ok(member),
            Err(StoreError::Conflict(Conflict::Taken)) => Err(self.refuse(row, MemberError::KeyTaken).await),
            Err(error) => Err(error.into()),
        }
    }

    async fn judge_import(
        &self,
        new: &NewMember,
        break_glass: Option<&str>,
        now: Timestamp,
    ) -> Result<Member, MemberError> {
        subject::check_common_name(&new.name)?;
        if !new.roles.has(StaffRole::Administrator) {
            return Err(MemberError::OnlyAdministrators);
        }
        match break_glass {
            Some(why) => subject::check_note("reason", why)?,
            None if self.administrators().await? >= ENOUGH => return Err(MemberError::NotNeeded),
            None => {}
        }
        Ok(self.issuer.member(new, now)?)
    }

    async fn administrators(&self) -> Result<usize, Failure> {
        let members = self.staff.members().await?;
        let administrates = |member: &&Member| {
            member.state == MemberState::Active && member.roles.has(StaffRole::Administrator)
        };
        Ok(members.iter().filter(administrates).count())
    }

    /// Asks that a person be admitted, or that a member get other roles or a new token.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn propose(
        &self,
        approvals: &Approvals,
        acting: &Acting,
        new: NewMember,
        reason: &str,
    ) -> Result<Approval, MemberError> {
        self.guard.permit(acting, Task::KeepStaff, &new.id).await?;
        let row = event(self.guard.clock.now(), acting.actor(), "staff.refused", &new.id);
        if let Err(error) = subject::check_common_name(&new.name) {
            return Err(self.refuse(row, error.into()).await);
        }
        if let Err(error) = self.issuer.key_of(&new.certificate) {
            return Err(self.refuse(row, error.into()).await);
        }
        let NewMember { id, name, roles, certificate } = new;
        Ok(approvals.ask(acting, Proposal::Admit { id, name, roles, certificate }, reason).await?)
    }

    /// Withdraws a member at once: one administrator is enough, since it only takes away.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn withdraw(&self, acting: &Acting, id: &StaffId, reason: &str) -> Result<(), MemberError> {
        self.guard.permit(acting, Task::KeepStaff, id).await?;
        let row = event(self.guard.clock.now(), acting.actor(), "staff.withdrawn", id);
        if let Err(error) = subject::check_note("reason", reason) {
            return Err(self.refuse(row, error.into()).await);
        }
        let row = row.with("reason", reason);
        match self.staff.withdraw_member(id, row.clone()).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict(Conflict::Missing)) => Err(self.refuse(row, MemberError::Unknown).await),
            Err(error) => Err(error.into()),
        }
    }

    /// All members.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn list(&self, acting: &Acting) -> Result<Vec<Member>, Denied> {
        self.guard.permit(acting, Task::ReadStaff, "staff").await?;
        Ok(self.staff.members().await?)
    }

    async fn refuse(&self, row: AuditEvent, error: MemberError) -> MemberError {
        let row = AuditEvent { action: "staff.refused", ..row }.with("why", &error);
        refused(&*self.guard.audit, row, error).await
    }
}

/// Whether there are members of staff at all: from then on the command line leaves customers' data alone.
///
/// # Errors
/// [`Failure`].
pub async fn any(staff: &dyn StaffStore) -> Result<bool, Failure> {
    Ok(!staff.members().await?.is_empty())
}
