//! Login, sessions and what customers do with them.

use std::sync::Arc;

use ca_core::app::{
    login::LogIn,
    refuse_form::RefuseForm,
    session::{CheckSession, SessionTerms},
};
use jiff::SignedDuration;

use super::adapters::Adapters;
use crate::config::Config;

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
