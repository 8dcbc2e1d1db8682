//! Staff and what takes two of them, in memory.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        approval::{Approval, End, Outcome, Standing},
        audit::AuditEvent,
        contract::Plan,
        ids::{ContractNumber, StaffId},
        staff::{Member, MemberState},
        user::{Role, User, UserState},
    },
    ports::{
        staff::{ApprovalStore, Effect, StaffSession, StaffStore},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl StaffStore for MemoryStore {
    async fn put_member(&self, member: &Member, audit: AuditEvent) -> StoreResult<()> {
        self.commit("put_member", |state| {
            state.put_member(member)?;
            state.append(&audit);
            Ok(())
        })
    }

    async fn member(&self, id: &StaffId) -> StoreResult<Option<Member>> {
        self.query("member", |state| state.staff.get(id).cloned())
    }

    async fn member_by_key(&self, key_sha256: &[u8; 32]) -> StoreResult<Option<Member>> {
        self.query("member_by_key", |state| {
            let with_key = || state.staff.values().filter(|member| member.key_sha256 == *key_sha256);
            let active = with_key().find(|member| member.state == MemberState::Active);
            active.or_else(|| with_key().next()).cloned()
        })
    }

    async fn members(&self) -> StoreResult<Vec<Member>> {
        self.query("members", |state| state.staff.values().cloned().collect())
    }

    async fn withdraw_member(&self, id: &StaffId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("withdraw_member", |state| {
            let member = state.staff.get_mut(id).filter(|member| member.state == MemberState::Active);
            member.ok_or(conflict(Conflict::Missing))?.state = MemberState::Withdrawn;
            state.staff_sessions.retain(|_, session| session.member != *id);
            state.append(&audit);
            Ok(())
        })
    }

    async fn open_staff_session(&self, session: &StaffSession, audit: AuditEvent) -> StoreResult<()> {
        self.commit("open_staff_session", |state| {
            let member = state.staff.get(&session.member);
            let stands = |m: &&Member| m.state == MemberState::Active && m.key_sha256 == session.key_sha256;
            member.filter(stands).ok_or(conflict(Conflict::Missing))?;
            state.staff_sessions.insert(session.token_sha256, session.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn staff_session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<StaffSession>> {
        self.query("staff_session", |state| state.staff_sessions.get(token_sha256).cloned())
    }

    async fn touch_staff_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()> {
        self.commit("touch_staff_session", |state| {
            if let Some(session) = state.staff_sessions.get_mut(token_sha256) {
                session.last_used_at = session.last_used_at.max(now);
            }
            Ok(())
        })
    }

    async fn close_staff_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()> {
        self.commit("close_staff_session", |state| {
            if state.staff_sessions.remove(token_sha256).is_some() {
                state.append(&audit);
            }
            Ok(())
        })
    }

    async fn purge_staff_sessions(
        &self,
        idle_since: Timestamp,
        opened_before: Timestamp,
    ) -> StoreResult<u64> {
        self.commit("purge_staff_sessions", |state| {
            let before = state.staff_sessions.len();
            state.staff_sessions.retain(|_, session| {
                session.last_used_at >= idle_since && session.opened_at >= opened_before
            });
            Ok((before - state.staff_sessions.len()) as u64)
        })
    }
}

#[async_trait]
impl ApprovalStore for MemoryStore {
    async fn ask(&self, approval: &Approval, audit: AuditEvent) -> StoreResult<()> {
        self.commit("ask", |state| {
            let same = |other: &&Approval| {
                other.proposal.kind() == approval.proposal.kind()
                    && other.proposal.subject() == approval.proposal.subject()
                    && other.standing(approval.asked_at) == Standing::Open
            };
            if state.approvals.iter().any(|other| other.id == approval.id || same(&other)) {
                return Err(conflict(Conflict::Taken));
            }
            state.approvals.push(approval.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn approval(&self, id: Uuid) -> StoreResult<Option<Approval>> {
        self.query("approval", |state| state.approvals.iter().find(|approval| approval.id == id).cloned())
    }

    async fn open_approvals(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Approval>> {
        self.query("open_approvals", |state| {
            let open = state.approvals.iter().filter(|approval| approval.standing(now) == Standing::Open);
            open.take(limit as usize).cloned().collect()
        })
    }

    async fn recent_approvals(&self, limit: u32) -> StoreResult<Vec<Approval>> {
        self.query("recent_approvals", |state| {
            state.approvals.iter().rev().take(limit as usize).cloned().collect()
        })
    }

    async fn end_approval(
        &self,
        id: Uuid,
        outcome: Outcome,
        by: &StaffId,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("end_approval", |state| {
            let approval = state.open_approval(id, outcome, by, at)?;
            approval.end = Some(End { outcome, by: by.clone(), at });
            state.append(&audit);
            Ok(())
        })
    }

    async fn execute_approval(
        &self,
        id: Uuid,
        by: &StaffId,
        at: Timestamp,
        effect: &Effect,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("execute_approval", |state| {
            state.open_approval(id, Outcome::Executed, by, at)?;
            match effect {
                Effect::Code(user, code) => state.user_mut(user)?.code = Some(code.clone()),
                Effect::Device(user, device) => {
                    if state.device_serves_another(device, user) {
                        return Err(conflict(Conflict::DeviceInUse));
                    }
                    state.user_mut(user)?.user.assigned_device = Some(device.clone());
                }
                Effect::Policy(assignment) => state.assign_policy(assignment)?,
                Effect::Plan(contract, plan) => state.set_plan(contract, *plan)?,
                Effect::Member(member) => state.put_member(member)?,
            }
            let end = End { outcome: Outcome::Executed, by: by.clone(), at };
            state.open_approval(id, Outcome::Executed, by, at)?.end = Some(end);
            state.append(&audit);
            Ok(())
        })
    }
}

impl State {
    fn set_plan(&mut self, number: &ContractNumber, plan: Plan) -> StoreResult<()> {
        let general = |user: &User| {
            user.contract == *number && user.role == Role::General && user.state != UserState::Removed
        };
        let users = self.users.values().filter(|row| general(&row.user)).count();
        let contract = self.contracts.get_mut(number).ok_or(conflict(Conflict::Missing))?;
        if users > usize::from(plan.general_users) {
            return Err(conflict(Conflict::Quota));
        }
        contract.plan = plan;
        Ok(())
    }

    fn put_member(&mut self, member: &Member) -> StoreResult<()> {
        let taken = |other: &Member| {
            other.id != member.id
                && other.key_sha256 == member.key_sha256
                && other.state == MemberState::Active
                && member.state == MemberState::Active
        };
        if self.staff.values().any(taken) {
            return Err(conflict(Conflict::Taken));
        }
        self.staff.insert(member.id.clone(), member.clone());
        self.staff_sessions.retain(|_, session| session.member != member.id);
        Ok(())
    }

    fn open_approval(
        &mut self,
        id: Uuid,
        outcome: Outcome,
        by: &StaffId,
        at: Timestamp,
    ) -> StoreResult<&mut Approval> {
        let approval = self.approvals.iter_mut().find(|approval| approval.id == id);
        let approval = approval.ok_or(conflict(Conflict::Missing))?;
        let staff: Vec<Member> = self.staff.values().cloned().collect();
        match approval.check(outcome, by, &staff, at) {
            Ok(()) => Ok(approval),
            Err(barred) => Err(conflict(Conflict::Barred(barred))),
        }
    }
}
