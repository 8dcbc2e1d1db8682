//! What relying parties get.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use x509_cert::{crl::CertificateList, der::Decode};

use crate::bank::{Bank, fetch};

/// A CRL.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) number: u64,
    pub(super) this_update: Timestamp,
    pub(super) serials: HashSet<String>,
}

/// The customer CA's current CRL.
///
/// # Errors
/// When there is none.
pub(super) fn crl(bank: &Bank) -> Result<Published> {
    let answer = fetch(&format!("{}/crl/customer-0.crl", bank.urls().validation))?;
    ensure!(answer.status == 200, "the CRL: {}", answer.text());
    let list: CertificateList = CertificateList::from_der(&answer.body).context("reading a CRL")?;
    let list = list.tbs_cert_list;
    let number =
        list.crl_extensions.as_deref().and_then(ca_x509::crl::number).context("a CRL without number")?;
    let this_update = ca_x509::time::from_x509(&list.this_update).context("reading a CRL")?;
    let entries = list.revoked_certificates.unwrap_or_default();
    let serials = entries.iter().map(|entry| hex::encode(entry.serial_number.as_bytes())).collect();
    Ok(Published { number, this_update, serials })
}
