//! The staff console, and the command line's part in it.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::{
    customers::CodeTerms,
    session::SessionTerms,
    staff::{
        Guard, admission::StaffIssuer, approvals::Approvals, desk::Desk, forms::RefuseStaffForm,
        members::Members, overview::Overview, session::StaffSessions, tokens::Tokens, trail::AuditTrail,
    },
};
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::{adapters::Adapters, custody};
use crate::{
    adapters::staff_crl::CurrentStaffCrl,
    calendar::Calendar,
    config::{self, Config},
    http::{detached::Detached, staff::Console},
    jobs::StaffCrlFile,
    material::{self, Material},
    readiness::Readiness,
    responders::Responders,
};

/// What the console shares with the rest of the server.
pub(super) struct Shared {
    pub(super) readiness: Arc<Readiness>,
    pub(super) responders: Arc<Responders>,
    pub(super) revoked: Arc<Notify>,
    pub(super) detached: Detached,
    pub(super) crl: Arc<CurrentStaffCrl>,
    pub(super) calendar: Arc<Calendar>,
}

fn guard(adapters: &Adapters) -> Guard {
    Guard { audit: adapters.store.clone(), clock: adapters.clock.clone() }
}

fn members(adapters: &Adapters, issuer: StaffIssuer) -> Members {
    Members { guard: guard(adapters), staff: adapters.store.clone(), issuer }
}

/// The console, where one is configured.
///
/// # Errors
/// When a duration can't be had.
pub(super) fn console(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    shared: &Shared,
) -> anyhow::Result<Option<Console>> {
    let Some((staff, issuer)) = config.staff.as_ref().zip(material.staff_issuer.as_ref()) else {
        return Ok(None);
    };
    let store = &adapters.store;
    let issuer = StaffIssuer { certificate: issuer.clone() };
    let terms = CodeTerms {
        lifetime: SignedDuration::try_from(config.enrolment.acquisition_code_lifetime)?,
        attempts: config.enrolment.acquisition_code_attempts,
    };
    Ok(Some(Console {
        sessions: Arc::new(sessions(staff, adapters, shared)?),
        guard: guard(adapters),
        forms: RefuseStaffForm {
            staff: store.clone(),
            audit: store.clone(),
            clock: adapters.clock.clone(),
            budget: Arc::default(),
        },
        desk: desk(config, adapters, terms),
        approvals: approvals(adapters, issuer.clone(), terms),
        members: members(adapters, issuer),
        overview: Overview {
            guard: guard(adapters),
            search: store.clone(),
            customers: store.clone(),
            logins: store.clone(),
            certificates: store.clone(),
            issuer: config.customer_issuer().id.clone(),
        },
        tokens: Tokens {
            guard: guard(adapters),
            inventory: custody::inventory(config, adapters),
            custody: store.clone(),
            decide: custody::decide(config, adapters)?,
            customers: store.clone(),
            search: store.clone(),
        },
        trail: AuditTrail { guard: guard(adapters), search: store.clone(), audit: store.clone() },
        mail: super::mail::desk(adapters),
        policies: store.clone(),
        calendar: shared.calendar.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        census: adapters.census(),
        readiness: shared.readiness.clone(),
        responders: shared.responders.clone(),
        issuers: config.issuers.iter().map(|issuer| issuer.id.clone()).collect(),
        revoked: shared.revoked.clone(),
        metrics: adapters.metrics.clone(),
        detached: shared.detached.clone(),
    }))
}

fn sessions(staff: &config::Staff, adapters: &Adapters, shared: &Shared) -> anyhow::Result<StaffSessions> {
    Ok(StaffSessions {
        staff: adapters.store.clone(),
        revocations: shared.crl.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        terms: SessionTerms {
            idle: SignedDuration::try_from(staff.idle)?,
            absolute: SignedDuration::try_from(staff.absolute)?,
        },
        budget: Arc::default(),
    })
}

fn desk(config: &Config, adapters: &Adapters, terms: CodeTerms) -> Desk {
    Desk {
        guard: guard(adapters),
        customers: adapters.customers(),
        revoke: adapters.revoke(config),
        certificates: adapters.store.clone(),
        codes: adapters.store.clone(),
        rng: adapters.rng.clone(),
        terms,
        issuer: config.customer_issuer().id.clone(),
    }
}

fn approvals(adapters: &Adapters, issuer: StaffIssuer, terms: CodeTerms) -> Approvals {
    let store = &adapters.store;
    Approvals {
        guard: guard(adapters),
        approvals: store.clone(),
        customers: store.clone(),
        policies: store.clone(),
        desk: adapters.customers(),
        certificates: store.clone(),
        staff: store.clone(),
        issuer,
        rng: adapters.rng.clone(),
        terms,
    }
}

/// The file of the staff CA's CRL, where one is configured.
pub(super) fn crl_file(
    config: &Config,
    material: &Material,
    current: Arc<CurrentStaffCrl>,
) -> Option<StaffCrlFile> {
    let path = config.staff.as_ref()?.crl.clone()?;
    Some(StaffCrlFile { path, issuer: material.staff_issuer.clone()?, current })
}

/// What `inro-ca staff` works with.
pub(crate) struct StaffDesk {
    pub(crate) members: Members,
}

/// Opens the ledger for `inro-ca staff`.
///
/// # Errors
/// When there is no section [staff], or ledger or certificate can't be used.
pub(crate) async fn staff_desk(config: &Config) -> anyhow::Result<StaffDesk> {
    let issuer = material::staff_issuer(config)?;
    let issuer = issuer.context("staff: there is no such section; add it with issuer_certificate")?;
    let adapters = Adapters::open(config).await?;
    Ok(StaffDesk { members: members(&adapters, StaffIssuer { certificate: issuer }) })
}
