//! The issuers and what their certificates say, from configuration and files.

use std::sync::Arc;

use anyhow::Context;
use ca_core::domain::profile::{Issuer, Profile, Publication};

use crate::{
    config::{self, Config},
    http::validation::crl::PARTITION,
    material::{self, IssuerMaterial, Material},
};

pub(super) fn issuers(config: &Config, material: &Material) -> anyhow::Result<Vec<Arc<Issuer>>> {
    let pairs = config.issuers.iter().zip(&material.issuers);
    pairs
        .map(|(issuer, files)| {
            Issuer::from_certificate(issuer.id.clone(), &files.certificate)
                .map(Arc::new)
                .with_context(|| format!("issuer.{}.certificate can't be an issuer's", issuer.id))
        })
        .collect()
}

fn publication(config: &Config, issuer: &config::Issuer) -> Publication {
    let base = &config.validation.base_url;
    Publication {
        crl_base_url: format!("{base}/crl/{}", issuer.id),
        crl_partition: PARTITION,
        ocsp_url: format!("{base}/ocsp"),
        ca_issuers_url: format!("{base}/ca/{}.cer", issuer.id),
    }
}

pub(super) fn customer_material<'a>(
    config: &Config,
    material: &'a Material,
) -> anyhow::Result<&'a IssuerMaterial> {
    material::customer(config, &material.issuers)
}

pub(super) fn profile(config: &Config, material: &Material) -> anyhow::Result<Profile> {
    let issuer = config.customer_issuer();
    let files = customer_material(config, material)?;
    let certificate = Issuer::from_certificate(issuer.id.clone(), &files.certificate)?;
    Profile::new(certificate, issuer.policies, publication(config, issuer))
        .with_context(|| format!("issuer.{}: its certificates couldn't be validated", issuer.id))
}
