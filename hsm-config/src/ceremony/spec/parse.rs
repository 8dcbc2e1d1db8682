//! From the TOML text to a [`Spec`]: the shape here, what belongs together in [`lint`](super::super::lint).

mod certificate;
mod crl;
mod token;

use std::path::Path;

use toml::Table;

use super::super::fingerprint::heard;
use super::super::lint;
use super::input::input;
use super::mistake::{Mistake, Mistakes};
use super::section::Section;
use super::{CopySpec, DestructionSpec, KeySpec, Kind, Origin, Person, Signs, Spec};
use crate::token::KeyAlgorithm;
use crate::worker::protocol::Leaving;
use certificate::{certificate, request};
use crl::crl;
use token::{key_id, token, witness_token};

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
    let mut spec = Spec {
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
    spec.confine();
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

/// SHA-256 in hexadecimal, in which blanks and colons don't count.
fn fingerprint(section: &mut Section<'_>, key: &str, text: &str) -> Option<String> {
    parsed(section, key, text, heard(text), "write the 64 hexadecimal digits of a SHA-256")
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
