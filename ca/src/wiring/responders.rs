//! The OCSP responders' certificates and their renewal.

use std::sync::Arc;

use ca_core::{
    app::{accord::Accord, reconcile::Reconcile, renew_responder::RenewResponder},
    domain::{ocsp::Responder, profile::Issuer, responder::key_sha256},
};

use super::{adapters::Adapters, issuers, reconcile};
use crate::{config::Config, jobs::Leader, material, responders::Responders};

pub(super) fn responders(
    config: &Config,
    adapters: &Adapters,
    issuers: &[Arc<Issuer>],
) -> anyhow::Result<Responders> {
    Responders::read(&config.issuers, issuers, adapters.store.clone(), adapters.clock.clone())
}

/// What to answer with from the first request on; the ledger is asked again within seconds.
pub(super) async fn in_use(responders: &Responders) -> Vec<Responder> {
    match responders.in_use().await {
        Ok(in_use) => in_use,
        Err(error) => {
            let error = crate::logging::chain(&error);
            tracing::warn!(error, "answering with the configured OCSP responder certificates for now");
            responders.configured()
        }
    }
}

/// What OCSP is answered with, for the doctor: one for each issuer.
///
/// # Errors
/// When files or ledger can't be read.
pub(crate) async fn responders_in_use(
    config: &Config,
    adapters: &Adapters,
) -> anyhow::Result<Vec<Responder>> {
    let issuers = issuers::issuers(config, &material::load(config)?)?;
    Ok(responders(config, adapters, &issuers)?.in_use().await?)
}

/// One for each issuer.
pub(super) fn renew(config: &Config, adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Vec<RenewResponder> {
    let renew = |issuer: &Arc<Issuer>| RenewResponder {
        responders: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        accord: adapters
            .accords
            .of(issuer.id())
            .unwrap_or_else(|| Arc::new(Accord::new(issuer.id().clone()))),
        issuer: issuer.clone(),
        policy: config.validation.responder,
    };
    issuers.iter().map(renew).collect()
}

/// The same for the job, each with its lease: it names the key, because a node can renew only for its own signer's.
pub(super) fn led(
    config: &Config,
    adapters: &Adapters,
    issuers: &[Arc<Issuer>],
    configured: &[Responder],
) -> anyhow::Result<Vec<(Arc<RenewResponder>, Leader)>> {
    let with_leader = |(renew, responder): (RenewResponder, &Responder)| {
        let key = hex::encode(&key_sha256(responder.public_key())?[..4]);
        let lease = format!("ocsp-{}-{key}", renew.issuer.id());
        Ok((Arc::new(renew), adapters.leader(config, lease)))
    };
    renew(config, adapters, issuers).into_iter().zip(configured).map(with_leader).collect()
}

/// What the operator's command line renews with.
pub(crate) struct Renewals {
    /// The responders of all issuers.
    pub(crate) responders: Responders,
    /// One for each issuer.
    pub(crate) renew: Vec<RenewResponder>,
    /// One for each issuer: nothing is issued before ledger and journal agree.
    pub(crate) reconcile: Vec<Reconcile>,
}

/// Opens the ledger for renewals. Connects to no signer yet.
///
/// # Errors
/// When ledger, configuration or certificates can't be used.
pub(crate) async fn renewals(config: &Config) -> anyhow::Result<Renewals> {
    let material = material::load(config)?;
    let adapters = Adapters::open(config).await?;
    let issuers = issuers::issuers(config, &material)?;
    Ok(Renewals {
        responders: responders(config, &adapters, &issuers)?,
        renew: renew(config, &adapters, &issuers),
        reconcile: reconcile::reconcile(&adapters, &issuers),
    })
}
