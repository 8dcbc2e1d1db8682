//! 利用者管理: a master looks after the general users of the own contract, within its plan (rule 1). Every act on others
//! asks for the 確認用パスワード (rule 10), and each refusal is written down.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    attempts::Attempts,
    custody::unblock::{DecideError, DecideUnblocking},
    customers::{CustomerError, Customers, NewUser},
    failure::{Failure, carries_failure},
    inventory::{Inventory, InventoryError},
    own_password::{OwnPassword, Verdict},
    password_policy,
    revoke::{Revoke, RevokeError},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        certificate::CertificateState,
        device::Device,
        ids::UserId,
        management::{Denied, acting_master, may_manage},
        policy::TokenState,
        revocation::RevocationReason,
        user::{PasswordKind, Role, User, UserState},
    },
    ports::{
        clock::Clock,
        password::Passwords,
        store::{AuditStore, CertificateStore, LoginStore},
    },
};

/// The use cases.
pub struct ManageUsers {
    /// What staff do as well.
    pub customers: Arc<Customers>,
    /// Before a user is removed.
    pub revoke: Arc<Revoke>,
    /// A token that is lost.
    pub inventory: Arc<Inventory>,
    /// A PIN that is blocked.
    pub unblockings: DecideUnblocking,
    /// What a user who is removed still has.
    pub certificates: Arc<dyn CertificateStore>,
    /// Confirmation passwords.
    pub logins: Arc<dyn LoginStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How many passwords of a user are looked at.
    pub attempts: Arc<Attempts>,
    /// Wrong confirmation passwords in a row that lock the master.
    pub lock_at: u32,
}

/// A general user to be registered.
pub struct NewGeneralUser {
    /// ログインID.
    pub id: UserId,
    /// The CN of the user's certificates.
    pub display_name: String,
    /// Where notices go.
    pub email: Option<String>,
    /// The login password to begin with, which the master hands over.
    pub password: SecretString,
}

/// What a master does to a general user.
pub enum Change {
    /// 利用停止.
    Suspend,
    /// 利用停止解除.
    Resume,
    /// IDロック解除.
    Unlock,
    /// A new login password in place of a forgotten one.
    SetPassword(SecretString),
    /// Assigns a token (rule 12), or takes it away.
    Assign(Option<Device>),
    /// PINロック解除: approves the user's request, or declines it.
    DecideUnblocking {
        /// The request that was shown.
        request: Uuid,
        /// Whether it is approved.
        approved: bool,
    },
    /// The user's token is lost: what stands on it is revoked at once, and nobody obtains anything with it again.
    TokenLost,
    /// Removes the user for good; a certificate that stands is revoked first.
    Remove,
}

impl Change {
    /// The stable name, for the audit trail.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Unlock => "unlock",
            Self::SetPassword(_) => "set-password",
            Self::Assign(Some(_)) => "assign-token",
            Self::Assign(None) => "release-token",
            Self::DecideUnblocking { approved: true, .. } => "approve-unblocking",
            Self::DecideUnblocking { approved: false, .. } => "decline-unblocking",
            Self::TokenLost => "token-lost",
            Self::Remove => "remove",
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// Not the master, not this user.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The confirmation password is wrong, or none is set.
    #[error("the confirmation password is wrong")]
    Confirmation,
    /// What was asked for can't be done.
    #[error(transparent)]
    Customer(CustomerError),
    /// The request to unblock can't be decided any more.
    #[error(transparent)]
    Unblocking(DecideError),
    /// The user has no token that could be lost, or it can't be lost any more.
    #[error("the user has no token that could be reported as lost")]
    NoToken,
    /// Too many passwords in a short time: this one wasn't looked at.
    #[error("too many passwords in a short time")]
    TooOften {
        /// When the next one is.
        retry_at: Timestamp,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ManageError);

impl From<DecideError> for ManageError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Failure(failure) => Self::Failure(failure),
            error => Self::Unblocking(error),
        }
    }
}

impl From<InventoryError> for ManageError {
    fn from(error: InventoryError) -> Self {
        match error {
            InventoryError::Failure(failure) => Self::Failure(failure),
            _ => Self::NoToken,
        }
    }
}

impl From<CustomerError> for ManageError {
    fn from(error: CustomerError) -> Self {
        match error {
            CustomerError::Failure(failure) => Self::Failure(failure),
            error => Self::Customer(error),
        }
    }
}

