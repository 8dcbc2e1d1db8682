//! Contracts and their users, as the bank's staff and operators keep them: registration within the plan (rule 1), the
//! user's passwords, the binding to a token (rule 12), and the states of an account (rule 14).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    acquisition_code,
    failure::{Failure, carries_failure},
    password_policy::{self, WeakPassword},
    policies::Policies,
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        contract::{Contract, Plan},
        device::Device,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, UserId},
        mail::{EmailAddress, InvalidAddress},
        policy::{self, UnfitToken},
        subject::{self, InvalidText},
        user::{PasswordKind, Role, User, UserState},
    },
    ports::{
        clock::Clock,
        inventory::InventoryStore,
        password::Passwords,
        rng::Rng,
        store::{AuditStore, Conflict, CustomerStore, LoginStore, PasswordBy, StoreError},
    },
};

/// The use cases round contracts and users.
pub struct Customers {
    /// Contracts and users.
    pub customers: Arc<dyn CustomerStore>,
    /// Passwords.
    pub logins: Arc<dyn LoginStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Hashing.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Acquisition codes.
    pub rng: Arc<dyn Rng>,
    /// The rules of the contracts.
    pub policies: Arc<Policies>,
    /// Tokens that the bank knows.
    pub inventory: Arc<dyn InventoryStore>,
}

/// A contract to be registered.
#[derive(Clone, Debug)]
pub struct NewContract {
    /// Its number.
    pub number: ContractNumber,
    /// The customer's name.
    pub name: String,
    /// Its plan.
    pub plan: Plan,
}

/// A user to be registered.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// ログインID.
    pub id: UserId,
    /// The contract.
    pub contract: ContractNumber,
    /// What the user may do.
    pub role: Role,
    /// The CN of the user's certificates.
    pub display_name: String,
    /// Where notices go.
    pub email: Option<String>,
}

/// An acquisition code, shown this once.
#[derive(Debug)]
pub struct IssuedCode {
    /// What the letter prints.
    pub code: SecretString,
    /// 取得期限.
    pub expires_at: Timestamp,
}

