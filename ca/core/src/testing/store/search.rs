//! Searches in memory.

use async_trait::async_trait;

use super::{MemoryStore, State, is_living};
use crate::{
    domain::{
        audit::AuditRow,
        contract::Contract,
        ids::{ContractNumber, TokenSerial, UserId},
        user::User,
    },
    ports::{
        search::{AuditFilter, NOT_BY_SUBJECT, SearchStore},
        store::StoreResult,
    },
};

#[async_trait]
impl SearchStore for MemoryStore {
    async fn contracts_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &ContractNumber)>,
        limit: u32,
    ) -> StoreResult<Vec<Contract>> {
        self.query("contracts_by_name", |state| {
            let mut found: Vec<&Contract> =
                state.contracts.values().filter(|contract| contract.name.starts_with(prefix)).collect();
            found.sort_by_key(|contract| (&contract.name, &contract.number));
            let beyond = |contract: &&&Contract| {
                after.is_none_or(|after| (contract.name.as_str(), &contract.number) > after)
            };
            found.iter().filter(beyond).take(limit as usize).map(|found| (*found).clone()).collect()
        })
    }

    async fn users_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &UserId)>,
        limit: u32,
    ) -> StoreResult<Vec<User>> {
        self.query("users_by_name", |state| {
            let mut found: Vec<&User> =
                state.users().filter(|user| user.display_name.starts_with(prefix)).collect();
            found.sort_by_key(|user| (&user.display_name, &user.id));
            let beyond =
                |user: &&&User| after.is_none_or(|after| (user.display_name.as_str(), &user.id) > after);
            found.iter().filter(beyond).take(limit as usize).map(|found| (*found).clone()).collect()
        })
    }

    async fn users_by_id(&self, prefix: &str, after: Option<&UserId>, limit: u32) -> StoreResult<Vec<User>> {
        self.query("users_by_id", |state| {
            let found = state.users().filter(|user| user.id.as_str().starts_with(prefix));
            let beyond = found.filter(|user| after.is_none_or(|after| user.id > *after));
            beyond.take(limit as usize).cloned().collect()
        })
    }

    async fn users_by_token(&self, serial: &TokenSerial) -> StoreResult<Vec<User>> {
        self.query("users_by_token", |state| {
            let carries = |user: &&User| {
                user.assigned_device.as_ref().is_some_and(|device| device.serial == *serial)
                    || state.certificates.iter().map(|row| &row.record).any(|record| {
                        record.user == user.id && record.device.serial == *serial && is_living(&record.state)
                    })
            };
            state.users().filter(carries).cloned().collect()
        })
    }

    async fn audit_about(&self, subject: &str, before: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        self.query("audit_about", |state| {
            let about = |row: &&AuditRow| {
                row.subject == subject
                    && row.sequence < before
                    && !NOT_BY_SUBJECT.contains(&row.action.as_str())
            };
            state.audit.iter().rev().filter(about).take(limit as usize).cloned().collect()
        })
    }

    async fn audit_before(
        &self,
        filter: &AuditFilter,
        before: u64,
        window: u64,
        limit: u32,
    ) -> StoreResult<Vec<AuditRow>> {
        self.query("audit_before", |state| {
            let within =
                |row: &&AuditRow| row.sequence < before && row.sequence >= before.saturating_sub(window);
            let passing = state.audit.iter().rev().filter(within).filter(|row| filter.passes(row));
            passing.take(limit as usize).cloned().collect()
        })
    }
}

impl State {
    fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(|row| &row.user)
    }
}

impl AuditFilter {
    fn passes(&self, row: &AuditRow) -> bool {
        let action = |wanted: &String| match wanted.strip_suffix('.') {
            Some(_) => row.action.starts_with(wanted.as_str()),
            None => row.action == *wanted,
        };
        self.actor.as_ref().is_none_or(|actor| row.actor == *actor)
            && self.action.as_ref().is_none_or(action)
            && self.subject.as_ref().is_none_or(|subject| row.subject == *subject)
            && self.from.is_none_or(|from| row.at_ms >= from.as_millisecond())
            && self.until.is_none_or(|until| row.at_ms < until.as_millisecond())
    }
}
