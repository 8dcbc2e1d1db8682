//! Lints: what RFC 5280 and the profile demand of a certificate, checked on the encoded bytes before anything is
//! recorded or signed. They read the draft with a parser instead of trusting the builder, and compare with what was
//! ordered. Each is a small function with the section that it enforces.

mod extensions;
mod fields;
#[cfg(test)]
mod tests;

use std::fmt;

use der::Decode;
use x509_cert::{certificate::TbsCertificate, name::Name, spki::SubjectPublicKeyInfoOwned};

use super::{
    device::{Assurance, Device},
    ids::SerialNumber,
    profile::Profile,
    validity::Validity,
};

/// What was ordered.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Issuer and profile.
    pub profile: Profile,
    /// The serial number.
    pub serial: SerialNumber,
    /// The subject.
    pub subject: Name,
    /// The validity.
    pub validity: Validity,
    /// The key.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// The device.
    pub device: Device,
    /// What was proven.
    pub assurance: Assurance,
}

/// What a lint found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The lint's stable name.
    pub lint: &'static str,
    /// What it enforces.
    pub reference: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.lint, self.reference, self.problem)
    }
}

/// What lints look at.
struct Subject<'a> {
    der: &'a [u8],
    tbs: TbsCertificate,
    expected: &'a Expected,
}

/// Nothing, or what is wrong.
type Verdict = Result<(), String>;

struct Lint {
    name: &'static str,
    reference: &'static str,
    check: fn(&Subject<'_>) -> Verdict,
}

/// `Err` with the text unless the condition holds.
fn demand(condition: bool, otherwise: impl Into<String>) -> Verdict {
    if condition { Ok(()) } else { Err(otherwise.into()) }
}

/// Runs every lint over the DER of a `TBSCertificate`. An empty result is a pass.
pub fn check(der: &[u8], expected: &Expected) -> Vec<Finding> {
    let tbs = match TbsCertificate::from_der(der) {
        Ok(tbs) => tbs,
        Err(error) => {
            let (lint, reference) = ("parses", "RFC 5280, 4.1");
            return vec![Finding {
                lint,
                reference,
                problem: format!("it is not a TBSCertificate: {error}"),
            }];
        }
    };
    let subject = Subject { der, tbs, expected };
    let lints = fields::LINTS.iter().chain(extensions::LINTS);
    lints
        .filter_map(|lint| {
            let problem = (lint.check)(&subject).err()?;
            Some(Finding { lint: lint.name, reference: lint.reference, problem })
        })
        .collect()
}
