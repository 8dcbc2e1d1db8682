//! The API for the bank's own machines.

use std::sync::Arc;

use ca_core::{
    app::{
        audit_budget::AuditBudget, certificate_status::CertificateStatus, enrol::look_up::LookUpEnrolment,
        machines::AdmitMachine, refuse_header::RefuseHeader,
    },
    domain::profile::Issuer,
};

use super::{adapters::Adapters, issuers::customer_material};
use crate::{
    config::Config,
    http::{
        api::Api,
        clients::Clients,
        forwarded::Forwarding,
        machine::{
            MachineApi,
            limits::{Gates, Limits},
        },
    },
    material::Material,
};

/// Who comes to the client-certificate listener.
pub(super) fn clients(config: &Config, material: &Material) -> anyhow::Result<Clients> {
    let issuer = &customer_material(config, material)?.certificate;
    Clients::new(issuer, &material.machines, material.proxies.clone())
}

/// Lets machines in.
pub(super) fn admit(adapters: &Adapters) -> AdmitMachine {
    AdmitMachine {
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        budget: Arc::new(AuditBudget::default()),
    }
}

/// Refuses headers that only a reverse proxy may send.
pub(super) fn forwarding(adapters: &Adapters) -> Forwarding {
    let refuse = RefuseHeader {
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        budget: Arc::new(AuditBudget::default()),
    };
    Forwarding { verifier: None, refuse: Arc::new(refuse), clock: adapters.clock.clone() }
}

/// The API: its enrolments go the way of the agents' API, through the same use cases.
pub(super) fn api(
    config: &Config,
    adapters: &Adapters,
    admit: Arc<AdmitMachine>,
    issuers: &[Arc<Issuer>],
    agents: &Api,
) -> MachineApi {
    let limits: Vec<Limits> = config
        .machines
        .iter()
        .map(|machine| Limits {
            requests: machine.requests_at_a_time,
            entries: machine.entries_at_a_time,
            entries_per_second: machine.entries_per_second,
        })
        .collect();
    MachineApi {
        admit,
        open: agents.open.clone(),
        certify: agents.certify.clone(),
        confirm: agents.confirm.clone(),
        look_up: Arc::new(LookUpEnrolment {
            customers: adapters.store.clone(),
            certificates: adapters.store.clone(),
        }),
        status: Arc::new(CertificateStatus {
            customers: adapters.store.clone(),
            certificates: adapters.store.clone(),
            clock: adapters.clock.clone(),
            issuers: issuers.to_vec(),
        }),
        policies: config.issuers.iter().map(|issuer| (issuer.id.to_string(), issuer.policies)).collect(),
        forms: agents.forms.clone(),
        gates: Gates::new(config.machines.iter().map(|machine| &machine.id).zip(&limits)),
        clock: adapters.clock.clone(),
        metrics: agents.metrics.clone(),
        detached: agents.detached.clone(),
    }
}
