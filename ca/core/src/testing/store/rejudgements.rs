//! Plans after a new judgement, in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::{CertificateRecord, CertificateState},
        ids::{IssuerId, SerialNumber},
        mail::MailState,
    },
    ports::{
        rejudgements::{Fallen, NewRejudgement, PlanEnd, Rejudgement, RejudgementStore},
        store::{Conflict, RevokeOutcome, StoreResult},
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
            state.rejudgements.push((standing, fallen.clone()));
            for one in &fallen {
                state.tell_of_plan(one, plan.at);
            }
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

    async fn planned_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<Timestamp>> {
        self.query("planned_revocation", |state| state.planned_revocation(issuer, serial))
    }

    async fn revoke_fallen(
        &self,
        plan: u64,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        self.commit("revoke_fallen", |state| {
            let mut standing = state.rejudgements.iter().filter(|(known, _)| known.ended.is_none());
            let named = standing.find(|(known, all)| {
                known.id == plan && all.iter().any(|one| one.issuer == *issuer && one.serial == *serial)
            });
            let reason = named.ok_or(conflict(Conflict::Missing))?.0.reason;
            Ok(state.revoke(issuer, serial, reason, at, &audit))
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
            let (known, fallen) = found.ok_or(conflict(Conflict::Missing))?;
            if known.ended.is_some() {
                return Err(conflict(Conflict::Missing));
            }
            known.ended = Some((end, at));
            for one in &fallen.clone() {
                state.tell_of_plan(one, at);
            }
            state.append(&audit);
            Ok(())
        })
    }
}

impl State {
    /// When the first plan that stands has a certificate revoked.
    pub(super) fn planned_revocation(&self, issuer: &IssuerId, serial: &SerialNumber) -> Option<Timestamp> {
        let standing = self.rejudgements.iter().filter(|(plan, _)| plan.ended.is_none());
        let naming =
            standing.filter(|(_, all)| all.iter().any(|one| one.issuer == *issuer && one.serial == *serial));
        naming.map(|(plan, _)| plan.revoke_at).min()
    }

    /// Queues a mail to the user of a living certificate where the date that was told last isn't the present one.
    fn tell_of_plan(&mut self, fallen: &Fallen, at: Timestamp) {
        let record = self.certificate(&fallen.issuer, &fallen.serial).map(|row| &row.record);
        let lives = |record: &&CertificateRecord| matches!(record.state, CertificateState::Issued { .. });
        let Some(user) = record.filter(lives).map(|record| record.user.clone()) else { return };
        let about = (fallen.issuer.clone(), fallen.serial.clone());
        let due = self.planned_revocation(&about.0, &about.1);
        let counting = self.announcements(Some(&about)).filter(|row| row.mail.state != MailState::Withdrawn);
        let told = counting.last().and_then(|row| row.revoke_at);
        if due != told {
            self.announce(&user, about, due, at);
        }
    }
}
