//! The files that the configuration names: certificates, keys, CRLs, calendars. Each fault names the key, the file and
//! the remedy.

mod calendar;
mod custody;
mod machines;
mod packages;
mod proxies;
mod root_crl;
mod staff_crl;
pub(crate) mod trust;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use ca_core::domain::{attestation::Anchor, machine::ValiditySpan};
use ca_x509::signed::Signed;
use der::{Decode, Encode};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject};
use x509_cert::Certificate;

pub(crate) use calendar::{ReadHours, issuing_hours};
pub(crate) use custody::custody_keys;
pub(crate) use machines::Registered;
pub(crate) use packages::{Package, Packages, packages};
pub(crate) use proxies::{Proxies, Proxy};
pub(crate) use root_crl::root_crl;
pub(crate) use staff_crl::StaffCrl;
#[cfg(test)]
pub(crate) use staff_crl::testing;

use crate::config::{self, Config};

/// The operator's server certificate with its intermediates, and its key.
#[derive(PartialEq, Eq)]
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// When its own certificate is valid: an old intermediate beside it need not keep a client from finding a way to a root.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn validity(&self) -> anyhow::Result<ValiditySpan> {
        let own = self.chain.first().context("tls.certificate_file holds no certificate")?;
        let own =
            Certificate::from_der(own).context("tls.certificate_file: its first certificate isn't DER")?;
        Ok(ValiditySpan::of(own.tbs_certificate()))
    }

    /// Whether clients take it now.
    ///
    /// # Errors
    /// Since or until when not.
    pub(crate) fn valid_at(&self, now: Timestamp) -> anyhow::Result<()> {
        let ValiditySpan { not_before, not_after } = self.validity()?;
        ensure!(not_before <= now, "it isn't valid before {not_before}");
        ensure!(now <= not_after, "it expired at {not_after}");
        Ok(())
    }
}

/// An issuing CA's certificates.
#[derive(Clone, Debug)]
pub(crate) struct IssuerMaterial {
    /// The issuing certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// The certificates above it up to the root, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The OCSP responder's certificate, DER.
    pub(crate) ocsp_certificate: Vec<u8>,
}

/// Reads one certificate in PEM.
///
/// # Errors
/// When the file holds anything but one certificate.
pub(crate) fn certificate(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut all = certificates(key, path)?;
    if all.len() != 1 {
        bail!("{key}: {} holds {} certificates; put exactly one into it", path.display(), all.len());
    }
    Ok(all.remove(0))
}

fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let pem = read(key, path)?;
    let parsed: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let parsed = parsed.with_context(|| format!("{key}: {} isn't PEM; convert it", path.display()))?;
    if parsed.is_empty() {
        bail!("{key}: {} holds no certificate in PEM; check the file", path.display());
    }
    Ok(parsed.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn read(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path)
        .with_context(|| format!("{key}: can't read {}; check its path and permissions", path.display()))
}

/// The server certificate and key of the TLS listeners.
///
/// # Errors
/// When a file is missing, unreadable or empty.
pub(crate) fn server_identity(tls: &config::Tls) -> anyhow::Result<ServerIdentity> {
    let chain = certificates("tls.certificate_file", &tls.certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key_file", &tls.key_file)?).with_context(|| {
        format!("tls.key_file: {} holds no private key in PEM; check the file", tls.key_file.display())
    })?;
    Ok(ServerIdentity { chain: chain.into_iter().map(CertificateDer::from).collect(), key })
}

/// An issuer's certificates; each one must be signed by the next, the last by itself.
///
/// # Errors
/// When a file can't be used or the chain doesn't hold.
pub(crate) fn issuer(issuer: &config::Issuer) -> anyhow::Result<IssuerMaterial> {
    let key = |name: &str| format!("issuer.{}.{name}", issuer.id);
    let issuing = certificate(&key("certificate"), &issuer.certificate)?;
    let mut chain = Vec::new();
    for path in &issuer.chain {
        chain.extend(certificates(&key("chain"), path)?);
    }
    let ocsp_certificate = ocsp_certificate(issuer, &issuing)?;
    let mut below = &issuing;
    for (position, above) in chain.iter().enumerate() {
        signed_by(below, above).with_context(|| {
            format!(
                "{}: certificate {} doesn't sign the one below it; list them in order up to the root",
                key("chain"),
                position + 1
            )
        })?;
        below = above;
    }
    signed_by(below, below)
        .with_context(|| format!("{}: the last certificate must be the root itself", key("chain")))?;
    Ok(IssuerMaterial { certificate: issuing, chain, ocsp_certificate })
}

/// The OCSP responder's certificate of an issuer, as it is on disk now.
///
/// # Errors
/// When it can't be read or `issuing` didn't sign it.
pub(crate) fn ocsp_certificate(issuer: &config::Issuer, issuing: &[u8]) -> anyhow::Result<Vec<u8>> {
    let key = format!("issuer.{}.ocsp_certificate", issuer.id);
    let responder = certificate(&key, &issuer.ocsp_certificate)?;
    signed_by(&responder, issuing).with_context(|| {
        format!(
            "{key}: {} wasn't issued by this issuer; take the responder certificate of its last ceremony",
            issuer.ocsp_certificate.display()
        )
    })?;
    Ok(responder)
}

