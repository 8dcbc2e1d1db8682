//! Certificates as text for people.

use std::fmt::Write;

use der::pem::{LineEnding, encode_string};
use jiff::{Timestamp, tz::TimeZone};

use super::CertificateDetails;
use crate::messages::{Label, Lang};

/// A time in the zone of this machine, with its offset.
pub(crate) fn local_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// Text from outside, made safe for a terminal: control characters and marks that change the direction of writing are
/// written as their code points.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let steers = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}');
        if character.is_control() || steers {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// A certificate's details, one line each.
pub(crate) fn table(details: &CertificateDetails, lang: Lang) -> String {
    let none = || "–".to_owned();
    let optional = |value: &Option<String>| value.clone().unwrap_or_else(none);
    let policies = if details.policies.is_empty() { none() } else { details.policies.join(", ") };
    let rows = [
        (Label::Subject, details.subject.clone()),
        (Label::UserId, optional(&details.user_id)),
        (Label::Serial, details.serial.clone()),
        (Label::Issuer, details.issuer.clone()),
        (Label::NotBefore, local_time(details.not_before)),
        (Label::NotAfter, local_time(details.not_after)),
        (Label::TokenSerial, optional(&details.token_serial)),
        (Label::Policies, policies),
        (Label::Fingerprint, details.sha256.clone()),
    ];
    rows.iter().fold(String::new(), |mut out, (label, value)| {
        let _ = writeln!(out, "  {}: {}", label.text(lang), printable(value));
        out
    })
}

/// A certificate in PEM (RFC 7468).
pub(crate) fn to_pem(der: &[u8]) -> Result<String, der::pem::Error> {
    encode_string("CERTIFICATE", LineEnding::LF, der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(printable("北洋商事 Inc."), "北洋商事 Inc.");
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
    }
}
