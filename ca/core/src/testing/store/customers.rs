//! Contracts and users in memory.

use async_trait::async_trait;

use super::{MemoryStore, UserRow, conflict, is_living};
use crate::{
    domain::{
        audit::AuditEvent,
        contract::Contract,
        device::Device,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, UserId},
        user::{Role, User, UserState},
    },
    ports::store::{Conflict, CustomerStore, StoreResult},
};

#[async_trait]
impl CustomerStore for MemoryStore {
    async fn register_contract(&self, contract: &Contract, audit: AuditEvent) -> StoreResult<()> {
        self.commit("register_contract", |state| {
            if state.contracts.contains_key(&contract.number) {
                return Err(conflict(Conflict::Taken));
            }
            state.contracts.insert(contract.number.clone(), contract.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn contract(&self, number: &ContractNumber) -> StoreResult<Option<Contract>> {
        self.query("contract", |state| state.contracts.get(number).cloned())
    }

    async fn contracts(&self) -> StoreResult<Vec<Contract>> {
        self.query("contracts", |state| state.contracts.values().cloned().collect())
    }

    async fn register_user(&self, user: &User, audit: AuditEvent) -> StoreResult<()> {
        self.commit("register_user", |state| {
            if state.users.contains_key(&user.id) {
                return Err(conflict(Conflict::Taken));
            }
            let contract = state.contracts.get(&user.contract).ok_or(conflict(Conflict::Missing))?;
            let peers = state
                .users
                .values()
                .filter(|row| row.user.contract == user.contract && row.user.state != UserState::Removed)
                .filter(|row| row.user.role == user.role)
                .count();
            let room = match user.role {
                Role::Master => 1,
                Role::General => usize::from(contract.plan.general_users),
            };
            if peers >= room {
                return Err(conflict(Conflict::Quota));
            }
            let row = UserRow {
                user: user.clone(),
                login: None,
                confirmation: None,
                initial: Vec::new(),
                wrong_login: 0,
                wrong_confirmation: 0,
                code: None,
            };
            state.users.insert(user.id.clone(), row);
            state.append(&audit);
            Ok(())
        })
    }

    async fn user(&self, id: &UserId) -> StoreResult<Option<User>> {
        self.query("user", |state| state.users.get(id).map(|row| row.user.clone()))
    }

    async fn users_of(&self, contract: &ContractNumber) -> StoreResult<Vec<User>> {
        self.query("users_of", |state| {
            let of_contract = state.users.values().map(|row| &row.user).filter(|u| u.contract == *contract);
            let mut users: Vec<User> = of_contract.cloned().collect();
            users.sort_by_key(|user| (user.role != Role::Master, user.id.clone()));
            users
        })
    }

    async fn set_user_state(&self, id: &UserId, to: UserState, audit: AuditEvent) -> StoreResult<()> {
        self.commit("set_user_state", |state| {
            let row = state.user_mut(id)?;
            if row.user.state == UserState::Removed {
                return Err(conflict(Conflict::Missing));
            }
            row.user.state = to;
            if to == UserState::Removed {
                (row.user.email, row.user.assigned_device) = (None, None);
                (row.login, row.confirmation, row.code) = (None, None, None);
                row.initial.clear();
                state.sessions.retain(|_, session| session.user != *id);
                state.forget_addresses(id);
                state.removals.insert(id.clone(), (audit.at, None));
            }
            state.append(&audit);
            Ok(())
        })
    }

    async fn assign_device(
        &self,
        id: &UserId,
        device: Option<&Device>,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("assign_device", |state| {
            if device.is_some_and(|device| state.device_serves_another(device, id)) {
                return Err(conflict(Conflict::DeviceInUse));
            }
            let contract = state.user_mut(id)?.user.contract.clone();
            if let Some(device) = device {
                state.token_assigned(device, &contract, audit.at)?;
            }
            state.user_mut(id)?.user.assigned_device = device.cloned();
            state.append(&audit);
            Ok(())
        })
    }

    async fn set_acquisition_code(
        &self,
        id: &UserId,
        code: &AcquisitionCode,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("set_acquisition_code", |state| {
            state.user_mut(id)?.code = Some(code.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn acquisition_code(&self, id: &UserId) -> StoreResult<Option<AcquisitionCode>> {
        self.query("acquisition_code", |state| state.users.get(id).and_then(|row| row.code.clone()))
    }

    async fn spend_code_attempt(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("spend_code_attempt", |state| {
            if let Some(row) = state.users.get_mut(id)
                && let Some(code) = &mut row.code
            {
                code.attempts_left = code.attempts_left.saturating_sub(1);
                if code.attempts_left == 0 {
                    row.code = None;
                }
            }
            state.append(&audit);
            Ok(())
        })
    }
}

impl super::State {
    /// A serial belongs to at most one user: assigned to another, or carrying another's living certificate.
    pub(super) fn device_serves_another(&self, device: &Device, user: &UserId) -> bool {
        let assigned = self
            .users
            .values()
            .any(|row| row.user.id != *user && row.user.assigned_device.as_ref() == Some(device));
        let certified = self.certificates.iter().any(|row| {
            row.record.user != *user && row.record.device == *device && is_living(&row.record.state)
        });
        assigned || certified
    }
}
