//! Takes up renewed OCSP responder certificates, from ledger and files, and root CRLs without a restart, and sounds the
//! alarm before one of them, an issuer or a registered machine's certificate expires.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::{
    app::{
        answer_ocsp::AnswerOcsp,
        publish_crl::root::{RootCrl, RootCrls, Unfit},
    },
    domain::{ids::MachineId, ocsp::Responder, profile::Issuer, responder::ResponderPolicy},
    ports::clock::Clock,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::{pause, publish_crl::seconds};
use crate::{
    http::validation::Validation,
    material,
    metrics::{IssuerLabels, Metrics},
    responders::Responders,
};

const PERIOD: Duration = Duration::from_secs(10);
/// Alarms are repeated so often, not at each look.
const ALARM_EVERY: SignedDuration = SignedDuration::from_hours(1);
const RESPONDER_ALARM: SignedDuration = SignedDuration::from_hours(24);
const ROOT_CRL_ALARM: SignedDuration = SignedDuration::from_hours(30 * 24);
const ISSUER_ALARM: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Before the end of a registered machine's certificate; the doctor warns as early.
pub(crate) const MACHINE_ALARM: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Builds what answers with these certificates, one for each issuer.
type Rebuild = Box<dyn Fn(&[Responder]) -> AnswerOcsp + Send + Sync>;

/// The files, as they were when last read.
pub(crate) struct Files {
    /// The issuers as their certificates describe them.
    pub(crate) authorities: Vec<Arc<Issuer>>,
    pub(crate) root_crl_path: PathBuf,
    pub(crate) root_crls: Arc<RootCrls>,
    /// The one that is served.
    pub(crate) root_crl: Vec<u8>,
    /// Why the file isn't, as it was last told.
    pub(crate) unfit: Option<Unfit>,
    pub(crate) responders: Arc<Responders>,
    /// Those that are answered with, one for each issuer.
    pub(crate) in_use: Vec<Responder>,
    pub(crate) rebuild: Rebuild,
    /// When they are to be renewed.
    pub(crate) responder_policy: ResponderPolicy,
    /// Registered machines with the ends of their certificates.
    pub(crate) machines: Vec<(MachineId, Timestamp)>,
}

pub(super) async fn run(
    mut files: Files,
    validation: Arc<Validation>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    renewed: Arc<Notify>,
) {
    let mut alarmed: Option<Timestamp> = None;
    loop {
        // Small files, seldom: not worth a thread of their own.
        files.take_up_responders(&validation).await;
        files.take_up_root_crl(&validation).await;
        let now = clock.now();
        let alarm = alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY);
        if files.watch_expiry(now, alarm, &validation, &metrics) {
            alarmed = Some(now);
        }
        pause(PERIOD, &renewed).await;
    }
}

impl Files {
    async fn take_up_responders(&mut self, validation: &Validation) {
        match self.responders.in_use().await {
            Ok(current) if current == self.in_use => {}
            Ok(current) => {
                validation.ocsp.replace((self.rebuild)(&current));
                self.in_use = current;
                tracing::info!("a renewed OCSP responder certificate was taken up");
            }
            Err(error) => {
                let error = crate::logging::chain(&error);
                tracing::warn!(error, "the ledger can't be asked for renewed OCSP responder certificates");
            }
        }
    }

    /// What another node took up is served here as well, and an older file is never.
    async fn take_up_root_crl(&mut self, validation: &Validation) {
        let newest = self.newest_root_crl().await;
        match newest {
            Ok(newest) if newest.der == self.root_crl => {}
            Ok(newest) => match validation.crls.replace_root(newest.der.clone()) {
                Ok(()) => {
                    self.root_crl = newest.der;
                    tracing::info!("a new root CRL was taken up");
                }
                Err(error) => tracing::error!(error = %format!("{error:#}"), "keeping the old root CRL"),
            },
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "keeping the old root CRL"),
        }
    }

    async fn newest_root_crl(&mut self) -> anyhow::Result<RootCrl> {
        let file = material::root_crl(&self.root_crl_path, self.root_crls.root.der())?;
        let newest = self.root_crls.newest(&file).await?;
        if let Some(unfit) = newest.instead.as_ref().filter(|unfit| self.unfit.as_ref() != Some(unfit)) {
            tracing::error!(reason = %unfit, "the root CRL's file isn't taken up: a newer one stays");
        }
        self.unfit.clone_from(&newest.instead);
        Ok(newest)
    }

    /// Shows what expires when; true when an alarm was sounded.
    fn watch_expiry(&self, now: Timestamp, alarm: bool, validation: &Validation, metrics: &Metrics) -> bool {
        let mut sounded = false;
        let mut near = |what: &str, of: &str, expires: Timestamp, before: SignedDuration| {
            if alarm && expires.duration_since(now) < before {
                tracing::error!(what, of, %expires, "ALARM: this expires soon; renew it");
                sounded = true;
            }
        };
        near("root CRL", "root", validation.crls.root_next_update(), ROOT_CRL_ALARM);
        for (authority, responder) in self.authorities.iter().zip(&self.in_use) {
            let labels = IssuerLabels { issuer: authority.id().to_string() };
            metrics.issuer_not_after.get_or_create(&labels).set(seconds(authority.not_after()));
            near("issuing certificate", authority.id().as_str(), authority.not_after(), ISSUER_ALARM);
            let not_after = responder.not_after();
            metrics.ocsp_responder_not_after.get_or_create(&labels).set(seconds(not_after));
            let renewal = self.responder_policy.renewal_of(responder);
            metrics.ocsp_responder_renewal.get_or_create(&labels).set(seconds(renewal));
            near("OCSP responder certificate", authority.id().as_str(), not_after, RESPONDER_ALARM);
        }
        for (machine, not_after) in &self.machines {
            metrics.machine(machine.as_str(), *not_after);
            near("registered machine's certificate", machine.as_str(), *not_after, MACHINE_ALARM);
        }
        sounded
    }
}
