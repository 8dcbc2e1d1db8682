//! The adapters, opened, and the use cases that the command line and the server share.

use std::sync::Arc;

use ca_core::{
    app::{
        accord::Accords, certificates::Certificates, customers::Customers, policies::Policies, revoke::Revoke,
    },
    domain::{
        business_hours::{BankCalendar, IssuingHours},
        policy::IssuancePolicy,
    },
    ports::{census::LedgerCensus, clock::Clock, ledger::Ledger, rng::Rng, signer::Signer},
};

use jiff::Timestamp;

use super::ledger;
use crate::{
    adapters::{clock::SystemClock, passwords::Argon2Passwords, rng::SystemRng, signer::Signers},
    config::{Config, TomlPolicies},
    metrics::Metrics,
};

/// The adapters.
pub(crate) struct Adapters {
    pub(crate) store: Arc<dyn Ledger>,
    pub(crate) signers: Arc<Signers>,
    pub(super) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(super) passwords: Arc<Argon2Passwords>,
    pub(crate) metrics: Arc<Metrics>,
    /// The policies in force, for who assigns tokens: the hours of issuing are nothing to them.
    pub(super) policies: Arc<Policies>,
    /// Whether ledger and journals agree, for all that work with them.
    pub(crate) accords: Accords,
}

impl Adapters {
    /// Opens the ledger; connects to no signer yet.
    ///
    /// # Errors
    /// When the ledger is missing or its schema isn't this program's.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let store = ledger::open(config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let no_hours = IssuingHours::BankBusinessHours(BankCalendar::default());
        Ok(Self {
            policies: policies(config, no_hours, &store, &clock),
            store,
            signers: Arc::new(Signers::new(&config.issuers, metrics.clone())),
            clock,
            rng: Arc::new(SystemRng),
            passwords: Arc::new(Argon2Passwords::new(&config.passwords)?),
            accords: Accords::new(config.issuers.iter().map(|issuer| issuer.id.clone())),
            metrics,
        })
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn signer(&self) -> Arc<dyn Signer> {
        self.signers.clone()
    }

    pub(super) fn census(&self) -> Arc<dyn LedgerCensus> {
        self.store.clone()
    }

    pub(super) fn customers(&self) -> Customers {
        Customers {
            customers: self.store.clone(),
            logins: self.store.clone(),
            audit: self.store.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            policies: self.policies.clone(),
            inventory: self.store.clone(),
        }
    }

    /// The policies in force, with the hours of issuing.
    pub(super) fn policies_with(&self, config: &Config, hours: IssuingHours) -> Arc<Policies> {
        policies(config, hours, &self.store, &self.clock)
    }

    pub(super) fn certificates(&self) -> Certificates {
        Certificates { certificates: self.store.clone() }
    }

    pub(super) fn revoke(&self, config: &Config) -> Revoke {
        Revoke {
            customers: self.store.clone(),
            logins: self.store.clone(),
            certificates: self.store.clone(),
            revocations: self.store.clone(),
            audit: self.store.clone(),
            signer: self.signer(),
            signers: self.store.clone(),
            accords: self.accords.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            issuer: config.customer_issuer().id.clone(),
            lock_at: config.login.lock_at,
        }
    }
}

fn policies(
    config: &Config,
    hours: IssuingHours,
    store: &Arc<dyn Ledger>,
    clock: &Arc<dyn Clock>,
) -> Arc<Policies> {
    let bank = IssuancePolicy {
        id: config.policy.id.clone(),
        hours: Arc::new(hours),
        rules: config.policy.rules.clone(),
        hold_from: None,
    };
    Arc::new(Policies::new(store.clone(), Arc::new(TomlPolicies), clock.clone(), Arc::new(bank)))
}
