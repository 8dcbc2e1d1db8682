//! The root's CRL, a file from its last ceremony. Whether it is the newest is for `ca_core::app::publish_crl::root` to say.

use std::path::Path;

use anyhow::Context;
use ca_x509::signed::Signed;
use der::Decode;
use x509_cert::Certificate;

use super::crl;

/// The root's CRL as DER.
///
/// # Errors
/// When it can't be read or isn't a CRL that the root signed.
pub(crate) fn root_crl(path: &Path, root: &[u8]) -> anyhow::Result<Vec<u8>> {
    const KEY: &str = "validation.root_crl";
    let der = crl(KEY, path)?;
    let root = Certificate::from_der(root).context("the root certificate isn't valid DER")?;
    Signed::parse(&der)
        .with_context(|| format!("{KEY}: {} is neither PEM nor DER of a CRL", path.display()))?
        .verify(root.tbs_certificate().subject_public_key_info())
        .with_context(|| format!("{KEY}: the root didn't sign {}; take its own CRL", path.display()))?;
    Ok(der)
}
