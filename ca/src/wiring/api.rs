//! The enrolment API.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::{
    accord::Accord,
    audit_budget::AuditBudget,
    enrol::{bearer::BearerKey, certify::CertifyEnrolment, confirm::ConfirmEnrolment, open::OpenEnrolment},
    issue::Issue,
    policies::Policies,
    trust::Trusted,
};
use ca_wire::Base64Url;
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::{
    adapters::Adapters,
    custody,
    issuers::{customer_material, profile},
};
use crate::{
    adapters::passwords::Argon2Passwords,
    config::Config,
    http::{api::Api, detached::Detached, enrolment::Forms},
    material::Material,
};

pub(super) fn api(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    (policies, trusted): (&Arc<Policies>, &Arc<Trusted>),
    passwords: Arc<Argon2Passwords>,
    (detached, revoked): (Detached, Arc<Notify>),
) -> anyhow::Result<Api> {
    let files = customer_material(config, material)?;
    let enrolment = &config.enrolment;
    let accord = adapters.accords.of(&config.customer_issuer().id).context("there is no customer issuer")?;
    let budget = Arc::new(AuditBudget::default());
    let tokens = custody::agents(config, adapters, passwords.clone(), &budget)?;
    let open = OpenEnrolment {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords,
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        throttles: adapters.throttles.clone(),
        budget: budget.clone(),
        policies: policies.clone(),
        inventory: adapters.store.clone(),
        trust: trusted.clone(),
        bearer_key: BearerKey::generate(&*adapters.rng),
        challenge_lifetime: SignedDuration::try_from(enrolment.challenge_lifetime)?,
        accord: accord.clone(),
    };
    let issue = issue(config, material, adapters, accord)?;
    let certify = certify(adapters, (policies, trusted), issue, budget.clone());
    let download = Some(enrolment.agent_download.clone()).filter(|url| !url.is_empty());
    Ok(Api {
        open: Arc::new(open),
        certify: Arc::new(certify),
        confirm: Arc::new(confirm(adapters, budget)),
        deposits: tokens.deposits,
        unblock: tokens.unblock,
        erasure: tokens.erasure,
        revoked,
        forms: Arc::new(Forms {
            keeps_puks: tokens.keeps_puks,
            chain: std::iter::once(&files.certificate).chain(&files.chain).cloned().map(Base64Url).collect(),
        }),
        lowest_agent: enrolment.lowest_agent.clone(),
        newest_agent: enrolment.newest_agent.clone(),
        agent_download: download.unwrap_or_else(|| format!("{}/", config.listen.public_url)),
        clock: adapters.clock.clone(),
        metrics: adapters.metrics.clone(),
        detached,
    })
}

fn certify(
    adapters: &Adapters,
    (policies, trusted): (&Arc<Policies>, &Arc<Trusted>),
    issue: Issue,
    budget: Arc<AuditBudget>,
) -> CertifyEnrolment {
    CertifyEnrolment {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        trust: trusted.clone(),
        policies: policies.clone(),
        inventory: adapters.store.clone(),
        issue: Arc::new(issue),
        budget,
    }
}

fn confirm(adapters: &Adapters, budget: Arc<AuditBudget>) -> ConfirmEnrolment {
    ConfirmEnrolment {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        budget,
    }
}

fn issue(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    accord: Arc<Accord>,
) -> anyhow::Result<Issue> {
    Ok(Issue {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        profile: Arc::new(profile(config, material)?),
        accord,
    })
}
