//! What relying parties get.

use std::{collections::HashSet, process::Command};

use anyhow::{Context, Result, ensure};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use x509_cert::{crl::CertificateList, der::Decode};

use crate::{
    bank::{Bank, fetch},
    process::output_of,
};

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

/// An OCSP response.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// `good`, `revoked` or `unknown`.
    pub(super) status: String,
    pub(super) this_update: Timestamp,
}

/// What the OCSP responder says of a certificate; `None` where it gives no answer.
///
/// # Errors
/// When openssl can't be run.
pub(super) fn ocsp(bank: &Bank, serial: &str) -> Result<Option<Told>> {
    let mut command = Command::new("openssl");
    command.args(["ocsp", "-no_nonce", "-noverify", "-issuer"]).arg(bank.path("ceremony/issuing.pem"));
    command.args(["-serial", &format!("0x{serial}"), "-url", &format!("{}/ocsp", bank.urls().validation)]);
    let output = output_of(&mut command, b"")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after =
        |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::to_owned);
    let (status, date) = (after(&format!("0x{serial}: ")), after("This Update: "));
    let Some((status, date)) = status.zip(date) else { return Ok(None) };
    let date =
        DateTime::strptime("%b %e %H:%M:%S %Y GMT", &date).with_context(|| format!("reading {date:?}"))?;
    Ok(Some(Told { status, this_update: date.to_zoned(TimeZone::UTC)?.timestamp() }))
}
