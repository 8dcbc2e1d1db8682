//! What relying parties ask: OCSP, CRLs, CA certificates.

use std::sync::Arc;

use ca_core::{
    app::answer_ocsp::AnswerOcsp,
    domain::{ocsp::Responder, profile::Issuer},
    ports::{clock::Clock, ledger::Ledger, signer::Signer},
};

use super::adapters::Adapters;
use crate::{
    config::Config,
    http::validation::{Validation, certificates::CaCertificates, crl::Crls, ocsp},
    material::Material,
    metrics::Metrics,
};

pub(super) fn validation(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    metrics: Arc<Metrics>,
    issuers: &[Arc<Issuer>],
    responders: &[Responder],
) -> anyhow::Result<Validation> {
    let mut certificates: std::collections::HashMap<String, bytes::Bytes> = config
        .issuers
        .iter()
        .zip(&material.issuers)
        .map(|(issuer, files)| (issuer.id.to_string(), files.certificate.clone().into()))
        .collect();
    if let Some(root) = material.issuers.first().and_then(|issuer| issuer.chain.last()) {
        certificates.insert("root".to_owned(), root.clone().into());
    }
    let answer = OcspFactory::new(adapters, issuers).build(responders);
    Ok(Validation {
        ocsp: ocsp::Responder::new(answer, adapters.clock.clone()),
        crls: Crls::new(
            adapters.store.clone(),
            adapters.clock.clone(),
            &adapters.accords,
            material.root_crl.clone(),
        )?,
        certificates: CaCertificates(certificates),
        metrics,
    })
}

/// Builds OCSP responders: at the start, and again when a responder certificate was renewed.
pub(super) struct OcspFactory {
    store: Arc<dyn Ledger>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    issuers: Vec<Arc<Issuer>>,
}

impl OcspFactory {
    pub(super) fn new(adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Self {
        Self {
            store: adapters.store.clone(),
            signer: adapters.signer(),
            clock: adapters.clock.clone(),
            issuers: issuers.to_vec(),
        }
    }

    /// `responders` has one for each issuer.
    pub(super) fn build(&self, responders: &[Responder]) -> AnswerOcsp {
        let issuers = self.issuers.iter().map(|issuer| Issuer::clone(issuer));
        let responders = issuers.zip(responders.iter().cloned()).collect();
        let (store, signer) = (self.store.clone(), self.signer.clone());
        AnswerOcsp::new(store.clone(), store, signer, self.clock.clone(), responders)
    }
}
