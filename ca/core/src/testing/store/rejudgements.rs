//! Plans after a new judgement, in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, conflict};
use crate::{
    domain::audit::AuditEvent,
    ports::{
        rejudgements::{Fallen, NewRejudgement, PlanEnd, Rejudgement, RejudgementStore},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl RejudgementStore for MemoryStore {
    async fn plan_rejudgement(&self, plan: &NewRejudgement, audit: AuditEvent) -> StoreResult<u64> {
        self.commit("plan_rejudgement", |state| {
            let mut fallen = plan.fallen.clone();
            fallen.sort_by(|a, b| (&a.issuer, &a.serial).cmp(&(&b.issuer, &b.serial)));
            let id = state.rejudgements.len() as u64 + 1;
            let standing = Rejudgement {
                id,
                by: plan.by.clone(),
                at: plan.at,
                basis: plan.basis.clone(),
                judged: plan.judged,
                fallen: fallen.len() as u64,
                revoke_at: plan.revoke_at,
                reason: plan.reason,
                ended: None,
            };
            state.rejudgements.push((standing, fallen));
            state.append(&audit);
            Ok(id)
        })
    }

    async fn rejudgements(&self) -> StoreResult<Vec<Rejudgement>> {
        self.query("rejudgements", |state| state.rejudgements.iter().map(|(plan, _)| plan.clone()).collect())
    }

    async fn fallen(&self, plan: u64) -> StoreResult<Vec<Fallen>> {
        self.query("fallen", |state| {
            let found = state.rejudgements.iter().find(|(known, _)| known.id == plan);
            found.map_or_else(Vec::new, |(_, fallen)| fallen.clone())
        })
    }

    async fn end_rejudgement(
        &self,
        plan: u64,
        end: PlanEnd,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("end_rejudgement", |state| {
            let found = state.rejudgements.iter_mut().find(|(known, _)| known.id == plan);
            let (known, _) = found.ok_or(conflict(Conflict::Missing))?;
            if known.ended.is_some() {
                return Err(conflict(Conflict::Missing));
            }
            known.ended = Some((end, at));
            state.append(&audit);
            Ok(())
        })
    }
}
