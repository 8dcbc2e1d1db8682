//! What operations see: readiness, metrics, and the job that refreshes them.

use std::sync::Arc;

use ca_core::{app::audit_verify::VerifyAudit, domain::ids::IssuerId};

use super::adapters::Adapters;
use crate::{
    adapters::passwords::Argon2Passwords,
    config::Config,
    http::{
        detached::Detached,
        ops::{Ops, Pool},
        validation::Validation,
    },
    jobs::Observe,
    readiness::Readiness,
};

pub(super) fn readiness(adapters: &Adapters) -> Arc<Readiness> {
    let ports = (adapters.clock.clone(), adapters.signer(), adapters.census());
    Arc::new(Readiness::new(ports, adapters.accords.clone(), adapters.metrics.clone()))
}

pub(super) fn ops<const N: usize>(
    adapters: &Adapters,
    readiness: Arc<Readiness>,
    detached: Detached,
    pools: [(&'static str, Arc<Argon2Passwords>); N],
) -> Ops {
    let pool = |(name, passwords): (&'static str, Arc<Argon2Passwords>)| -> Pool {
        (name, Box::new(move || passwords.load()))
    };
    Ops {
        metrics: adapters.metrics.clone(),
        readiness,
        census: adapters.census(),
        detached,
        passwords: pools.map(pool).into(),
    }
}

pub(super) fn job(
    config: &Config,
    adapters: &Adapters,
    readiness: Arc<Readiness>,
    validation: Arc<Validation>,
) -> Arc<Observe> {
    Arc::new(Observe {
        census: adapters.census(),
        revocations: adapters.store.clone(),
        outbox: adapters.store.clone(),
        signers: adapters.store.clone(),
        signer: adapters.signer(),
        audit: VerifyAudit { audit: adapters.store.clone() },
        clock: adapters.clock.clone(),
        readiness,
        validation,
        metrics: adapters.metrics.clone(),
        issuers: issuers(config),
        database: config.node.database.file().map(std::path::Path::to_path_buf),
    })
}

fn issuers(config: &Config) -> Vec<IssuerId> {
    config.issuers.iter().map(|issuer| issuer.id.clone()).collect()
}
