//! A form at the console that didn't come from one of its own pages: another site's, or one that somebody put together. It
//! changes nothing, and it is written down, because an attack on the staff may be under way.

use std::sync::Arc;

use super::session::Presented;
use crate::{
    app::{
        audit_budget::AuditBudget,
        failure::Failure,
        refuse_form::Forgery,
        trail::{Details, event},
    },
    domain::audit::Actor,
    ports::{clock::Clock, staff::StaffStore, store::AuditStore},
};

/// The use case.
pub struct RefuseStaffForm {
    /// Whose browser it was.
    pub staff: Arc<dyn StaffStore>,
    /// Where it is written.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// So many rows a minute.
    pub budget: Arc<AuditBudget>,
}

impl RefuseStaffForm {
    /// Writes it down, as far as the budget goes. `presented` is the connection's certificate.
    ///
    /// # Errors
    /// [`Failure`] when it can't be written; it is refused all the same.
    pub async fn run(&self, presented: Option<&Presented>, forgery: Forgery) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some(unwritten) = self.budget.take(forgery.code(), now) else { return Ok(()) };
        let member = match presented {
            Some(presented) => self.staff.member_by_key(&presented.key_sha256).await?,
            None => None,
        };
        let id = member.map(|member| member.id.to_string());
        let actor = id.clone().map_or(Actor::System, Actor::Staff);
        let mut row = event(now, actor, "staff.form-refused", id.as_deref().unwrap_or("unknown"))
            .with("reason", forgery.code());
        if let Some(presented) = presented {
            row = row.with("serial", &presented.serial);
        }
        if unwritten > 0 {
            row = row.with("unwritten_before", unwritten);
        }
        Ok(self.audit.append(row).await?)
    }
}
