//! From the TOML text to a [`Spec`]: the shape here, what belongs together in [`lint`](super::super::lint).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use const_oid::ObjectIdentifier;
use der::Decode;
use jiff::Timestamp;
use toml::Table;
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::CrlReason;

use super::super::fingerprint::heard;
use super::super::lint;
use super::input::{input, inputs};
use super::mistake::{Mistake, Mistakes};
use super::section::Section;
use super::{
    Attestation, CertificateSpec, CopySpec, CrlSpec, DestructionSpec, Free, Initialise, Issued, KeySpec,
    Kind, Lifetime, Origin, Person, Profile, RequestSpec, Revocation, Signs, Source, Spec, Subject,
    SubjectKey, TokenSpec, WitnessToken,
};
use crate::token::{KeyAlgorithm, KeyId, ModuleAccess, PinKeys, PinSource, TokenSelection};
use crate::vendor::Profile as Vendor;
use crate::worker::protocol::Leaving;

/// Reads and checks a specification. Files that are not absolute paths are looked for beside it, in `folder`.
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
    let kind = kind(&mut top);
    let [present, tokens, keys, certificates, requests, crls, copies, destructions] =
        ["present", "token", "key", "certificate", "request", "crl", "copy", "destroy"]
            .map(|section| top.tables(section));
    top.finish();
    let spec = Spec {
        name,
        kind,
        present: each("present", present, &mut mistakes, |section| person(section, folder)),
        tokens: each("token", tokens, &mut mistakes, |section| token(section, folder)),
        keys: each("key", keys, &mut mistakes, key),
        certificates: {
            let mut certificates =
                each("certificate", certificates, &mut mistakes, |section| certificate(section, folder));
            certificates
                .sort_by_key(|certificate| (certificate.issued().is_some(), certificate.profile.rank()));
            certificates
        },
        requests: each("request", requests, &mut mistakes, request),
        crls: each("crl", crls, &mut mistakes, |section| crl(section, folder)),
        copies: each("copy", copies, &mut mistakes, copy),
        destructions: each("destroy", destructions, &mut mistakes, destruction),
    };
    lint::check(&spec, &mut mistakes);
    if mistakes.0.is_empty() { Ok(spec) } else { Err(mistakes.0) }
}

fn kind(section: &mut Section<'_>) -> Kind {
    let meaning = "the kind of ceremony, or leave it out for a new authority";
    let Some(name) = section.optional_text("kind", meaning) else { return Kind::default() };
    one_of(section, "kind", &name, &Kind::ALL).unwrap_or_default()
}

