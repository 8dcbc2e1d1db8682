//! From the TOML text to a [`Spec`]: the shape here, what belongs together in [`lint`](super::lint).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use const_oid::ObjectIdentifier;
use toml::Table;

use super::lint;
use super::mistake::{Mistake, Mistakes};
use super::section::Section;
use super::spec::{
    CertificateSpec, CrlSpec, Initialise, KeySpec, Lifetime, Person, Profile, Spec, Subject, TokenSpec,
};
use crate::token::{KeyAlgorithm, KeyId, ModuleAccess};
use crate::vendor::Profile as Vendor;

/// Reads and checks a specification. PIN files that are not absolute paths are looked for beside it, in `folder`.
///
/// # Errors
/// Every mistake at once; for text that isn't TOML only that.
pub fn parse(text: &str, folder: &Path) -> Result<Spec, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            mistakes.add("the file", format!("is not TOML: {error}"), "correct the syntax");
            return Err(mistakes.0);
        }
    };
    let mut top = Section::new(String::new(), table, &mut mistakes);
    let name = top.text("name", "the ceremony a title");
    let [present, tokens, keys, certificates, crls] =
        ["present", "token", "key", "certificate", "crl"].map(|section| top.tables(section));
    top.finish();
    let spec = Spec {
        name,
        present: each("present", present, &mut mistakes, person),
        tokens: each("token", tokens, &mut mistakes, |section| token(section, folder)),
        keys: each("key", keys, &mut mistakes, key),
        certificates: {
            let mut certificates = each("certificate", certificates, &mut mistakes, certificate);
            certificates.sort_by_key(|certificate| match certificate.profile {
                Profile::Root => 0,
                Profile::Issuing | Profile::StaffIssuing => 1,
                Profile::OcspResponder => 2,
            });
            certificates
        },
        crls: each("crl", crls, &mut mistakes, crl),
    };
    lint::check(&spec, &mut mistakes);
    if mistakes.0.is_empty() { Ok(spec) } else { Err(mistakes.0) }
}

fn each<T>(
    kind: &str,
    tables: Vec<Table>,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&mut Section<'_>) -> T,
) -> Vec<T> {
    let name = |table: &Table, number: usize| match table.get("name").or_else(|| table.get("issuer")) {
        Some(toml::Value::String(name)) if !name.is_empty() => format!("{kind}.{name}"),
        _ => format!("{kind}[{number}]"),
    };
    tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| {
            let mut section = Section::new(name(&table, index + 1), table, mistakes);
            let item = read(&mut section);
            section.finish();
            item
        })
        .collect()
}

/// A name that other sections refer to and that files are called by.
fn identifier(section: &mut Section<'_>) -> String {
    let name = section.text("name", "a name that other sections can refer to");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && (name.len() > 32 || !name.chars().all(plain) || name.starts_with('-')) {
        let remedy = "use at most 32 small letters, digits and hyphens: files are named after it";
        section.mistakes.add(section.key("name"), format!("{name:?} can't be used"), remedy);
    }
    name
}

fn person(section: &mut Section<'_>) -> Person {
    Person {
        name: section.text("name", "the person's name"),
        role: section.text("role", "the person's role, such as \"key custodian\" or \"witness\""),
    }
}

fn token(section: &mut Section<'_>, folder: &Path) -> TokenSpec {
    let name = identifier(section);
    let module = PathBuf::from(section.text("module", "the absolute path of the PKCS#11 library"));
    let environment: BTreeMap<String, String> = section.variables("environment").into_iter().collect();
    let label = section.text("label", "the token's label, at most 32 bytes");
    let vendor = section.optional_text("vendor", "the vendor profile's name, see `inro-hsm vendors list`");
    let mut access = ModuleAccess::new(module, environment);
    match Vendor::choose(vendor.as_deref(), &access.module) {
        Ok(vendor) => access.vendor = vendor,
        Err(error) => {
            section.mistakes.add(section.key("vendor"), "is no profile", error.to_string());
        }
    }
    let pin_file = section.text("pin_file", "the file that holds the user's PIN");
    let so_pin_file = section.optional_text("so_pin_file", "the file that holds the security officer's PIN");
    let slot = section.number("slot", "the number of the slot to initialise");
    let initialise = if section.flag("initialise", true) {
        if so_pin_file.is_none() {
            let remedy = "give the file with the security officer's PIN, or set initialise = false for a token that is ready";
            section.mistakes.add(section.key("so_pin_file"), "is missing", remedy);
        }
        if slot.is_some_and(i64::is_negative) {
            section.mistakes.add(section.key("slot"), "is negative", "give a slot's number");
        }
        let slot = slot.and_then(|slot| u64::try_from(slot).ok());
        Some(Initialise { slot, so_pin_file: folder.join(so_pin_file.unwrap_or_default()) })
    } else {
        for (key, given) in [("so_pin_file", so_pin_file.is_some()), ("slot", slot.is_some())] {
            if given {
                let remedy = "remove it, or remove initialise = false";
                section.mistakes.add(
                    section.key(key),
                    "has no use on a token that isn't initialised",
                    remedy,
                );
            }
        }
        None
    };
    TokenSpec {
        name,
        access,
        label,
        initialise,
        pin_file: folder.join(pin_file),
    }
}

