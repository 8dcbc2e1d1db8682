//! The jobs.

use std::sync::Arc;

use anyhow::Context;
use ca_core::{
    app::{
        accord::Accord,
        lapse_renewals::LapseRenewals,
        publish_crl::{PublishCrl, root::RootCrls},
        reconcile::{Reconcile, ReconcileTerms},
    },
    domain::{crl::CrlPolicy, ocsp::Responder, profile::Issuer},
};
use jiff::SignedDuration;

use super::{adapters::Adapters, validation::OcspFactory};
use crate::{
    config::{self, Config},
    jobs::{Files, Leader},
    material::Material,
    responders::Responders,
};

pub(super) fn publish_crl(
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
pub(super) fn leaders(config: &Config, adapters: &Adapters) -> Vec<Leader> {
    let leader = |issuer: &config::Issuer| {
        Leader::new(adapters.store.clone(), format!("crl-{}", issuer.id), &config.node.name)
    };
    config.issuers.iter().map(leader).collect()
}

/// Which node executes plans that are due.
pub(super) fn rejudgements(config: &Config, adapters: &Adapters) -> Leader {
    Leader::new(adapters.store.clone(), "rejudgements".to_owned(), &config.node.name)
}

/// Renewals that nobody confirms, and which node revokes them.
pub(super) fn lapse_renewals(config: &Config, adapters: &Adapters) -> (LapseRenewals, Leader) {
    let lapse = LapseRenewals { certificates: adapters.store.clone(), clock: adapters.clock.clone() };
    (lapse, Leader::new(adapters.store.clone(), "renewals".to_owned(), &config.node.name))
}

pub(super) fn reconcile(adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Vec<Reconcile> {
    let accord = |issuer: &Issuer| adapters.accords.of(issuer.id());
    let reconcile = |issuer: &Arc<Issuer>| Reconcile {
        accord: accord(issuer).unwrap_or_else(|| Arc::new(Accord::new(issuer.id().clone()))),
        certificates: adapters.store.clone(),
        books: adapters.store.clone(),
        responders: adapters.store.clone(),
        revocations: adapters.store.clone(),
        signers: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        issuer: issuer.clone(),
        terms: ReconcileTerms::default(),
    };
    issuers.iter().map(reconcile).collect()
}

/// What the job that watches files needs: what was read, and how to build responders anew.
pub(super) fn files(
    config: Config,
    material: &Material,
    adapters: &Adapters,
    issuers: Vec<Arc<Issuer>>,
    responders: (Arc<Responders>, Vec<Responder>),
    (root_crls, root_crl): (Arc<RootCrls>, Vec<u8>),
) -> Files {
    let factory = OcspFactory::new(adapters, &issuers);
    let (responders, in_use) = responders;
    Files {
        authorities: issuers,
        root_crl_path: config.validation.root_crl,
        root_crls,
        root_crl,
        unfit: None,
        responders,
        in_use,
        rebuild: Box::new(move |responders| factory.build(responders)),
        machines: material
            .machines
            .iter()
            .map(|(machine, _)| (machine.id.clone(), machine.registered.not_after))
            .collect(),
    }
}
