//! How often a user's passwords are verified at the portal, right or wrong. Verifying is dear on purpose, and whoever holds
//! a good certificate can ask for it: so each user has so many attempts at once and then one in a while, for the login and
//! for every password that is asked for again after it.
//!
//! Nobody else's attempts are touched: only a good certificate of the user's own uses them up. There is no limit by address
//! here, for a company's users share one, and a colleague could use it up for all.

use jiff::Timestamp;

use super::{
    audit_budget::{AuditBudget, note},
    kept::Kept,
};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::UserId,
        throttle::{Rate, Used},
    },
    ports::store::{AuditStore, StoreResult},
};

/// The attempts of one node's users.
#[derive(Debug, Default)]
pub struct Attempts {
    rate: Rate,
    used: Kept<UserId, Used>,
    budget: AuditBudget,
}

impl Attempts {
    /// So many for each user.
    pub fn new(rate: Rate) -> Self {
        Self { rate, used: Kept::default(), budget: AuditBudget::default() }
    }

    /// Uses one attempt of the user's. When none is left it says when the next one is, and writes `refusal` down as far as
    /// the trail has room for it: whoever comes so often fills no disk.
    pub(super) async fn take(
        &self,
        audit: &dyn AuditStore,
        user: &UserId,
        refusal: AuditEvent,
    ) -> StoreResult<Result<(), Timestamp>> {
        let now = refusal.at;
        let matters = |_: &UserId, used: &Used| !used.is_forgotten(now);
        let taken = self
            .used
            .change(1, matters, |users| users.entry(user.clone()).or_default().take(&self.rate, now));
        if taken.is_err() {
            note((audit, &self.budget), "too-often", refusal).await?;
        }
        Ok(taken)
    }
}