fn key(section: &mut Section<'_>) -> KeySpec {
    let name = identifier(section);
    let token = section.text("token", "the name of the token that the key is made on");
    let id = section.text("id", "the key's CKA_ID in hexadecimal, such as \"01\"");
    let algorithm = section.text("algorithm", "p256, p384, rsa3072 or rsa4096");
    let id =
        parsed(section, "id", &id, KeyId::try_from(id.clone()).ok(), "write 1 to 32 bytes in hexadecimal");
    let known = match algorithm.as_str() {
        "p256" => Some(KeyAlgorithm::P256),
        "p384" => Some(KeyAlgorithm::P384),
        "rsa3072" => Some(KeyAlgorithm::Rsa3072),
        "rsa4096" => Some(KeyAlgorithm::Rsa4096),
        _ => None,
    };
    let algorithm = parsed(section, "algorithm", &algorithm, known, "write p256, p384, rsa3072 or rsa4096");
    KeySpec {
        name,
        token,
        id: id.unwrap_or_else(KeyId::placeholder),
        algorithm: algorithm.unwrap_or(KeyAlgorithm::P256),
    }
}

/// Reports text that wasn't understood. Text that is missing was reported already.
fn parsed<T>(section: &mut Section<'_>, key: &str, text: &str, value: Option<T>, remedy: &str) -> Option<T> {
    if value.is_none() && !text.is_empty() {
        section.mistakes.add(section.key(key), format!("{text:?} is not understood"), remedy);
    }
    value
}

fn certificate(section: &mut Section<'_>) -> CertificateSpec {
    let name = identifier(section);
    let profile = section.text("profile", "root, issuing, staff-issuing or ocsp-responder");
    let known = match profile.as_str() {
        "root" => Some(Profile::Root),
        "issuing" => Some(Profile::Issuing),
        "staff-issuing" => Some(Profile::StaffIssuing),
        "ocsp-responder" => Some(Profile::OcspResponder),
        _ => None,
    };
    let profile =
        parsed(section, "profile", &profile, known, "write root, issuing, staff-issuing or ocsp-responder")
            .unwrap_or(Profile::Root);
    let key = section.text("key", "the name of the key that it certifies");
    let issuer = issuer(section, profile, &name);
    let subject_table = section.table_or_empty("subject");
    let subject = subject(Section::new(section.key("subject"), subject_table, section.mistakes));
    let validity = section.table_or_empty("validity");
    let lifetime = lifetime(Section::new(section.key("validity"), validity, section.mistakes));
    let path_length = path_length(section, profile);
    let policies = policies(section);
    let crl_url = section.optional_text("crl_url", "the URL of the issuer's CRL");
    let ca_issuers_url = section.optional_text("ca_issuers_url", "the URL of the issuer's certificate");
    let ocsp_url = section.optional_text("ocsp_url", "the URL of the issuer's OCSP responder");
    CertificateSpec {
        name,
        profile,
        key,
        issuer,
        subject,
        lifetime,
        path_length,
        policies,
        crl_url,
        ca_issuers_url,
        ocsp_url,
    }
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

fn path_length(section: &mut Section<'_>, profile: Profile) -> Option<u8> {
    let given = section.number("path_length", "a whole number");
    let (right, remedy) = match profile {
        Profile::Root => {
            (Some(1), "write 1 or leave it out: below the root stand issuing authorities and nothing else")
        }
        Profile::Issuing | Profile::StaffIssuing => {
            (Some(0), "write 0 or leave it out: an issuing authority has no authority below it")
        }
        Profile::OcspResponder => (None, "remove it: a responder is no authority"),
    };
    if let Some(given) = given.filter(|given| Some(*given) != right.map(i64::from)) {
        section.mistakes.add(section.key("path_length"), format!("is {given}"), remedy);
    }
    right
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

fn crl(section: &mut Section<'_>) -> CrlSpec {
    let issuer = section.text("issuer", "the name of the authority's certificate");
    let days = section.number("next_update_days", "a number of days");
    if days.is_none() {
        section.mistakes.add(
            section.key("next_update_days"),
            "is missing",
            "give the days until the next CRL is due",
        );
    }
    CrlSpec { issuer, next_update_days: days.unwrap_or(1) }
}
