//! The only place that names concrete adapters: it puts them behind the ports, and the ports into use cases.

mod adapters;
mod api;
mod books;
mod custody;
mod issuers;
mod jobs;
mod ledger;
mod machine;
mod mail;
mod moving;
mod observe;
mod portal;
mod reconcile;
mod responders;
mod retention;
mod staff;
mod trust;
mod validation;

use std::sync::Arc;

use ca_core::{
    app::{
        accord::Accords, audit_verify::VerifyAudit, certificates::Certificates, customers::Customers,
        inventory::Inventory, manage_policies::ManagePolicies, policies::Policies, revoke::Revoke,
    },
    ports::{ledger::Ledger, rng::Rng, staff::StaffStore},
};
use tokio::sync::Notify;

pub(crate) use adapters::Adapters;
pub(crate) use books::{Books, books};
pub(crate) use custody::custody_desk;
pub(crate) use issuers::check_profile;
pub(crate) use ledger::{check_address, migrate};
pub(crate) use mail::{mail_desk, mailer};
pub(crate) use moving::{Route, move_ledger};
pub(crate) use responders::{Renewals, renewals, responders_in_use};
pub(crate) use retention::retention_desk;
pub(crate) use staff::staff_desk;
pub(crate) use trust::{EvidenceDesk, evidence_desk, trust_desk};
pub(crate) use validation::root_crls;

use crate::{
    adapters::{passwords::Argon2Passwords, staff_crl::CurrentStaffCrl},
    calendar::Calendar,
    config::Config,
    http::{
        api::Api,
        clients::Clients,
        detached::Detached,
        forwarded::Forwarding,
        machine::MachineApi,
        openapi,
        ops::Ops,
        portal::{Portal, Public},
        staff::Console,
        validation::Validation,
    },
    jobs::Jobs,
    material::Material,
    metrics::Metrics,
    readiness::Readiness,
};

/// What the operator's command line works with.
pub(crate) struct Desk {
    pub(crate) staff: Arc<dyn StaffStore>,
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
        staff: adapters.store.clone(),
        customers: adapters.customers(),
        certificates: adapters.certificates(),
        revoke: adapters.revoke(config),
        audit: VerifyAudit { audit: adapters.store.clone() },
    })
}

/// What `inro-ca policy` works with.
pub(crate) struct PolicyDesk {
    pub(crate) manage: ManagePolicies,
}

/// Opens the ledger for `inro-ca policy`.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn policy_desk(config: &Config) -> anyhow::Result<PolicyDesk> {
    let adapters = Adapters::open(config).await?;
    let manage = ManagePolicies {
        policies: adapters.store.clone(),
        customers: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        form: Arc::new(crate::config::TomlPolicies),
    };
    Ok(PolicyDesk { manage })
}

/// What `inro-ca token` works with.
pub(crate) struct InventoryDesk {
    pub(crate) inventory: Inventory,
}

/// Opens the ledger for `inro-ca token`.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn inventory_desk(config: &Config) -> anyhow::Result<InventoryDesk> {
    let adapters = Adapters::open(config).await?;
    Ok(InventoryDesk { inventory: custody::inventory(config, &adapters) })
}

/// Everything that serving needs.
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) public: Arc<Public>,
    pub(crate) portal: Arc<Portal>,
    /// Reads what reverse proxies say, or refuses who isn't one.
    pub(crate) forwarding: Forwarding,
    pub(crate) machines: Arc<MachineApi>,
    /// The staff console, where one is configured.
    pub(crate) console: Option<Arc<Console>>,
    /// The OpenAPI document.
    pub(crate) document: String,
    pub(crate) validation: Arc<Validation>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) detached: Detached,
    pub(crate) jobs: Jobs,
    pub(crate) accords: Accords,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<dyn Ledger>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// Who comes to the client-certificate listener.
///
/// # Errors
/// When a certificate can't be read.
pub(crate) fn clients(config: &Config, material: &Material) -> anyhow::Result<Clients> {
    machine::clients(config, material)
}

/// The policies with the hours of issuing, and the calendar of business days that those hours go by.
fn hours(config: &Config, material: &Material, adapters: &Adapters) -> (Arc<Policies>, Arc<Calendar>) {
    let policies = adapters.policies_with(config, material.hours.hours.clone());
    let (hours, now) = (policies.hours().clone(), adapters.now());
    let calendar = Calendar::new(config.hours.clone(), hours, &material.hours, now);
    (policies, Arc::new(calendar))
}

/// Builds the server from configuration, files and adapters.
///
/// # Errors
/// When they don't fit together; the message names the key.
pub(crate) async fn server(
    config: Config,
    material: &Material,
    adapters: &Adapters,
) -> anyhow::Result<Server> {
    let (metrics, detached, revoked) =
        (adapters.metrics.clone(), Detached::default(), Arc::new(Notify::new()));
    // Its own: a flood of strangers' passwords there must not keep customers out of the portal.
    let enrolment_passwords = Arc::new(Argon2Passwords::new(&config.passwords)?);
    let sessions = Arc::new(portal::check_session(&config, adapters)?);
    let (policies, calendar) = hours(&config, material, adapters);
    let (trusted, read_trust) = trust::trusted(&config, adapters).await?;
    let admit = Arc::new(machine::admit(adapters));
    let relying = validation::relying(&config, material, adapters).await?;
    let validation = relying.validation.clone();
    let portal = Arc::new(portal::portal(
        &config,
        adapters,
        (sessions.clone(), admit.clone()),
        (detached.clone(), revoked.clone()),
    )?);
    let readiness = observe::readiness(adapters);
    let pools = [("portal", adapters.passwords.clone()), ("enrolment", enrolment_passwords.clone())];
    let ops = Arc::new(observe::ops(adapters, readiness.clone(), detached.clone(), pools));
    let shared = staff::Shared {
        readiness: readiness.clone(),
        responders: relying.responders.clone(),
        revoked: revoked.clone(),
        detached: detached.clone(),
        calendar,
        crl: Arc::new(CurrentStaffCrl::new(material.staff_crl.clone())),
    };
    let api = Arc::new(api::api(
        &config,
        material,
        adapters,
        (&policies, &trusted),
        enrolment_passwords,
        (detached.clone(), revoked.clone()),
    )?);
    let console = staff::console(&config, material, adapters, &shared)?.map(Arc::new);
    let sessions = (sessions, console.as_ref().map(|console| console.sessions.clone()));
    Ok(Server {
        document: openapi::json(&openapi::Servers::of(&config))?,
        machines: Arc::new(machine::api(&config, adapters, admit, &relying.issuers, &api)),
        api,
        public: Arc::new(portal::public(&config)?),
        forwarding: machine::forwarding(adapters),
        console,
        portal,
        ops,
        readiness,
        detached,
        jobs: jobs::jobs(config, material, adapters, relying, sessions, (read_trust, trusted), shared)?,
        validation,
        accords: adapters.accords.clone(),
        metrics,
        store: adapters.store.clone(),
        rng: adapters.rng.clone(),
    })
}