/// The value that a name stands for. Another name is reported; one that is missing was reported already.
fn one_of<T: Copy>(section: &mut Section<'_>, key: &str, name: &str, all: &[(&str, T)]) -> Option<T> {
    let known = all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    parsed(section, key, name, known, &format!("write one of: {}", names.join(", ")))
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

fn person(section: &mut Section<'_>, folder: &Path) -> Person {
    let name = section.text("name", "the person's name");
    let role = section.text("role", "the person's role, such as \"key custodian\" or \"witness\"");
    let certificate =
        input(section, "certificate", folder, "the file of the certificate whose key signs the transcript");
    let token = section.table_or_empty("signs_with");
    let token = (!token.is_empty())
        .then(|| witness_token(Section::new(section.key("signs_with"), token, section.mistakes), folder));
    if token.is_some() && certificate.is_none() {
        section.mistakes.add(
            section.key("certificate"),
            "is missing",
            "name the certificate of the token's key",
        );
    }
    Person { name, role, signs: certificate.map(|certificate| Signs { certificate, token }) }
}

fn witness_token(mut section: Section<'_>, folder: &Path) -> WitnessToken {
    let access = access(&mut section);
    let selection = selection(&mut section);
    let id = key_id(&mut section, "the CKA_ID of the key in hexadecimal, such as \"01\"");
    let pin = pin(&mut section, folder, false);
    section.finish();
    WitnessToken { access, selection, id, pin }
}

fn access(section: &mut Section<'_>) -> ModuleAccess {
    let module = PathBuf::from(section.text("module", "the absolute path of the PKCS#11 library"));
    let environment: BTreeMap<String, String> = section.variables("environment").into_iter().collect();
    let vendor = section.optional_text("vendor", "the vendor profile's name, see `inro-hsm vendors list`");
    let mut access = ModuleAccess::new(module, environment);
    match Vendor::choose(vendor.as_deref(), &access.module) {
        Ok(vendor) => access.vendor = vendor,
        Err(error) => section.mistakes.add(section.key("vendor"), "is no profile", error.to_string()),
    }
    access
}

/// Where a PIN comes from, by keys with this prefix.
fn pin(section: &mut Section<'_>, folder: &Path, so: bool) -> PinSource {
    let names = if so {
        ["so_pin_file", "so_pin_credential", "so_pin_custody", "so_pin"]
    } else {
        ["pin_file", "pin_credential", "pin_custody", "pin"]
    };
    let whose = if so { "the security officer's PIN" } else { "the user's PIN" };
    let meanings = [
        format!("the file that holds {whose}"),
        format!("the service's credential that holds {whose}"),
        format!("the folder of the custody set that keeps {whose}"),
        "\"protected-path\" where the token asks for it itself".to_owned(),
    ];
    let [file, credential, custody, word] =
        [0, 1, 2, 3].map(|i: usize| section.optional_text(names[i], &meanings[i]));
    let keys = PinKeys {
        pin_file: file.map(PathBuf::from),
        pin_credential: credential,
        pin_custody: custody.map(PathBuf::from),
        pin: word,
    };
    keys.source(folder).unwrap_or_else(|mistake| {
        let key = if so { format!("so_{}", mistake.key) } else { mistake.key.to_owned() };
        let remedy = mistake.remedy.replace("pin_", if so { "so_pin_" } else { "pin_" });
        section.mistakes.add(section.key(&key), mistake.problem, remedy);
        PinSource::ProtectedPath
    })
}

fn key_id(section: &mut Section<'_>, meaning: &str) -> KeyId {
    let id = section.text("id", meaning);
    let known = KeyId::try_from(id.clone()).ok();
    parsed(section, "id", &id, known, "write 1 to 32 bytes in hexadecimal").unwrap_or_else(KeyId::placeholder)
}

fn token(section: &mut Section<'_>, folder: &Path) -> TokenSpec {
    let name = identifier(section);
    let access = access(section);
    let user = pin(section, folder, false);
    if section.flag("initialise", true) {
        let label = section.text("label", "the label that the token gets, at most 32 bytes");
        let free = free(section);
        let initialise = Initialise { label: label.clone(), free, so_pin: pin(section, folder, true) };
        let selection = TokenSelection::Label(label);
        TokenSpec { name, access, selection, initialise: Some(initialise), pin: user }
    } else {
        let selection = selection(section);
        let so = ["so_pin_file", "so_pin_credential", "so_pin_custody", "so_pin"];
        let mut given: Vec<&str> =
            so.into_iter().filter(|key| section.optional_text(key, "nothing").is_some()).collect();
        given.extend(section.number("slot", "nothing").map(|_| "slot"));
        for key in given {
            let problem = "has no use on a token that isn't initialised";
            section.mistakes.add(section.key(key), problem, "remove it, or remove initialise = false");
        }
        TokenSpec { name, access, selection, initialise: None, pin: user }
    }
}

/// A token that is ready, by one of the two things that it says of itself.
fn selection(section: &mut Section<'_>) -> TokenSelection {
    let label = section.optional_text("label", "the token's label");
    let serial = section.optional_text("serial", "the token's serial number");
    match (label, serial) {
        (Some(label), None) => TokenSelection::Label(label),
        (None, Some(serial)) => TokenSelection::Serial(serial),
        _ => {
            let remedy = "give either label or serial, as the token has them (`pkcs11-tool --list-slots`)";
            section.mistakes.add(section.key("label"), "and serial don't say one token", remedy);
            TokenSelection::Label(String::new())
        }
    }
}

/// Which uninitialised token is taken.
fn free(section: &mut Section<'_>) -> Free {
    let slot = section.number("slot", "the number of the slot to initialise");
    let serial = section.optional_text("serial", "the serial number of the token to initialise");
    match (slot.map(u64::try_from), serial) {
        (Some(_), Some(_)) => {
            section.mistakes.add(section.key("serial"), "is given besides slot", "keep one of them");
        }
        (Some(Err(_)), None) => {
            section.mistakes.add(section.key("slot"), "is negative", "give a slot's number");
        }
        (Some(Ok(slot)), None) => return Free::InSlot(slot),
        (None, Some(serial)) => return Free::WithSerial(serial),
        (None, None) => {}
    }
    Free::First
}

fn key(section: &mut Section<'_>) -> KeySpec {
    let name = identifier(section);
    let token = section.text("token", "the name of the token that the key is on");
    let id = key_id(section, "the key's CKA_ID in hexadecimal, such as \"01\"");
    let algorithm = section.text("algorithm", "p256, p384, rsa3072 or rsa4096");
    let all = [
        ("p256", KeyAlgorithm::P256),
        ("p384", KeyAlgorithm::P384),
        ("rsa3072", KeyAlgorithm::Rsa3072),
        ("rsa4096", KeyAlgorithm::Rsa4096),
    ];
    let algorithm = one_of(section, "algorithm", &algorithm, &all).unwrap_or(KeyAlgorithm::P256);
    let existing = section.flag("existing", false);
    let backup = section.optional_text("backup", "\"none\" or \"wrap\"");
    if existing && backup.is_some() {
        let remedy = "remove it: whether a key may leave its token was decided when it was made";
        section.mistakes.add(section.key("backup"), "has no use on a key that exists", remedy);
    }
    let modes = [("none", Leaving::Never), ("wrap", Leaving::Wrapped)];
    let leaving = backup.and_then(|mode| one_of(section, "backup", &mode, &modes)).unwrap_or_default();
    let origin = if existing { Origin::Existing } else { Origin::New(leaving) };
    KeySpec { name, token, id, algorithm, origin }
}

/// Reports text that wasn't understood. Text that is missing was reported already.
fn parsed<T>(section: &mut Section<'_>, key: &str, text: &str, value: Option<T>, remedy: &str) -> Option<T> {
    if value.is_none() && !text.is_empty() {
        section.mistakes.add(section.key(key), format!("{text:?} is not understood"), remedy);
    }
    value
}

fn certificate(section: &mut Section<'_>, folder: &Path) -> CertificateSpec {
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

/// SHA-256 in hexadecimal, in which blanks and colons don't count.
fn fingerprint(section: &mut Section<'_>, key: &str, text: &str) -> Option<String> {
    parsed(section, key, text, heard(text), "write the 64 hexadecimal digits of a SHA-256")
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

fn request(section: &mut Section<'_>) -> RequestSpec {
    let name = identifier(section);
    let key = section.text("key", "the name of the key that the request is for");
    let subject_table = section.table_or_empty("subject");
    let subject = subject(Section::new(section.key("subject"), subject_table, section.mistakes));
    RequestSpec { name, key, subject }
}

fn crl(section: &mut Section<'_>, folder: &Path) -> CrlSpec {
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

fn copy(section: &mut Section<'_>) -> CopySpec {
    CopySpec {
        key: section.text("key", "the name of the key to copy"),
        to: section.text("to", "the name of the token that receives it"),
    }
}

fn destruction(section: &mut Section<'_>) -> DestructionSpec {
    let key = section.text("key", "the name of the key to destroy");
    let sha256 = section.text("public_key_sha256", "the SHA-256 of its SubjectPublicKeyInfo in hexadecimal");
    let sha256 = fingerprint(section, "public_key_sha256", &sha256).unwrap_or_default();
    DestructionSpec { key, public_key_sha256: sha256 }
}