impl ManageUsers {
    /// Registers a general user of the master's contract, with a login password.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn register(
        &self,
        master: &UserId,
        confirmation: SecretString,
        new: NewGeneralUser,
    ) -> Result<User, ManageError> {
        let master = self.customers.user(master).await?;
        self.confirm(&master, "register", &new.id, confirmation).await?;
        let actor = Actor::User(master.id.to_string());
        // Before the user is there: one without a password would be of no use to anybody.
        if let Err(weak) = password_policy::check(&new.password, &new.id) {
            let error = ManageError::Customer(weak.into());
            let row = event(self.clock.now(), actor, "user.refused", &new.id).with("reason", "weak-password");
            return Err(refused(&*self.audit, row, error).await);
        }
        let user = NewUser {
            id: new.id,
            contract: master.contract,
            role: Role::General,
            display_name: new.display_name,
            email: new.email,
        };
        let user = self.customers.register_user(actor.clone(), user).await?;
        self.customers.set_password(actor, &user.id, PasswordKind::Login, new.password).await?;
        Ok(user)
    }

    /// Changes something about a general user of the master's contract. What is so already stays so.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn change(
        &self,
        master: &UserId,
        confirmation: SecretString,
        target: &UserId,
        change: Change,
    ) -> Result<(), ManageError> {
        let master = self.customers.user(master).await?;
        let found = match self.customers.user(target).await {
            Ok(user) => Some(user),
            Err(CustomerError::UnknownUser) => None,
            Err(error) => return Err(error.into()),
        };
        if let Err(denied) = may_manage(&master, found.as_ref()) {
            return Err(self.refuse(&master, change.as_str(), target, denied.code(), denied.into()).await);
        }
        self.confirm(&master, change.as_str(), target, confirmation).await?;
        let actor = Actor::User(master.id.to_string());
        match change {
            Change::Suspend => self.customers.set_state(actor, target, UserState::Suspended).await?,
            Change::Resume => self.customers.set_state(actor, target, UserState::Active).await?,
            Change::Unlock => self.customers.unlock(actor, target).await?,
            Change::SetPassword(password) => {
                self.customers.set_password(actor, target, PasswordKind::Login, password).await?;
            }
            Change::Assign(device) => {
                self.customers.assign_device(actor, target, device.as_ref()).await?;
            }
            Change::DecideUnblocking { request, approved } => {
                self.unblockings.decide(actor, (request, Some(target)), approved, None).await?;
            }
            Change::TokenLost => self.token_lost(&actor, target).await?,
            Change::Remove => self.remove(actor, target).await?,
        }
        Ok(())
    }

    /// The tokens that the user's certificates are on, and the one that is assigned.
    async fn token_lost(&self, actor: &Actor, target: &UserId) -> Result<(), ManageError> {
        let certificates = self.certificates.certificates_of(target).await?;
        let living = certificates.into_iter().filter(|certificate| stands(&certificate.state));
        let mut devices: Vec<Device> = living.map(|certificate| certificate.device).collect();
        devices.extend(self.customers.user(target).await?.assigned_device);
        devices.dedup();
        if devices.is_empty() {
            return Err(ManageError::NoToken);
        }
        for device in devices {
            self.inventory.report(actor, &device, &TokenState::Lost, None).await?;
        }
        Ok(())
    }

    /// The certificate first: a user who is gone must not leave one behind that works.
    async fn remove(&self, actor: Actor, target: &UserId) -> Result<(), ManageError> {
        let certificates = self.certificates.certificates_of(target).await?;
        if certificates.iter().any(|certificate| stands(&certificate.state)) {
            let reason = RevocationReason::CessationOfOperation;
            match self.revoke.by_user(actor.clone(), target, reason).await {
                // Revoked meanwhile by somebody else: as good.
                Ok(_) => {}
                Err(RevokeError::Failure(failure)) => return Err(failure.into()),
                Err(error) => return Err(Failure::defect(error).into()),
            }
        }
        Ok(self.customers.set_state(actor, target, UserState::Removed).await?)
    }

    async fn confirm(
        &self,
        master: &User,
        change: &'static str,
        target: &UserId,
        confirmation: SecretString,
    ) -> Result<(), ManageError> {
        if let Err(denied) = acting_master(master) {
            return Err(self.refuse(master, change, target, denied.code(), denied.into()).await);
        }
        let now = self.clock.now();
        let asked = OwnPassword {
            logins: &*self.logins,
            audit: &*self.audit,
            passwords: &*self.passwords,
            attempts: &self.attempts,
            lock_at: self.lock_at,
        };
        let wrong = row(now, master, change, target, "confirmation-password");
        match asked.verify((&master.id, PasswordKind::Confirmation), confirmation, now, wrong).await? {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(ManageError::Confirmation),
            Verdict::TooOften { retry_at } => Err(ManageError::TooOften { retry_at }),
            Verdict::MayNotAct => {
                let denied = Denied::NotAMaster;
                Err(self.refuse(master, change, target, denied.code(), denied.into()).await)
            }
        }
    }

    async fn refuse(
        &self,
        master: &User,
        change: &'static str,
        target: &UserId,
        why: &'static str,
        error: ManageError,
    ) -> ManageError {
        refused(&*self.audit, row(self.clock.now(), master, change, target, why), error).await
    }
}

fn stands(state: &CertificateState) -> bool {
    matches!(state, CertificateState::Intended | CertificateState::Issued { .. })
}

fn row(
    now: jiff::Timestamp,
    master: &User,
    change: &'static str,
    target: &UserId,
    why: &'static str,
) -> AuditEvent {
    event(now, Actor::User(master.id.to_string()), "user.change-refused", target)
        .with("change", change)
        .with("reason", why)
}