fn signed_by(below: &[u8], above: &[u8]) -> anyhow::Result<()> {
    let parsed = Certificate::from_der(below).context("a certificate isn't valid DER")?;
    let issuer = Certificate::from_der(above).context("a certificate isn't valid DER")?;
    if parsed.tbs_certificate().issuer() != issuer.tbs_certificate().subject() {
        bail!(
            "{} was issued by {}, not by {}",
            parsed.tbs_certificate().subject(),
            parsed.tbs_certificate().issuer(),
            issuer.tbs_certificate().subject()
        );
    }
    let signed = Signed::parse(below).context("a certificate isn't valid DER")?;
    signed.verify(issuer.tbs_certificate().subject_public_key_info())?;
    Ok(())
}

/// The CRLs of the key ceremony, for each issuer that names one.
///
/// # Errors
/// When one can't be read.
pub(crate) fn first_crls(config: &Config) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
    let read = |issuer: &config::Issuer| {
        let path = issuer.first_crl.as_ref();
        path.map(|path| crl(&format!("issuer.{}.first_crl", issuer.id), path)).transpose()
    };
    config.issuers.iter().map(read).collect()
}

/// A CRL from PEM or DER, as DER.
fn crl(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read(key, path)?;
    Ok(CertificateRevocationListDer::from_pem_slice(&bytes).map_or(bytes, |crl| crl.to_vec()))
}

/// The `SubjectPublicKeyInfo` of a certificate, DER.
///
/// # Errors
/// When it isn't a certificate.
pub(crate) fn public_key(certificate: &[u8]) -> anyhow::Result<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).context("a certificate isn't valid DER")?;
    Ok(certificate.tbs_certificate().subject_public_key_info().to_der()?)
}

/// All the files that the configuration names.
#[derive(Debug)]
pub(crate) struct Material {
    /// In the order of the configuration.
    pub(crate) issuers: Vec<IssuerMaterial>,
    pub(crate) hours: ReadHours,
    pub(crate) root_crl: Vec<u8>,
    pub(crate) machines: Vec<Registered>,
    /// Reverse proxies whose word about their clients counts.
    pub(crate) proxies: Proxies,
    /// The staff CA's certificate, DER.
    pub(crate) staff_issuer: Option<Vec<u8>>,
    /// The staff CA's CRL.
    pub(crate) staff_crl: Option<StaffCrl>,
}

/// The issuer of customers' certificates among `issuers`, which are in the order of the configuration.
///
/// # Errors
/// When there is none.
pub(crate) fn customer<'a>(
    config: &Config,
    issuers: &'a [IssuerMaterial],
) -> anyhow::Result<&'a IssuerMaterial> {
    let id = &config.customer_issuer().id;
    let position = config.issuers.iter().position(|issuer| issuer.id == *id);
    position.and_then(|position| issuers.get(position)).context("there is no customer issuer")
}

/// The makers' certificates that the configuration's files name; empty where it names none.
///
/// # Errors
/// When a file can't be used, or a certificate isn't one that is permitted.
pub(crate) fn anchors(config: &Config) -> anyhow::Result<Vec<Anchor>> {
    if config.trust.has_files() { trust::anchors(&config.trust) } else { Ok(Vec::new()) }
}

/// Reads them all.
///
/// # Errors
/// At the first that can't be used.
pub(crate) fn load(config: &Config) -> anyhow::Result<Material> {
    let issuers = config.issuers.iter().map(issuer).collect::<anyhow::Result<Vec<_>>>()?;
    anchors(config)?;
    let root = issuers.first().and_then(|issuer| issuer.chain.last()).context("issuer: there is none")?;
    let machines = machines::machines(config, &customer(config, &issuers)?.certificate)?;
    Ok(Material {
        root_crl: root_crl(&config.validation.root_crl, root)?,
        hours: issuing_hours(&config.hours)?,
        proxies: proxies::proxies(config, &machines)?,
        machines,
        staff_crl: staff_crl(config)?,
        staff_issuer: staff_issuer(config)?,
        issuers,
    })
}

/// The staff CA's CRL, where one is configured.
fn staff_crl(config: &Config) -> anyhow::Result<Option<StaffCrl>> {
    let path = config.staff.as_ref().and_then(|staff| staff.crl.as_ref());
    let Some((path, issuer)) = path.zip(staff_issuer(config)?) else { return Ok(None) };
    StaffCrl::read(path, &issuer).map(Some)
}

/// The staff CA's certificate, where staff are configured.
///
/// # Errors
/// When it can't be read.
pub(crate) fn staff_issuer(config: &Config) -> anyhow::Result<Option<Vec<u8>>> {
    let staff = config.staff.as_ref();
    staff.map(|staff| certificate("staff.issuer_certificate", &staff.issuer_certificate)).transpose()
}
