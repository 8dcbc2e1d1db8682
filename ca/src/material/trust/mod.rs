//! Whom the authority believes about devices: anchors from files for a first installation, bundles of the ledger's trust
//! store afterwards, the officers who sign them, and the CRLs by which makers take devices back.

pub(crate) mod bundle;
pub(crate) mod crls;
mod files;
pub(crate) mod import;
pub(crate) mod known;
pub(crate) mod sign;

use anyhow::Context;
use ca_core::domain::trust::Officers;

pub(crate) use files::{anchors, purpose_by_name};

use super::certificate;
use crate::config;

/// The officers' certificates.
///
/// # Errors
/// When one can't be read, or two are of one key.
pub(crate) fn officers(trust: &config::Trust) -> anyhow::Result<Officers> {
    let read = |path| certificate("trust.officers", path);
    let certificates = trust.officers.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    Officers::new(certificates.iter().map(Vec::as_slice)).context("trust.officers")
}
