//! Login, sessions and what customers do with them.

use std::sync::Arc;

use ca_core::app::{
    account::Account,
    customers::Customers,
    login::LogIn,
    logout::LogOut,
    machines::AdmitMachine,
    manage_users::ManageUsers,
    refuse_form::RefuseForm,
    revoke::Revoke,
    session::{CheckSession, SessionTerms},
};
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::{adapters::Adapters, custody, mail};
use crate::{
    config::{Config, HoursMode},
    http::{
        detached::Detached,
        portal::{Portal, Public},
    },
    material,
};

/// The customers' portal. `sessions` and who is admitted are shared with the other listeners, and so is what a revocation
/// wakes.
pub(super) fn portal(
    config: &Config,
    adapters: &Adapters,
    (session, machines): (Arc<CheckSession>, Arc<AdmitMachine>),
    (detached, revoked): (Detached, Arc<Notify>),
) -> anyhow::Result<Portal> {
    let (customers, revoke) = (Arc::new(adapters.customers()), Arc::new(adapters.revoke(config)));
    Ok(Portal {
        account: Arc::new(account(config, adapters)),
        emails: mail::change_email(config, adapters).map(Arc::new),
        manage: Arc::new(manage_users(config, adapters, customers.clone(), revoke.clone())?),
        history_days: config.retention.periods.logins.unsigned_abs().as_secs() / 86_400,
        login: Arc::new(log_in(config, adapters)),
        session,
        logout: Arc::new(LogOut { logins: adapters.store.clone(), clock: adapters.clock.clone() }),
        revoke,
        customers,
        certificates: Arc::new(adapters.certificates()),
        logins: adapters.store.clone(),
        plans: adapters.store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        issuer: config.customer_issuer().id.clone(),
        public_url: config.listen.public_url.clone(),
        revoked,
        machines,
        forms: Arc::new(refuse_form(config, adapters)),
        metrics: adapters.metrics.clone(),
        detached,
    })
}

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
        },
    })
}

fn refuse_form(config: &Config, adapters: &Adapters) -> RefuseForm {
    RefuseForm {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        issuer: config.customer_issuer().id.clone(),
        budget: Arc::default(),
    }
}

fn log_in(config: &Config, adapters: &Adapters) -> LogIn {
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
        attempts: adapters.attempts.clone(),
        throttles: adapters.throttles.clone(),
        budget: Arc::default(),
    }
}

fn account(config: &Config, adapters: &Adapters) -> Account {
    Account {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        attempts: adapters.attempts.clone(),
        lock_at: config.login.lock_at,
    }
}

fn manage_users(
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
        attempts: adapters.attempts.clone(),
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
