//! A certificate as people see it.

use std::fmt::Write as _;

use super::{Label, Lang};
use crate::certificate::{CertificateDetails, local_time, printable, to_pem};

/// A certificate's details, as people see them. Texts are [`printable`].
pub(crate) fn rows(details: &CertificateDetails) -> [(Label, String); 9] {
    let none = || "–".to_owned();
    let optional = |value: &Option<String>| value.as_deref().map_or_else(none, printable);
    let policies = if details.policies.is_empty() { none() } else { details.policies.join(", ") };
    [
        (Label::Subject, printable(&details.subject)),
        (Label::UserId, optional(&details.user_id)),
        (Label::Serial, details.serial.clone()),
        (Label::Issuer, printable(&details.issuer)),
        (Label::NotBefore, local_time(details.not_before)),
        (Label::NotAfter, local_time(details.not_after)),
        (Label::TokenSerial, optional(&details.token_serial)),
        (Label::Policies, policies),
        (Label::Fingerprint, details.sha256.clone()),
    ]
}

/// A certificate's details, one line each.
pub(crate) fn table(details: &CertificateDetails, lang: Lang) -> String {
    rows(details).iter().fold(String::new(), |mut out, (label, value)| {
        let _ = writeln!(out, "  {}: {value}", label.text(lang));
        out
    })
}

/// What is kept of a certificate in a text file: its details and the PEM.
pub(crate) fn as_text(der: &[u8], lang: Lang) -> String {
    let details = CertificateDetails::read(der).map(|details| table(&details, lang)).unwrap_or_default();
    let pem = to_pem(der).unwrap_or_default();
    format!("{details}\n{pem}")
}
