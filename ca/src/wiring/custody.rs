//! Tokens for life: PUKs in custody, blocked PINs, what was erased, and where tokens are.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::{
    audit_budget::AuditBudget,
    custody::{
        deposit::Deposits,
        erasure::TellErasure,
        reseal::Reseal,
        seal::CustodyKeys,
        unblock::{DecideUnblocking, Unblock, UnblockTerms},
    },
    inventory::Inventory,
};
use jiff::SignedDuration;

use super::adapters::Adapters;
use crate::{adapters::passwords::Argon2Passwords, config::Config, material};

/// The agent's side.
pub(super) struct Agents {
    pub(super) deposits: Arc<Deposits>,
    pub(super) unblock: Arc<Unblock>,
    pub(super) erasure: Arc<TellErasure>,
    pub(super) keeps_puks: bool,
}

pub(super) fn agents(
    config: &Config,
    adapters: &Adapters,
    passwords: Arc<Argon2Passwords>,
    budget: &Arc<AuditBudget>,
) -> anyhow::Result<Agents> {
    let keys = material::custody_keys(config)?.map(Arc::new);
    let store = &adapters.store;
    let deposits = Deposits {
        custody: store.clone(),
        certificates: store.clone(),
        audit: store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        budget: budget.clone(),
        keys: keys.clone(),
    };
    let erasure = TellErasure {
        certificates: store.clone(),
        revoke: Arc::new(adapters.revoke(config)),
        audit: store.clone(),
        clock: adapters.clock.clone(),
        budget: budget.clone(),
        issuer: config.customer_issuer().id.clone(),
    };
    let unblock = Unblock {
        customers: store.clone(),
        logins: store.clone(),
        certificates: store.clone(),
        custody: store.clone(),
        audit: store.clone(),
        passwords,
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        throttles: adapters.throttles.clone(),
        budget: budget.clone(),
        keys: keys.clone(),
        terms: terms(config)?,
    };
    Ok(Agents {
        deposits: Arc::new(deposits),
        unblock: Arc::new(unblock),
        erasure: Arc::new(erasure),
        keeps_puks: keys.is_some(),
    })
}

fn terms(config: &Config) -> anyhow::Result<UnblockTerms> {
    let Some(custody) = &config.token_custody else { return Ok(UnblockTerms::default()) };
    Ok(UnblockTerms {
        waiting: SignedDuration::try_from(custody.waiting)?,
        fetching: SignedDuration::try_from(custody.fetching)?,
        a_day: custody.requests_per_day,
        ..UnblockTerms::default()
    })
}

/// The approvers' side.
pub(super) fn decide(config: &Config, adapters: &Adapters) -> anyhow::Result<DecideUnblocking> {
    Ok(DecideUnblocking {
        custody: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        terms: terms(config)?,
    })
}

/// Where tokens are.
pub(super) fn inventory(config: &Config, adapters: &Adapters) -> Inventory {
    Inventory {
        tokens: adapters.store.clone(),
        custody: adapters.store.clone(),
        revoke: Arc::new(adapters.revoke(config)),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
    }
}

/// What `inro-ca token custody` works with.
pub(crate) struct CustodyDesk {
    pub(crate) reseal: Reseal,
    pub(crate) keys: Arc<CustodyKeys>,
}

/// Opens the ledger for `inro-ca token custody`.
///
/// # Errors
/// When there is no section `[token_custody]`, or ledger or key file can't be used.
pub(crate) async fn custody_desk(config: &Config) -> anyhow::Result<CustodyDesk> {
    let keys = material::custody_keys(config)?;
    let keys = keys.context("token_custody: there is no such section; add it with key_file")?;
    let (keys, adapters) = (Arc::new(keys), Adapters::open(config).await?);
    let reseal = Reseal {
        custody: adapters.store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        keys: keys.clone(),
    };
    Ok(CustodyDesk { reseal, keys })
}
