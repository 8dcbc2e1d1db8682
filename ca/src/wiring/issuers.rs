//! The issuers and what their certificates say, from configuration and files.

use std::sync::Arc;

use anyhow::Context;
use ca_core::domain::profile::{Issuer, Profile, Publication};
use der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

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
    let profile = Profile::new(certificate, issuer.policies, publication(config, issuer))
        .with_context(|| format!("issuer.{}: its certificates couldn't be validated", issuer.id))?;
    Ok(profile.with_own_keys(own_keys(material)?))
}

/// Whether certificates can be issued and validated by what the configuration says, without asking anybody.
///
/// # Errors
/// The first thing that stands in the way.
pub(crate) fn check_profile(config: &Config, material: &Material) -> anyhow::Result<()> {
    issuers(config, material)?;
    profile(config, material).map(drop)
}

/// Every key of the authority that the configuration names a certificate of.
fn own_keys(material: &Material) -> anyhow::Result<Vec<SubjectPublicKeyInfoOwned>> {
    let of_issuer = |issuer: &'_ IssuerMaterial| {
        let own = [issuer.certificate.clone(), issuer.ocsp_certificate.clone()];
        own.into_iter().chain(issuer.chain.clone())
    };
    let all = material.issuers.iter().flat_map(of_issuer).chain(material.staff_issuer.clone());
    let key = |der: Vec<u8>| anyhow::Ok(SubjectPublicKeyInfoOwned::from_der(&material::public_key(&der)?)?);
    all.map(key).collect()
}
