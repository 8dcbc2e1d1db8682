//! What relying parties ask: OCSP, CRLs, CA certificates.

use std::sync::Arc;

use anyhow::Context;
use ca_core::{
    app::{
        answer_ocsp::AnswerOcsp,
        publish_crl::root::{self, RootCrls},
    },
    domain::{ocsp::Responder, profile::Issuer},
    ports::{clock::Clock, ledger::Ledger, signer::Signer},
};

use super::{adapters::Adapters, issuers, responders};
use crate::{
    config::Config,
    http::validation::{Validation, certificates::CaCertificates, crl::Crls, ocsp},
    material::Material,
    responders::Responders,
};

/// What answers relying parties, with what it was made of.
pub(super) struct Relying {
    pub(super) issuers: Vec<Arc<Issuer>>,
    pub(super) responders: Arc<Responders>,
    /// Those that are answered with to begin with, one for each issuer.
    pub(super) in_use: Vec<Responder>,
    pub(super) root_crls: Arc<RootCrls>,
    /// The one to begin with.
    pub(super) root_crl: Vec<u8>,
    pub(super) validation: Arc<Validation>,
}

/// Reads and asks for all of it.
///
/// # Errors
/// When files, configuration and ledger don't fit together.
pub(super) async fn relying(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
) -> anyhow::Result<Relying> {
    let issuers = issuers::issuers(config, material)?;
    let responders = Arc::new(responders::responders(config, adapters, &issuers)?);
    let in_use = responders::in_use(&responders).await;
    let (root_crls, root_crl) = roots(material, adapters).await?;
    let validation = validation(config, material, adapters, (&issuers, &in_use), root_crl.clone())?;
    let validation = Arc::new(validation);
    Ok(Relying { issuers, responders, in_use, root_crls, root_crl, validation })
}

fn validation(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    (issuers, responders): (&[Arc<Issuer>], &[Responder]),
    root_crl: Vec<u8>,
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
        crls: Crls::new(adapters.store.clone(), adapters.clock.clone(), &adapters.accords, root_crl)?,
        certificates: CaCertificates(certificates),
        metrics: adapters.metrics.clone(),
    })
}

/// The root's CRLs, as the ledger remembers them.
///
/// # Errors
/// When the root's certificate isn't that of a CA.
pub(crate) fn root_crls(material: &Material, adapters: &Adapters) -> anyhow::Result<Arc<RootCrls>> {
    let root = material.issuers.first().and_then(|issuer| issuer.chain.last());
    let root = root.context("issuer: there is none")?;
    let certificate = Issuer::from_certificate(root::name(root)?, root).context("the root's certificate")?;
    Ok(Arc::new(RootCrls {
        revocations: adapters.store.clone(),
        clock: adapters.clock.clone(),
        root: Arc::new(certificate),
    }))
}

/// The root's CRLs, and the one to begin with: the file's, unless a newer one was served.
///
/// # Errors
/// When the root's certificate isn't that of a CA, or the ledger can't be asked.
async fn roots(material: &Material, adapters: &Adapters) -> anyhow::Result<(Arc<RootCrls>, Vec<u8>)> {
    let crls = root_crls(material, adapters)?;
    let newest = crls.newest(&material.root_crl).await.context("the root's CRL")?;
    if let Some(unfit) = newest.instead {
        tracing::error!(reason = %unfit, "validation.root_crl isn't served: a newer one was, and goes on to be");
    }
    Ok((crls, newest.der))
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
