//! Login, sessions and what customers do with them.

use std::sync::Arc;

use ca_core::app::{
    account::Account,
    customers::Customers,
    login::LogIn,
    manage_users::ManageUsers,
    refuse_form::RefuseForm,
    revoke::Revoke,
    session::{CheckSession, SessionTerms},
};
use jiff::SignedDuration;

use super::{adapters::Adapters, custody};
use crate::{
    config::{Config, HoursMode},
    http::portal::Public,
    material,
};

pub(super) fn check_session(config: &Config, adapters: &Adapters) -> anyhow::Result<CheckSession> {
    Ok(CheckSession {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        terms: SessionTerms {
            idle: SignedDuration::try_from(config.login.idle)?,
            absolute: SignedDuration::try_from(config.login.absolute)?,
            history: SignedDuration::try_from(config.retention.logins)?,
        },
    })
}

pub(super) fn refuse_form(config: &Config, adapters: &Adapters) -> RefuseForm {
    RefuseForm {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        issuer: config.customer_issuer().id.clone(),
        budget: Arc::default(),
    }
}

pub(super) fn log_in(config: &Config, adapters: &Adapters) -> LogIn {
    LogIn {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        issuer: config.customer_issuer().id.clone(),
        lock_at: config.login.lock_at,
        budget: Arc::default(),
    }
}

pub(super) fn account(config: &Config, adapters: &Adapters) -> Account {
    Account {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        lock_at: config.login.lock_at,
    }
}

pub(super) fn manage_users(
    config: &Config,
    adapters: &Adapters,
    customers: Arc<Customers>,
    revoke: Arc<Revoke>,
) -> anyhow::Result<ManageUsers> {
    Ok(ManageUsers {
        customers,
        revoke,
        inventory: Arc::new(custody::inventory(config, adapters)),
        unblockings: custody::decide(config, adapters)?,
        certificates: adapters.store.clone(),
        logins: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        lock_at: config.login.lock_at,
    })
}

pub(super) fn public(config: &Config) -> anyhow::Result<Public> {
    Ok(Public {
        client_url: config.listen.client_url.clone(),
        url: config.listen.public_url.clone(),
        always_open: config.hours.mode == HoursMode::AlwaysOpen,
        download: Some(config.enrolment.agent_download.clone()).filter(|url| !url.is_empty()),
        lowest_agent: config.enrolment.lowest_agent.clone(),
        newest_agent: config.enrolment.newest_agent.clone(),
        packages: material::packages(&config.enrolment)?,
    })
}
