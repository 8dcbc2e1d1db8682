//! Takes up renewed OCSP responder certificates and root CRLs without a restart, and sounds the alarm before one of them,
//! or an issuer, expires.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::{
    app::answer_ocsp::AnswerOcsp,
    domain::{ocsp::Responder, profile::Issuer},
    ports::clock::Clock,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::publish_crl::seconds;
use crate::{
    config,
    http::validation::Validation,
    material,
    metrics::{IssuerLabels, Metrics},
};

const PERIOD: Duration = Duration::from_secs(30);
/// Alarms are repeated so often, not at each look.
const ALARM_EVERY: SignedDuration = SignedDuration::from_hours(1);
const RESPONDER_ALARM: SignedDuration = SignedDuration::from_hours(24);
const ROOT_CRL_ALARM: SignedDuration = SignedDuration::from_hours(30 * 24);
const ISSUER_ALARM: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Builds a responder that answers with these certificates, one for each issuer.
type Rebuild = Box<dyn Fn(&[Vec<u8>]) -> anyhow::Result<AnswerOcsp> + Send + Sync>;

/// The files, as they were when last read.
pub(crate) struct Files {
    pub(crate) issuers: Vec<config::Issuer>,
    /// The same issuers as their certificates describe them.
    pub(crate) authorities: Vec<Arc<Issuer>>,
    /// The root's certificate, DER.
    pub(crate) root: Vec<u8>,
    pub(crate) root_crl_path: PathBuf,
    pub(crate) root_crl: Vec<u8>,
    /// One for each issuer, DER.
    pub(crate) ocsp_certificates: Vec<Vec<u8>>,
    pub(crate) rebuild: Rebuild,
}

pub(super) async fn run(
    mut files: Files,
    validation: Arc<Validation>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) {
    let mut alarmed: Option<Timestamp> = None;
    loop {
        // Small files, seldom: not worth a thread of their own.
        files.take_up_responders(&validation);
        files.take_up_root_crl(&validation);
        let now = clock.now();
        let alarm = alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY);
        if files.watch_expiry(now, alarm, &validation, &metrics) {
            alarmed = Some(now);
        }
        sleep(PERIOD).await;
    }
}

impl Files {
    fn take_up_responders(&mut self, validation: &Validation) {
        let mut renewed = self.ocsp_certificates.clone();
        for ((issuer, authority), place) in self.issuers.iter().zip(&self.authorities).zip(&mut renewed) {
            match material::ocsp_certificate(issuer, authority.der()) {
                Ok(certificate) => *place = certificate,
                Err(error) => {
                    tracing::warn!(issuer = %issuer.id, error = %format!("{error:#}"), "keeping the old responder");
                }
            }
        }
        if renewed == self.ocsp_certificates {
            return;
        }
        match (self.rebuild)(&renewed) {
            Ok(answer) => {
                validation.ocsp.replace(answer);
                self.ocsp_certificates = renewed;
                tracing::info!("a renewed OCSP responder certificate was taken up");
            }
            Err(error) => tracing::error!(error = %format!("{error:#}"), "keeping the old OCSP responder"),
        }
    }

    fn take_up_root_crl(&mut self, validation: &Validation) {
        match material::root_crl(&self.root_crl_path, &self.root) {
            Ok(crl) if crl == self.root_crl => {}
            Ok(crl) => match validation.crls.replace_root(crl.clone()) {
                Ok(()) => {
                    self.root_crl = crl;
                    tracing::info!("a new root CRL was taken up");
                }
                Err(error) => tracing::error!(error = %format!("{error:#}"), "keeping the old root CRL"),
            },
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "keeping the old root CRL"),
        }
    }

    /// Shows what expires when; true when an alarm was sounded.
    fn watch_expiry(&self, now: Timestamp, alarm: bool, validation: &Validation, metrics: &Metrics) -> bool {
        let mut sounded = false;
        let mut near = |what: &str, issuer: &str, expires: Timestamp, before: SignedDuration| {
            if alarm && expires.duration_since(now) < before {
                tracing::error!(what, issuer, %expires, "ALARM: this expires soon; renew it");
                sounded = true;
            }
        };
        near("root CRL", "root", validation.crls.root_next_update(), ROOT_CRL_ALARM);
        for (authority, certificate) in self.authorities.iter().zip(&self.ocsp_certificates) {
            let labels = IssuerLabels { issuer: authority.id().to_string() };
            metrics.issuer_not_after.get_or_create(&labels).set(seconds(authority.not_after()));
            near("issuing certificate", authority.id().as_str(), authority.not_after(), ISSUER_ALARM);
            if let Ok(responder) = Responder::from_certificate(certificate, authority) {
                let not_after = responder.not_after();
                metrics.ocsp_responder_not_after.get_or_create(&labels).set(seconds(not_after));
                near("OCSP responder certificate", authority.id().as_str(), not_after, RESPONDER_ALARM);
            }
        }
        sounded
    }
}
