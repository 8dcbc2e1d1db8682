//! The branch's desk (窓口): contracts and users, tokens and letters, locks and passwords, and 失効. What it takes alone
//! is here; obtaining again after a certificate takes two ([`approvals`](super::approvals)).

use std::sync::Arc;

use secrecy::SecretString;

use super::{Acting, Denied, Guard};
use crate::{
    app::{
        acquisition_code,
        customers::{CodeTerms, CustomerError, Customers, IssuedCode, NewContract, NewUser},
        failure::{Failure, carries_failure},
        revoke::{Revoke, RevokeError},
        trail::{Details, event, foreign, refused},
    },
    domain::{
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        contract::Contract,
        device::Device,
        enrolment::AcquisitionCode,
        ids::{IssuerId, SerialNumber, UserId},
        revocation::{Revocation, RevocationReason},
        staff::Task,
        subject::{self, InvalidText},
        user::{PasswordKind, User, UserState},
    },
    ports::{
        rng::Rng,
        store::{CertificateStore, CustomerStore, RevokeOutcome},
    },
};

/// The use cases of the desk.
pub struct Desk {
    /// Who may.
    pub guard: Guard,
    /// What the desk does to customers.
    pub customers: Customers,
    /// 失効.
    pub revoke: Revoke,
    /// Certificates, and whether there ever was one.
    pub certificates: Arc<dyn CertificateStore>,
    /// Codes that have become worthless.
    pub codes: Arc<dyn CustomerStore>,
    /// Initial passwords.
    pub rng: Arc<dyn Rng>,
    /// How acquisition codes are issued.
    pub terms: CodeTerms,
    /// Whose certificates customers have.
    pub issuer: IssuerId,
}

/// A revocation at the branch.
#[derive(Clone, Debug)]
pub struct BranchRevocation {
    /// The certificate's serial number, as it was sent.
    pub serial: String,
    /// Why: the name of a reason in RFC 5280, as it was sent.
    pub reason: String,
    /// How the clerk checked who asks for it.
    pub identity: String,
}

/// Why the desk did nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The member's roles.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A rule about contracts and users.
    #[error(transparent)]
    Customer(CustomerError),
    /// The user had a certificate before: obtaining again takes a second member of staff.
    #[error("the user had a certificate before; a second member of staff has to approve")]
    TakesTwo,
    /// How identity was checked isn't said.
    #[error(transparent)]
    Identity(InvalidText),
    /// No such certificate, or nothing that a certificate could have as its number.
    #[error("there is no such certificate")]
    UnknownCertificate,
    /// A reason that a clerk can't give.
    #[error("the reason is not one that a clerk can give")]
    Reason,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(DeskError: store::StoreError);

impl From<CustomerError> for DeskError {
    fn from(error: CustomerError) -> Self {
        match error {
            CustomerError::Failure(failure) => Self::Failure(failure),
            error => Self::Customer(error),
        }
    }
}

impl From<RevokeError> for DeskError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Failure(failure) => Self::Failure(failure),
            RevokeError::UnknownUser => Self::Customer(CustomerError::UnknownUser),
            error => Self::Failure(Failure::defect(error)),
        }
    }
}

type DeskResult<T> = Result<T, DeskError>;

