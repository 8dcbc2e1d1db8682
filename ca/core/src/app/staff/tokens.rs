//! The branch's part in the life of tokens: where each is, and whose PIN is unblocked. A loss is urgent and reported by
//! one person; an unblocking has two already, the user who asks and the clerk who approves.

use std::sync::Arc;

use uuid::Uuid;

use super::{Acting, Denied, Guard};
use crate::{
    app::{
        custody::unblock::{DecideError, DecideUnblocking},
        failure::{Failure, carries_failure},
        inventory::{Inventory, InventoryError, Moved},
        trail::{Details, event, refused},
    },
    domain::{
        audit::AuditRow,
        certificate::CertificateRecord,
        custody::Unblocking,
        device::Device,
        enrolment::AcquisitionCode,
        ids::UserId,
        policy::{TokenRecord, TokenState},
        staff::Task,
        subject::{self, InvalidText},
    },
    ports::{custody::CustodyStore, inventory::TokenFilter, search::SearchStore, store::CustomerStore},
};

/// Requests on a page at the most.
const PAGE: u32 = 100;
/// Tokens on a page at the most.
pub const TOKENS: u32 = 200;

/// The use cases.
pub struct Tokens {
    /// Who may.
    pub guard: Guard,
    /// Where tokens are.
    pub inventory: Inventory,
    /// What is on them, and who asks for their PIN.
    pub custody: Arc<dyn CustodyStore>,
    /// Approving and declining.
    pub decide: DecideUnblocking,
    /// Codes that have become worthless.
    pub customers: Arc<dyn CustomerStore>,
    /// The trail of a token.
    pub search: Arc<dyn SearchStore>,
}

/// A token with everything about it.
#[derive(Debug)]
pub struct TokenPage {
    /// The inventory's row, if it has one.
    pub record: Option<TokenRecord>,
    /// What stands on it.
    pub living: Vec<CertificateRecord>,
    /// Whether the bank keeps its PUK.
    pub keeps_puk: bool,
    /// What happened.
    pub rows: Vec<AuditRow>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The member's roles.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// How identity was checked, or what happened, isn't said.
    #[error(transparent)]
    Note(#[from] InvalidText),
    /// A rule of the inventory.
    #[error(transparent)]
    Inventory(InventoryError),
    /// The request can't be decided.
    #[error(transparent)]
    Decide(DecideError),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(TokenError: store::StoreError);

impl From<InventoryError> for TokenError {
    fn from(error: InventoryError) -> Self {
        match error {
            InventoryError::Failure(failure) => Self::Failure(failure),
            error => Self::Inventory(error),
        }
    }
}

impl From<DecideError> for TokenError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Failure(failure) => Self::Failure(failure),
            error => Self::Decide(error),
        }
    }
}

type TokenResult<T> = Result<T, TokenError>;

impl Tokens {
    /// Moves a token, known to the inventory or not. What stands on it is revoked at once where it serves nobody any
    /// more, and the user can't obtain anything with a letter that is out (rule 12).
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn put(
        &self,
        acting: &Acting,
        device: &Device,
        next: &TokenState,
        note: &str,
    ) -> TokenResult<Moved> {
        self.guard.permit(acting, Task::KeepCustomers, &device.serial).await?;
        let ends = !matches!(next, TokenState::InStock | TokenState::HandedOut { .. });
        if ends {
            self.guard.permit(acting, Task::Revoke, &device.serial).await?;
        }
        if let Err(error) = subject::check_note("note", note) {
            let row = event(self.guard.clock.now(), acting.actor(), "token.refused", &device.serial);
            return Err(refused(&*self.guard.audit, row.with("why", "note"), TokenError::Note(error)).await);
        }
        let holders: Vec<UserId> = if ends {
            self.custody.living_on(device).await?.into_iter().map(|record| record.user).collect()
        } else {
            Vec::new()
        };
        let moved = self.inventory.report(&acting.actor(), device, next, Some(note)).await?;
        for user in holders.iter().chain(&moved.before.user) {
            self.withdraw_code(acting, user).await?;
        }
        Ok(moved)
    }

    async fn withdraw_code(&self, acting: &Acting, user: &UserId) -> TokenResult<()> {
        let Some(code) = self.customers.acquisition_code(user).await? else { return Ok(()) };
        let row = event(self.guard.clock.now(), acting.actor(), "user.code-withdrawn", user);
        let burnt = AcquisitionCode { attempts_left: 0, expires_at: row.at, ..code };
        Ok(self.customers.set_acquisition_code(user, &burnt, row).await?)
    }

    /// A token; one that nobody ever heard of has an empty page.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn show(&self, acting: &Acting, device: &Device) -> TokenResult<TokenPage> {
        self.guard.permit(acting, Task::ReadCustomers, &device.serial).await?;
        Ok(TokenPage {
            record: self.inventory.tokens.token(device).await?,
            living: self.custody.living_on(device).await?,
            keeps_puk: !self.custody.puks_of(device).await?.is_empty(),
            rows: self.search.audit_about(device.serial.as_str(), u64::MAX, PAGE).await?,
        })
    }

    /// The tokens in a state, or all; [`TOKENS`] at the most after `after`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn list(
        &self,
        acting: &Acting,
        state: Option<&'static str>,
        after: Option<&Device>,
    ) -> TokenResult<Vec<TokenRecord>> {
        self.guard.permit(acting, Task::ReadCustomers, "tokens").await?;
        let filter = state.map_or(TokenFilter::All, TokenFilter::InState);
        Ok(self.inventory.tokens.tokens(&filter, after, TOKENS).await?)
    }

    /// The unblockings that wait for somebody.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn waiting(&self, acting: &Acting) -> TokenResult<Vec<Unblocking>> {
        self.guard.permit(acting, Task::ReadCustomers, "unblockings").await?;
        Ok(self.custody.waiting_unblockings(self.guard.clock.now(), PAGE).await?)
    }

    /// Approves an unblocking, or declines it. How the user was identified is said.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn decide(
        &self,
        acting: &Acting,
        id: Uuid,
        approved: bool,
        identity: &str,
    ) -> TokenResult<Unblocking> {
        self.guard.permit(acting, Task::KeepCustomers, id).await?;
        if let Err(error) = subject::check_note("note on identity", identity) {
            let row = event(self.guard.clock.now(), acting.actor(), "unblocking.decision-refused", id);
            let row = row.with("why", "identity");
            return Err(refused(&*self.guard.audit, row, TokenError::Note(error)).await);
        }
        Ok(self.decide.decide(acting.actor(), (id, None), approved, Some(identity)).await?)
    }
}