/// How acquisition codes are issued.
#[derive(Clone, Copy, Debug)]
pub struct CodeTerms {
    /// From issuing to 取得期限.
    pub lifetime: SignedDuration,
    /// Wrong attempts that burn it.
    pub attempts: u8,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CustomerError {
    /// A name that can't stand in a certificate.
    #[error(transparent)]
    Name(#[from] InvalidText),
    /// An e-mail address that isn't one.
    #[error("{0:?} is not an e-mail address")]
    Email(String),
    /// The number or ID is taken, now or by a removed user; IDs are never used again.
    #[error("it is registered already, or was before: no number and no ID is used a second time")]
    Taken,
    /// No such contract.
    #[error("there is no such contract")]
    UnknownContract,
    /// No such user, or removed.
    #[error("there is no such user")]
    UnknownUser,
    /// Rule 1: one master, and the plan's number of general users.
    #[error("the contract's plan has no room for another such user")]
    PlanExhausted,
    /// A serial belongs to at most one user.
    #[error("the token serves another user")]
    DeviceInUse,
    /// The token inventory doesn't let the token be used.
    #[error(transparent)]
    Token(#[from] UnfitToken),
    /// The password isn't taken.
    #[error(transparent)]
    Password(#[from] WeakPassword),
    /// Only a master has a confirmation password (rule 10).
    #[error("only a master user has a confirmation password")]
    NotAMaster,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(CustomerError);

impl CustomerError {
    fn name(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Email(_) => "email",
            Self::Taken => "taken",
            Self::UnknownContract => "unknown-contract",
            Self::UnknownUser => "unknown-user",
            Self::PlanExhausted => "plan-exhausted",
            Self::DeviceInUse => "device-in-use",
            Self::Token(unfit) => unfit.code(),
            Self::Password(_) => "weak-password",
            Self::NotAMaster => "not-a-master",
            Self::Failure(_) => "failure",
        }
    }
}

type CustomerResult<T> = Result<T, CustomerError>;

impl Customers {
    /// Registers a contract.
    ///
    /// # Errors
    /// `Name`, `Taken`.
    pub async fn register_contract(&self, by: Actor, new: NewContract) -> CustomerResult<Contract> {
        let row = self.row(by, "contract.registered", &new.number);
        if let Err(error) = subject::check_organization(&new.name) {
            return self.refuse(row, "contract.refused", error.into()).await;
        }
        let contract = Contract { number: new.number, name: new.name, plan: new.plan, registered_at: row.at };
        let row = row.with("name", &contract.name).with("general_users", contract.plan.general_users);
        match self.customers.register_contract(&contract, row.clone()).await {
            Ok(()) => Ok(contract),
            Err(StoreError::Conflict(Conflict::Taken)) => {
                self.refuse(row, "contract.refused", CustomerError::Taken).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Registers a user within the contract's plan (rule 1).
    ///
    /// # Errors
    /// `Name`, `Email`, `Taken`, `UnknownContract`, `PlanExhausted`.
    pub async fn register_user(&self, by: Actor, new: NewUser) -> CustomerResult<User> {
        let row = self
            .row(by, "user.registered", &new.id)
            .with("contract", &new.contract)
            .with("role", new.role.as_str());
        let email = match check_texts(&new) {
            Ok(email) => email,
            Err(error) => return self.refuse(row, "user.refused", error).await,
        };
        let user = User {
            id: new.id,
            contract: new.contract,
            role: new.role,
            display_name: new.display_name,
            email,
            state: UserState::Active,
            assigned_device: None,
            locked_at: None,
            registered_at: row.at,
        };
        let error = match self.customers.register_user(&user, row.clone()).await {
            Ok(()) => return Ok(user),
            Err(StoreError::Conflict(Conflict::Taken)) => CustomerError::Taken,
            Err(StoreError::Conflict(Conflict::Missing)) => CustomerError::UnknownContract,
            Err(StoreError::Conflict(Conflict::Quota)) => CustomerError::PlanExhausted,
            Err(error) => return Err(error.into()),
        };
        self.refuse(row, "user.refused", error).await
    }

    /// Sets one of a user's passwords. Whoever isn't the operator hands it over: the user changes it at the next login.
    ///
    /// # Errors
    /// `UnknownUser`, `NotAMaster`, `Password`.
    pub async fn set_password(
        &self,
        by: Actor,
        id: &UserId,
        kind: PasswordKind,
        password: SecretString,
    ) -> CustomerResult<()> {
        let setter = match by {
            Actor::Operator(_) => PasswordBy::Operator,
            _ => PasswordBy::Issuer,
        };
        let row = self.row(by, "user.password-set", id).with("kind", kind.as_str());
        if let Err(error) = self.check_password(id, kind, &password).await {
            return match error {
                CustomerError::Failure(_) => Err(error),
                error => self.refuse(row, "user.password-refused", error).await,
            };
        }
        let hash = self.passwords.hash(password).await?;
        missing_is_unknown(self.logins.set_password(id, kind, &hash, setter, row).await)
    }

    async fn check_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        password: &SecretString,
    ) -> CustomerResult<()> {
        let user = self.user(id).await?;
        let other = match kind {
            PasswordKind::Confirmation if user.role != Role::Master => {
                return Err(CustomerError::NotAMaster);
            }
            kind => kind.other(),
        };
        password_policy::check(password, id)?;
        if let Some(other) = self.logins.password(id, other).await?
            && self.passwords.verify(password.clone(), Some(other)).await?
        {
            return Err(WeakPassword::SameAsOther.into());
        }
        Ok(())
    }

    /// Assigns a token to a user, or takes it away (rule 12). One that the inventory knows goes to the user's contract.
    ///
    /// # Errors
    /// `UnknownUser`, `DeviceInUse`, `Token`.
    pub async fn assign_device(&self, by: Actor, id: &UserId, device: Option<&Device>) -> CustomerResult<()> {
        let row = match device {
            Some(device) => self
                .row(by, "user.device-assigned", id)
                .with("kind", device.kind.as_str())
                .with("serial", &device.serial),
            None => self.row(by, "user.device-released", id),
        };
        if let Some(device) = device
            && let Err(error) = self.check_inventory(id, device).await
        {
            return match error {
                CustomerError::Token(_) => self.refuse(row, "user.device-refused", error).await,
                error => Err(error),
            };
        }
        let error = match self.customers.assign_device(id, device, row.clone()).await {
            Err(StoreError::Conflict(Conflict::DeviceInUse)) => CustomerError::DeviceInUse,
            // It moved since it was looked up.
            Err(StoreError::Conflict(Conflict::TokenUnfit)) => UnfitToken::OutOfUse.into(),
            result => return missing_is_unknown(result),
        };
        self.refuse(row, "user.device-refused", error).await
    }

    /// What the inventory says of the token, by the rule of the contract's policy.
    pub(super) async fn check_inventory(&self, id: &UserId, device: &Device) -> CustomerResult<()> {
        let user = self.user(id).await?;
        let rule = self.policies.of(&user.contract).await?.rules.inventory;
        let state = self.inventory.token(device).await?.map(|token| token.state);
        Ok(policy::admit(rule, state.as_ref(), &user.contract)?)
    }

    /// Issues an acquisition code in place of any before it. The code itself is kept nowhere.
    ///
    /// # Errors
    /// `UnknownUser`.
    pub async fn issue_acquisition_code(
        &self,
        by: Actor,
        id: &UserId,
        terms: CodeTerms,
    ) -> CustomerResult<IssuedCode> {
        let user = self.user(id).await?;
        let code = acquisition_code::from_random(&self.rng.bytes());
        let row = self.row(by, "user.code-issued", id);
        let expires_at = row.at.checked_add(terms.lifetime).map_err(Failure::defect)?;
        let stored = AcquisitionCode {
            sha256: acquisition_code::sha256(&code).ok_or_else(|| Failure::defect("an unreadable code"))?,
            expires_at,
            attempts_left: terms.attempts,
        };
        let row = row.with("expires_at", expires_at);
        missing_is_unknown(self.customers.set_acquisition_code(&user.id, &stored, row).await)?;
        Ok(IssuedCode { code, expires_at })
    }

    /// Unlocks a user's login (IDロック解除).
    ///
    /// # Errors
    /// `UnknownUser`.
    pub async fn unlock(&self, by: Actor, id: &UserId) -> CustomerResult<()> {
        let row = self.row(by, "user.unlocked", id);
        missing_is_unknown(self.logins.unlock(id, row).await)
    }

    /// Suspends a user (利用停止), lifts the suspension, or removes the user for good.
    ///
    /// # Errors
    /// `UnknownUser`, also for a user who was removed.
    pub async fn set_state(&self, by: Actor, id: &UserId, state: UserState) -> CustomerResult<()> {
        let action = match state {
            UserState::Active => "user.resumed",
            UserState::Suspended => "user.suspended",
            UserState::Removed => "user.removed",
        };
        let row = self.row(by, action, id);
        missing_is_unknown(self.customers.set_user_state(id, state, row).await)
    }

    /// A user.
    ///
    /// # Errors
    /// `UnknownUser`.
    pub async fn user(&self, id: &UserId) -> CustomerResult<User> {
        self.customers.user(id).await?.ok_or(CustomerError::UnknownUser)
    }

    /// A contract and its users, the master first.
    ///
    /// # Errors
    /// `UnknownContract`.
    pub async fn contract(&self, number: &ContractNumber) -> CustomerResult<(Contract, Vec<User>)> {
        let contract = self.customers.contract(number).await?.ok_or(CustomerError::UnknownContract)?;
        Ok((contract, self.customers.users_of(number).await?))
    }

    /// All contracts.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn contracts(&self) -> CustomerResult<Vec<Contract>> {
        Ok(self.customers.contracts().await?)
    }

    /// Writes down why something is done that isn't done so ordinarily.
    ///
    /// # Errors
    /// `Name` when the reason can't be kept.
    pub async fn note(
        &self,
        by: Actor,
        action: &'static str,
        subject: impl std::fmt::Display,
        why: &str,
    ) -> CustomerResult<()> {
        subject::check_note("reason", why)?;
        Ok(self.audit.append(self.row(by, action, subject).with("reason", why)).await?)
    }

    fn row(&self, by: Actor, action: &'static str, subject: impl std::fmt::Display) -> AuditEvent {
        event(self.clock.now(), by, action, subject)
    }

    async fn refuse<T>(
        &self,
        row: AuditEvent,
        action: &'static str,
        error: CustomerError,
    ) -> CustomerResult<T> {
        let row = AuditEvent { action, ..row }.with("reason", error.name());
        Err(refused(&*self.audit, row, error).await)
    }
}

fn missing_is_unknown(result: Result<(), StoreError>) -> CustomerResult<()> {
    result.map_err(|error| match error {
        StoreError::Conflict(Conflict::Missing) => CustomerError::UnknownUser,
        error => error.into(),
    })
}

fn check_texts(new: &NewUser) -> CustomerResult<Option<EmailAddress>> {
    subject::check_common_name(&new.display_name)?;
    let address = new.email.as_deref().map(EmailAddress::parse).transpose();
    address.map_err(|InvalidAddress(typed)| CustomerError::Email(typed))
}
