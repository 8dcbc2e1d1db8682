//! The adapters, opened, and the use cases that the command line and the server share.

use std::sync::Arc;

use ca_core::{
    app::{
        accord::Accords,
        attempts::Attempts,
        certificates::Certificates,
        customers::Customers,
        policies::Policies,
        revoke::Revoke,
        throttles::{ThrottlePolicies, Throttles},
    },
    domain::{
        business_hours::{BankCalendar, IssuingHours},
        policy::IssuancePolicy,
        throttle::{Rate, ThrottlePolicy},
    },
    ports::{census::LedgerCensus, clock::Clock, ledger::Ledger, rng::Rng, signer::Signer},
};

use jiff::{SignedDuration, Timestamp};

use super::ledger;
use crate::{
    adapters::{clock::SystemClock, passwords::Argon2Passwords, rng::SystemRng, signer::Signers},
    config::{Config, Enrolment, TomlPolicies},
    jobs::Leader,
    metrics::Metrics,
};

/// The adapters.
pub(crate) struct Adapters {
    pub(crate) store: Arc<dyn Ledger>,
    pub(crate) signers: Arc<Signers>,
    pub(super) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(super) passwords: Arc<Argon2Passwords>,
    /// How many passwords of a user are looked at, at the login and after it together.
    pub(super) attempts: Arc<Attempts>,
    /// The failures at the enrolment API; the portal tells it who logged in from where.
    pub(super) throttles: Arc<Throttles>,
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
            attempts: Arc::new(Attempts::new(Rate {
                at_once: config.login.attempts_at_once,
                every: SignedDuration::try_from(config.login.attempt_every)?,
            })),
            throttles: Arc::new(throttles(&config.enrolment)?),
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

    /// This node's part in leading a job.
    pub(super) fn leader(&self, config: &Config, job: String) -> Leader {
        Leader::new(self.store.clone(), job, &config.node.name, self.metrics.clone())
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
            attempts: self.attempts.clone(),
            lock_at: config.login.lock_at,
        }
    }
}

fn throttles(enrolment: &Enrolment) -> anyhow::Result<Throttles> {
    let longest_wait = SignedDuration::try_from(enrolment.throttle_longest_wait)?;
    let user_at_source = ThrottlePolicy {
        free_failures: enrolment.throttle_free_failures,
        first_wait: SignedDuration::try_from(enrolment.throttle_first_wait)?.min(longest_wait),
        longest_wait,
        ..ThrottlePolicy::default()
    };
    let user = ThrottlePolicy { free_failures: enrolment.throttle_source_free_failures, ..user_at_source };
    let longest_wait = SignedDuration::try_from(enrolment.throttle_source_longest_wait)?;
    let source = ThrottlePolicy { first_wait: user.first_wait.min(longest_wait), longest_wait, ..user };
    Ok(Throttles::new(ThrottlePolicies { user_at_source, user, source }))
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
