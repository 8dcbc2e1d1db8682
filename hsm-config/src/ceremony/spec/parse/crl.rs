//! CRLs, and what they revoke.

use std::path::Path;

use der::Decode;
use jiff::Timestamp;
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::CrlReason;

use super::super::input::input;
use super::super::section::Section;
use super::super::{CrlSpec, Revocation};
use super::{one_of, parsed};

pub(super) fn crl(section: &mut Section<'_>, folder: &Path) -> CrlSpec {
    let issuer = section.text("issuer", "the name of the authority's certificate");
    let days = section.number("next_update_days", "a number of days");
    if days.is_none() {
        section.mistakes.add(
            section.key("next_update_days"),
            "is missing",
            "give the days until the next CRL is due",
        );
    }
    let previous = input(section, "previous", folder, "the file of the authority's latest CRL");
    let revoke = section.tables("revoke");
    let path = section.key("revoke");
    let revocations = revoke.into_iter().enumerate().map(|(index, table)| {
        let mut section = Section::new(format!("{path}[{}]", index + 1), table, section.mistakes);
        let revocation = revocation(&mut section, folder);
        section.finish();
        revocation
    });
    let revocations = revocations.collect();
    CrlSpec { issuer, next_update_days: days.unwrap_or(1), previous, revocations }
}

fn revocation(section: &mut Section<'_>, folder: &Path) -> Revocation {
    let certificate = input(section, "certificate", folder, "the file of the certificate to revoke");
    let serial = section.optional_text("serial", "its serial number in hexadecimal");
    let serial = match (&certificate, serial) {
        (Some(file), None) => match Certificate::from_der(&file.der) {
            Ok(certificate) => certificate.tbs_certificate().serial_number().as_bytes().to_vec(),
            Err(error) => {
                if !file.der.is_empty() {
                    let problem = format!("names {}, which is no certificate: {error}", file.path.display());
                    section.mistakes.add(section.key("certificate"), problem, "name a certificate");
                }
                Vec::new()
            }
        },
        (None, Some(text)) => {
            let known = hex::decode(&text).ok().filter(|serial| (1..=20).contains(&serial.len()));
            let remedy = "write its octets in hexadecimal, as `openssl x509 -serial` shows them";
            parsed(section, "serial", &text, known, remedy).unwrap_or_default()
        }
        _ => {
            let remedy = "write either certificate = \"FILE\" or serial = \"HEX\"";
            section.mistakes.add(section.key("certificate"), "and serial don't say one certificate", remedy);
            Vec::new()
        }
    };
    let reason = section.text("reason", "the reason (RFC 5280, 5.3.1), such as \"cessation-of-operation\"");
    let reasons = [
        ("unspecified", CrlReason::Unspecified),
        ("key-compromise", CrlReason::KeyCompromise),
        ("ca-compromise", CrlReason::CaCompromise),
        ("affiliation-changed", CrlReason::AffiliationChanged),
        ("superseded", CrlReason::Superseded),
        ("cessation-of-operation", CrlReason::CessationOfOperation),
        ("privilege-withdrawn", CrlReason::PrivilegeWithdrawn),
    ];
    let reason = one_of(section, "reason", &reason, &reasons).unwrap_or(CrlReason::Unspecified);
    let at =
        section.optional_text("at", "the time since when, such as \"2026-11-22T09:00:00Z\", or leave it out");
    let at = at.and_then(|text| {
        let known = text.parse::<Timestamp>().ok();
        parsed(section, "at", &text, known, "write a time such as \"2026-11-22T09:00:00Z\"")
    });
    Revocation { serial, reason, at, certificate }
}
