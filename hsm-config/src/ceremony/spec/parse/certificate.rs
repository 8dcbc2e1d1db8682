//! Certificates, and requests for them.

use std::path::Path;

use const_oid::ObjectIdentifier;

use super::super::input::{input, inputs};
use super::super::section::Section;
use super::super::{
    Attestation, CertificateSpec, Issued, Lifetime, Profile, RequestSpec, Source, Subject, SubjectKey,
};
use super::{fingerprint, identifier, one_of};

pub(super) fn certificate(section: &mut Section<'_>, folder: &Path) -> CertificateSpec {
    let name = identifier(section);
    let profile = section.text("profile", "what the certificate is for");
    let profile = one_of(section, "profile", &profile, &Profile::ALL).unwrap_or(Profile::Root);
    let existing = input(section, "existing", folder, "the file of a certificate that exists");
    let source = match existing {
        Some(file) => {
            let key =
                section.optional_text("key", "the name of its key, if that is on a token of the ceremony");
            Source::Existing { file, key }
        }
        None => Source::Issued(Box::new(issued(section, folder, profile, &name))),
    };
    CertificateSpec { name, profile, source }
}

fn issued(section: &mut Section<'_>, folder: &Path, profile: Profile, name: &str) -> Issued {
    let subject_key = subject_key(section, folder, profile);
    let issuer = issuer(section, profile, name);
    let (subject, lifetime) = if profile == Profile::Link {
        (None, None)
    } else {
        let subject_table = section.table_or_empty("subject");
        let subject = subject(Section::new(section.key("subject"), subject_table, section.mistakes));
        let validity = section.table_or_empty("validity");
        let lifetime = lifetime(Section::new(section.key("validity"), validity, section.mistakes));
        (Some(subject), Some(lifetime))
    };
    path_length(section, profile);
    Issued {
        subject_key,
        issuer,
        subject,
        lifetime,
        policies: policies(section),
        crl_url: section.optional_text("crl_url", "the URL of the issuer's CRL"),
        ca_issuers_url: section.optional_text("ca_issuers_url", "the URL of the issuer's certificate"),
        ocsp_url: section.optional_text("ocsp_url", "the URL of the issuer's OCSP responder"),
        renews: input(section, "renews", folder, "the file of the certificate that it takes the place of"),
        attestation: attestation(section, folder),
    }
}

/// One of `key`, `request` and, for links, `of`.
fn subject_key(section: &mut Section<'_>, folder: &Path, profile: Profile) -> SubjectKey {
    if profile == Profile::Link {
        return SubjectKey::Of(section.text("of", "the name of the root certificate whose key it certifies"));
    }
    let request = input(section, "request", folder, "the file of the certification request");
    let sha256 =
        section.optional_text("request_sha256", "the request's SHA-256 in hexadecimal, or leave it out");
    let Some(request) = request else {
        if sha256.is_some() {
            section.mistakes.add(section.key("request_sha256"), "has no use without request", "remove it");
        }
        return SubjectKey::OnToken(section.text("key", "the name of the key that it certifies"));
    };
    if section.optional_text("key", "nothing").is_some() {
        section.mistakes.add(section.key("key"), "is given besides request", "keep one of them");
    }
    let sha256 = sha256.and_then(|text| fingerprint(section, "request_sha256", &text));
    SubjectKey::Requested { request, sha256 }
}

fn attestation(section: &mut Section<'_>, folder: &Path) -> Option<Attestation> {
    let table = section.table_or_empty("attestation");
    if table.is_empty() {
        return None;
    }
    let mut section = Section::new(section.key("attestation"), table, section.mistakes);
    let mut file = |key, meaning: &str| {
        let found = input(&mut section, key, folder, meaning);
        if found.is_none() {
            section.mistakes.add(section.key(key), "is missing", format!("give {meaning}"));
        }
        found.unwrap_or_default()
    };
    let slot = file("slot", "the file of the key's attestation");
    let device = file("device", "the file of the device's attestation certificate (slot f9)");
    let makers = inputs(&mut section, "makers", folder, "a list of files with the maker's certificates");
    if makers.is_empty() {
        let remedy = "name the files of the maker's root and intermediate certificates";
        section.mistakes.add(section.key("makers"), "is missing", remedy);
    }
    section.finish();
    Some(Attestation { slot, device, makers })
}

fn issuer(section: &mut Section<'_>, profile: Profile, name: &str) -> String {
    if profile != Profile::Root {
        return section.text("issuer", "the name of the certificate whose key signs it");
    }
    if section.optional_text("issuer", "nothing").is_some() {
        section.mistakes.add(section.key("issuer"), "is given for a root, which signs itself", "remove it");
    }
    name.to_owned()
}

fn path_length(section: &mut Section<'_>, profile: Profile) {
    let given = section.number("path_length", "a whole number");
    let right = profile.path_length();
    let remedy = match right {
        Some(1) => "write 1 or leave it out: below the root stand issuing authorities and nothing else",
        Some(_) => "write 0 or leave it out: an issuing authority has no authority below it",
        None => "remove it: this is no authority",
    };
    if let Some(given) = given.filter(|given| Some(*given) != right.map(i64::from)) {
        section.mistakes.add(section.key("path_length"), format!("is {given}"), remedy);
    }
}

fn policies(section: &mut Section<'_>) -> Vec<ObjectIdentifier> {
    let texts = section.texts("policies", "a list of object identifiers such as [\"1.3.6.1.4.1.32473.1.1\"]");
    let mut policies = Vec::new();
    for text in texts {
        match ObjectIdentifier::new(&text) {
            Ok(oid) if !policies.contains(&oid) => policies.push(oid),
            Ok(_) => section.mistakes.add(section.key("policies"), format!("has {text} twice"), "remove one"),
            Err(_) => {
                let remedy = "write an object identifier in dots, such as \"1.3.6.1.4.1.32473.1.1\"";
                section.mistakes.add(section.key("policies"), format!("{text:?} is not understood"), remedy);
            }
        }
    }
    policies
}

fn subject(mut section: Section<'_>) -> Subject {
    let subject = Subject {
        country: section.text("country", "two capital letters, such as \"JP\""),
        organization: section.text("organization", "the bank's name"),
        organizational_unit: section.optional_text("organizational_unit", "the unit's name, or leave it out"),
        user_id: section.optional_text("user_id", "the user ID of a member of staff, or leave it out"),
        common_name: section.text("common_name", "the authority's name"),
    };
    section.finish();
    subject
}

fn lifetime(mut section: Section<'_>) -> Lifetime {
    let years = section.number("years", "a number of years");
    let days = section.number("days", "a number of days");
    let lifetime = match (years, days) {
        (Some(years), None) => Lifetime::Years(years),
        (None, Some(days)) => Lifetime::Days(days),
        _ => {
            let remedy = "write either { years = N } or { days = N }";
            section.mistakes.add(section.key("years"), "and days don't say one lifetime", remedy);
            Lifetime::Days(1)
        }
    };
    section.finish();
    lifetime
}

pub(super) fn request(section: &mut Section<'_>) -> RequestSpec {
    let name = identifier(section);
    let key = section.text("key", "the name of the key that the request is for");
    let subject_table = section.table_or_empty("subject");
    let subject = subject(Section::new(section.key("subject"), subject_table, section.mistakes));
    RequestSpec { name, key, subject }
}
