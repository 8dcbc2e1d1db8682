//! The only place that names concrete adapters: it puts them behind the ports, and the ports into use cases.

mod adapters;
mod api;
mod issuers;
mod jobs;
mod ledger;
mod portal;
mod validation;

use std::sync::{Arc, atomic::AtomicBool};

use ca_core::{
    app::{
        audit_verify::VerifyAudit, certificates::Certificates, customers::Customers, logout::LogOut,
        revoke::Revoke,
    },
    domain::policy::IssuancePolicy,
    ports::rng::Rng,
};
use tokio::sync::Notify;

pub(crate) use adapters::Adapters;
use ledger::Ledger;
pub(crate) use ledger::migrate;

use crate::{
    config::{self, Config},
    http::{
        api::Api,
        ops::Ops,
        portal::{Portal, Top},
        validation::Validation,
    },
    jobs::Jobs,
    material::Material,
    metrics::Metrics,
};

/// What the operator's command line works with.
pub(crate) struct Desk {
    pub(crate) customers: Customers,
    pub(crate) certificates: Certificates,
    pub(crate) revoke: Revoke,
    pub(crate) audit: VerifyAudit,
}

/// Opens the ledger for the operator's command line.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn desk(config: &Config) -> anyhow::Result<Desk> {
    let adapters = Adapters::open(config).await?;
    Ok(Desk {
        customers: adapters.customers(),
        certificates: adapters.certificates(),
        revoke: adapters.revoke(config),
        audit: VerifyAudit { audit: adapters.store.clone() },
    })
}

/// Everything that serving needs.
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) top: Arc<Top>,
    pub(crate) portal: Arc<Portal>,
    pub(crate) validation: Arc<Validation>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<dyn Ledger>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// Builds the server from configuration, files and adapters.
///
/// # Errors
/// When they don't fit together; the message names the key.
pub(crate) fn server(config: Config, material: &Material, adapters: &Adapters) -> anyhow::Result<Server> {
    let metrics = Arc::new(Metrics::default());
    let revoked = Arc::new(Notify::new());
    let reconciled = Arc::new(AtomicBool::new(false));
    let certificates = Arc::new(adapters.certificates());
    let sessions = Arc::new(portal::check_session(&config, adapters)?);
    let policy = Arc::new(IssuancePolicy {
        version: config.policy.version,
        hours: material.hours.clone(),
        devices: config.policy.devices.clone(),
        approve_from: config.policy.approve_from,
        hold_from: None,
    });
    let issuers = issuers::issuers(&config, material)?;
    let validation =
        Arc::new(validation::validation(&config, material, adapters, metrics.clone(), &issuers)?);
    let portal = Arc::new(Portal {
        login: Arc::new(portal::log_in(&config, adapters)),
        session: sessions.clone(),
        logout: Arc::new(LogOut { logins: adapters.store.clone(), clock: adapters.clock.clone() }),
        revoke: Arc::new(adapters.revoke(&config)),
        customers: Arc::new(adapters.customers()),
        certificates,
        logins: adapters.store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        issuer: config.customer_issuer().id.clone(),
        public_url: config.listen.public_url.clone(),
        revoked: revoked.clone(),
        metrics: metrics.clone(),
    });
    let ops = Arc::new(Ops {
        metrics: metrics.clone(),
        clock: adapters.clock.clone(),
        signer: adapters.signer(),
        audit: adapters.store.clone(),
        revocations: adapters.store.clone(),
        issuers: config.issuers.iter().map(|issuer| issuer.id.clone()).collect(),
        reconciled: reconciled.clone(),
        last: tokio::sync::Mutex::new(None),
    });
    Ok(Server {
        api: Arc::new(api::api(&config, material, adapters, policy, metrics.clone())?),
        top: Arc::new(Top {
            client_url: config.listen.client_url.clone(),
            public_url: config.listen.public_url.clone(),
            always_open: config.hours.mode == config::HoursMode::AlwaysOpen,
            download: Some(config.enrolment.agent_download.clone()).filter(|url| !url.is_empty()),
        }),
        portal,
        ops,
        jobs: Jobs {
            publish: jobs::publish_crl(&config, adapters, &issuers)?,
            first_crls: crate::material::first_crls(&config)?,
            reconcile: jobs::reconcile(adapters, &issuers),
            sessions,
            validation: validation.clone(),
            revocations: adapters.store.clone(),
            clock: adapters.clock.clone(),
            metrics: metrics.clone(),
            revoked,
            reconciled,
            files: jobs::files(config, material, adapters, issuers),
        },
        validation,
        metrics,
        store: adapters.store.clone(),
        rng: adapters.rng.clone(),
    })
}
