//! The jobs.

use std::sync::Arc;

use anyhow::Context;
use ca_core::{
    app::{
        lapse_renewals::LapseRenewals,
        publish_crl::PublishCrl,
        session::CheckSession,
        staff::session::StaffSessions,
        trust::{ReadTrust, Trusted},
    },
    domain::{crl::CrlPolicy, profile::Issuer},
};
use jiff::SignedDuration;

use super::{
    adapters::Adapters,
    mail, observe, reconcile, responders, retention, staff,
    validation::{OcspFactory, Relying},
};
use crate::{
    config::{self, Config},
    jobs::{Files, Jobs, Leader},
    material::{self, Material},
};

/// All of them. `sessions` are the portal's, and the staff console's where there is one.
///
/// # Errors
/// When the configuration doesn't fit together.
pub(super) fn jobs(
    config: Config,
    material: &Material,
    adapters: &Adapters,
    relying: Relying,
    (sessions, staff_sessions): (Arc<CheckSession>, Option<Arc<StaffSessions>>),
    trust: (ReadTrust, Arc<Trusted>),
    shared: staff::Shared,
) -> anyhow::Result<Jobs> {
    let issuers = &relying.issuers;
    let validation = relying.validation.clone();
    Ok(Jobs {
        observe: observe::job(&config, adapters, shared.readiness, validation.clone()),
        publish: publish_crl(&config, adapters, issuers)?,
        leaders: leaders(&config, adapters),
        first_crls: material::first_crls(&config)?,
        renew: responders::led(&config, adapters, issuers, &relying.in_use)?,
        responders: relying.responders.clone(),
        reconcile: reconcile::reconcile(adapters, issuers),
        sessions,
        staff_sessions,
        staff_crl: staff::crl_file(&config, material, shared.crl),
        trust,
        maker_crls: config.trust.maker_crls.clone(),
        mailing: mail::mailing(&config, adapters)?,
        rejudge: (adapters.rejudge(), adapters.leader(&config, "rejudgements".to_owned())),
        lapse: lapse_renewals(&config, adapters),
        erase: retention::led(&config, adapters),
        calendar: shared.calendar,
        validation,
        revocations: adapters.store.clone(),
        clock: adapters.clock.clone(),
        metrics: adapters.metrics.clone(),
        revoked: shared.revoked,
        accords: adapters.accords.clone(),
        files: files(config, material, adapters, relying),
    })
}

fn publish_crl(
    config: &Config,
    adapters: &Adapters,
    issuers: &[Arc<Issuer>],
) -> anyhow::Result<Vec<Arc<PublishCrl>>> {
    let policy = CrlPolicy::new(
        SignedDuration::try_from(config.validation.crl_validity)?,
        SignedDuration::try_from(config.validation.crl_interval)?,
    )
    .context("validation.crl_validity and crl_interval don't fit")?;
    let publish = |issuer: &Arc<Issuer>| {
        Arc::new(PublishCrl {
            revocations: adapters.store.clone(),
            audit: adapters.store.clone(),
            signer: adapters.signer(),
            signers: adapters.store.clone(),
            accords: adapters.accords.clone(),
            clock: adapters.clock.clone(),
            issuer: issuer.clone(),
            policy,
        })
    };
    Ok(issuers.iter().map(publish).collect())
}

/// A lease for each issuer's CRL.
fn leaders(config: &Config, adapters: &Adapters) -> Vec<Leader> {
    let leader = |issuer: &config::Issuer| adapters.leader(config, format!("crl-{}", issuer.id));
    config.issuers.iter().map(leader).collect()
}

/// Renewals that nobody confirms, and which node revokes them.
fn lapse_renewals(config: &Config, adapters: &Adapters) -> (LapseRenewals, Leader) {
    let lapse = LapseRenewals { certificates: adapters.store.clone(), clock: adapters.clock.clone() };
    (lapse, adapters.leader(config, "renewals".to_owned()))
}

/// What the job that watches files needs: what was read, and how to build responders anew.
fn files(config: Config, material: &Material, adapters: &Adapters, relying: Relying) -> Files {
    let Relying { issuers, responders, in_use, root_crls, root_crl, .. } = relying;
    let factory = OcspFactory::new(adapters, &issuers);
    Files {
        authorities: issuers,
        root_crl_path: config.validation.root_crl,
        root_crls,
        root_crl,
        unfit: None,
        responders,
        in_use,
        rebuild: Box::new(move |responders| factory.build(responders)),
        responder_policy: config.validation.responder,
        machines: material
            .machines
            .iter()
            .map(|(machine, _)| (machine.id.clone(), machine.registered.not_after))
            .collect(),
    }
}