impl Desk {
    /// Registers a contract.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn register_contract(&self, acting: &Acting, new: NewContract) -> DeskResult<Contract> {
        self.guard.permit(acting, Task::KeepCustomers, &new.number).await?;
        Ok(self.customers.register_contract(acting.actor(), new).await?)
    }

    /// Registers a user within the contract's plan.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn register_user(&self, acting: &Acting, new: NewUser) -> DeskResult<User> {
        self.guard.permit(acting, Task::KeepCustomers, &new.id).await?;
        Ok(self.customers.register_user(acting.actor(), new).await?)
    }

    /// Assigns a user's first token.
    ///
    /// # Errors
    /// `TakesTwo` when the user had a certificate.
    pub async fn assign_token(&self, acting: &Acting, user: &UserId, device: &Device) -> DeskResult<()> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        self.first_time_only(acting, user).await?;
        Ok(self.customers.assign_device(acting.actor(), user, Some(device)).await?)
    }

    /// Takes an assigned token away.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn release_token(&self, acting: &Acting, user: &UserId) -> DeskResult<()> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        Ok(self.customers.assign_device(acting.actor(), user, None).await?)
    }

    /// Issues the acquisition code of a user's first letter; it is shown this once.
    ///
    /// # Errors
    /// `TakesTwo` when the user had a certificate.
    pub async fn issue_code(&self, acting: &Acting, user: &UserId) -> DeskResult<IssuedCode> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        self.first_time_only(acting, user).await?;
        Ok(self.customers.issue_acquisition_code(acting.actor(), user, self.terms).await?)
    }

    async fn first_time_only(&self, acting: &Acting, user: &UserId) -> DeskResult<()> {
        self.not_removed(user).await?;
        let certificates = self.certificates.certificates_of(user).await?;
        if certificates.iter().all(|certificate| certificate.state == CertificateState::Abandoned) {
            return Ok(());
        }
        let row = self.row(acting, "user.reobtain-refused", user).with("reason", "takes-two");
        Err(refused(&*self.guard.audit, row, DeskError::TakesTwo).await)
    }

    /// Gives a user an initial password for the letter, in place of one that was forgotten. Sessions end.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn reset_password(
        &self,
        acting: &Acting,
        user: &UserId,
        kind: PasswordKind,
    ) -> DeskResult<SecretString> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        self.not_removed(user).await?;
        // As many random bits as an acquisition code, and as easy to copy from paper.
        let password = acquisition_code::from_random(&self.rng.bytes());
        self.customers.set_password(acting.actor(), user, kind, password.clone()).await?;
        Ok(password)
    }

    /// For a user who was removed there is nothing to be done any more.
    async fn not_removed(&self, user: &UserId) -> DeskResult<()> {
        match self.customers.user(user).await?.state {
            UserState::Removed => Err(DeskError::Customer(CustomerError::UnknownUser)),
            UserState::Active | UserState::Suspended => Ok(()),
        }
    }

    /// IDロック解除.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn unlock(&self, acting: &Acting, user: &UserId) -> DeskResult<()> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        self.not_removed(user).await?;
        Ok(self.customers.unlock(acting.actor(), user).await?)
    }

    /// 利用停止, or its end, also that of a 緊急停止 (rule 14).
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn suspend(&self, acting: &Acting, user: &UserId, suspended: bool) -> DeskResult<()> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        let state = if suspended { UserState::Suspended } else { UserState::Active };
        Ok(self.customers.set_state(acting.actor(), user, state).await?)
    }

    /// Removes a user for good, certificate first.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn remove(&self, acting: &Acting, user: &UserId) -> DeskResult<()> {
        self.guard.permit(acting, Task::KeepCustomers, user).await?;
        self.guard.permit(acting, Task::Revoke, user).await?;
        // Without a certificate there is nothing to revoke, and that is as good.
        let reason = RevocationReason::CessationOfOperation;
        let _nothing_to_revoke = self.revoke.by_user(acting.actor(), user, reason).await?;
        Ok(self.customers.set_state(acting.actor(), user, UserState::Removed).await?)
    }

    /// 失効, at once and by one person. What the user could obtain again with goes too: an assigned token and a code that
    /// is out. Asked again, it finishes what was left undone.
    ///
    /// # Errors
    /// `Reason`, `Identity`, `UnknownCertificate`.
    pub async fn revoke(&self, acting: &Acting, asked: BranchRevocation) -> DeskResult<Revocation> {
        self.guard.permit(acting, Task::Revoke, &asked.serial).await?;
        let (serial, reason) = match read(&asked) {
            Ok(read) => read,
            Err(unreadable) => {
                let row = self.row(acting, "certificate.revoke-refused", foreign(&asked.serial));
                let row = row.with("why", unreadable.code());
                return Err(refused(&*self.guard.audit, row, unreadable.into()).await);
            }
        };
        let identity = asked.identity;
        let record = self.certificates.certificate(&self.issuer, &serial).await?;
        let about = record.as_ref().map_or(serial.to_string(), |record| record.user.to_string());
        let checked = self.row(acting, "identity.checked", about);
        self.guard.audit.append(checked.with("for", &serial).with("how", &identity)).await?;
        let revocation = match self.revoke.by_serial(acting.actor(), &self.issuer, &serial, reason).await? {
            RevokeOutcome::Revoked(revocation) | RevokeOutcome::Already(revocation) => revocation,
            RevokeOutcome::Unknown => return Err(DeskError::UnknownCertificate),
        };
        if let Some(record) = record {
            self.unbind(acting, &record).await?;
        }
        Ok(revocation)
    }

    /// Rule 12 would let an assigned token or a code that is out obtain the next certificate, without a second person.
    async fn unbind(&self, acting: &Acting, record: &CertificateRecord) -> DeskResult<()> {
        let user = self.customers.user(&record.user).await?;
        if user.state == UserState::Removed {
            return Ok(());
        }
        if user.assigned_device.is_some() {
            self.customers.assign_device(acting.actor(), &user.id, None).await?;
        }
        if let Some(code) = self.codes.acquisition_code(&user.id).await? {
            let row = self.row(acting, "user.code-withdrawn", &user.id);
            let burnt = AcquisitionCode { attempts_left: 0, expires_at: row.at, ..code };
            self.codes.set_acquisition_code(&user.id, &burnt, row).await?;
        }
        Ok(())
    }

    fn row(&self, acting: &Acting, action: &'static str, subject: impl std::fmt::Display) -> AuditEvent {
        event(self.guard.clock.now(), acting.actor(), action, subject)
    }
}

/// What is wrong with what a clerk asks for.
enum Unreadable {
    Serial,
    Reason,
    Identity(InvalidText),
}

impl Unreadable {
    /// In a word, for the trail.
    fn code(&self) -> &'static str {
        match self {
            Self::Serial => "serial-number",
            Self::Reason => "reason",
            Self::Identity(_) => "identity",
        }
    }
}

impl From<Unreadable> for DeskError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Serial => Self::UnknownCertificate,
            Unreadable::Reason => Self::Reason,
            Unreadable::Identity(error) => Self::Identity(error),
        }
    }
}

fn read(asked: &BranchRevocation) -> Result<(SerialNumber, RevocationReason), Unreadable> {
    let serial = SerialNumber::parse(&asked.serial).map_err(|_| Unreadable::Serial)?;
    // A certificate is superseded by its renewal, and by nothing else.
    let reason = RevocationReason::parse(&asked.reason).filter(|r| *r != RevocationReason::Superseded);
    let reason = reason.ok_or(Unreadable::Reason)?;
    subject::check_note("note on identity", &asked.identity).map_err(Unreadable::Identity)?;
    Ok((serial, reason))
}
