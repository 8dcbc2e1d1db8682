//! `inro-hsm keys`: what is on a token, whose certificate each key has, and how often it was used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use ca_x509::KeyKind;
use der::Decode;
use jiff::Timestamp;
use serde::Serialize;
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoOwned};

use crate::doctor::{self, Finding, Subject, SubjectKey};
use crate::journal::verify::{self, KeyReport};
use crate::token::{KeyId, TokenDescription};
use crate::worker::handle::Worker;
use crate::worker::look::{Look, Object, ObjectKind, Seen};
use crate::worker::protocol::{Answer, Command, KeyAttributes};

/// For anything but signing.
const LIMIT: Duration = Duration::from_mins(1);

/// A token's keys.
#[derive(Clone, Debug, Serialize)]
pub struct Inventory {
    /// The token.
    pub token: TokenDescription,
    /// Private keys, and configured keys that aren't there, by `CKA_ID`.
    pub keys: Vec<Entry>,
    /// What belongs to no private key.
    pub others: Vec<Stray>,
}

/// A private key, or one that is missing.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// `CKA_ID` in hexadecimal.
    pub id: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// Its label in the signer's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured_as: Option<String>,
    /// `CKA_KEY_TYPE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// What it is, such as `P-256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// SHA-256 of its public key's DER, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<String>,
    /// What the token says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<KeyAttributes>,
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateEntry>,
    /// What the journal knows of its use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<KeyReport>,
    /// What is odd about it.
    pub remarks: Vec<String>,
}

/// A key's certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateEntry {
    /// `configuration` or `token`.
    pub from: &'static str,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whole days until then, negative afterwards.
    pub days_left: i64,
}

/// An object without a private key.
#[derive(Clone, Debug, Serialize)]
pub struct Stray {
    /// Its kind.
    pub kind: ObjectKind,
    /// `CKA_ID` in hexadecimal.
    pub id: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// What is odd about it.
    pub remark: String,
}

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The token can't be opened.
    #[error("the token can't be opened:{}", told(.0))]
    Closed(Vec<Finding>),
    /// It can't be read.
    #[error("the token's objects can't be read")]
    Token(#[from] crate::worker::handle::CallError),
    /// The journal can't be read.
    #[error("the journal can't be read")]
    Journal(#[from] crate::journal::OpenError),
}

/// Findings as lines of an error.
pub(crate) fn told(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |text, finding| {
        let remedy = finding.remedy.as_ref().map(|remedy| format!(": {remedy}")).unwrap_or_default();
        format!("{text}\n  - {} {}{remedy}", finding.about, finding.finding)
    })
}

/// Takes the inventory of a subject's token; `journal` gives use counts.
///
/// # Errors
/// [`InventoryError`].
pub async fn inventory(subject: &Subject, journal: Option<PathBuf>) -> Result<Inventory, InventoryError> {
    let uses = match journal.filter(|journal| journal.exists()) {
        Some(journal) => verify::verify(&journal)?.keys,
        None => Vec::new(),
    };
    let (worker, token) = doctor::open(subject, 1).await.map_err(InventoryError::Closed)?;
    let read = read(subject, &worker, &uses).await;
    worker.stop().await;
    let (keys, others) = read?;
    Ok(Inventory { token, keys, others })
}

async fn read(
    subject: &Subject,
    worker: &Worker,
    uses: &[KeyReport],
) -> Result<(Vec<Entry>, Vec<Stray>), InventoryError> {
    let Answer::Seen(Seen::Objects(objects)) = worker.call(Command::Look(Look::Objects), LIMIT).await? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let of = |kind: ObjectKind| objects.iter().filter(move |object| object.kind == kind);
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for object in of(ObjectKind::PrivateKey) {
        *by_id.entry(&object.id).or_default() += 1;
    }
    let mut keys = Vec::new();
    for object in of(ObjectKind::PrivateKey) {
        let certificate = of(ObjectKind::Certificate).find(|other| other.id == object.id);
        let mut entry = entry(subject, worker, object, certificate, uses).await;
        if by_id.get(object.id.as_str()).is_some_and(|count| *count > 1) {
            entry
                .remarks
                .push("several private keys have this CKA_ID; the signer refuses all of them".to_owned());
        }
        keys.push(entry);
    }
    for missing in subject.keys.iter().filter(|key| !by_id.contains_key(key.id.to_string().as_str())) {
        keys.push(absent(missing, uses));
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    let others = objects.iter().filter(|object| !by_id.contains_key(object.id.as_str())).filter_map(stray);
    Ok((keys, others.collect()))
}

async fn entry(
    subject: &Subject,
    worker: &Worker,
    object: &Object,
    certificate: Option<&Object>,
    uses: &[KeyReport],
) -> Entry {
    let mut entry = Entry {
        id: object.id.clone(),
        label: object.label.clone(),
        configured_as: None,
        key_type: object.key_type.clone(),
        algorithm: None,
        public_key_sha256: None,
        attributes: None,
        certificate: certificate.and_then(|object| on_token(&object.value)),
        uses: None,
        remarks: Vec::new(),
    };
    let Ok(id) = object.id.parse::<KeyId>() else {
        entry.remarks.push("has no CKA_ID that Inro could name it by".to_owned());
        return entry;
    };
    match worker.public_key(&id, LIMIT).await {
        Ok(public) => {
            entry.public_key_sha256 = Some(hex::encode(digest(&SHA256, &public)));
            entry.algorithm = algorithm(&public);
            if let Some(key) = subject.keys.iter().find(|key| key.id == id) {
                configured(&mut entry, key, uses);
                if public != key.public_key_der {
                    entry.remarks.push("is not the key in its configured certificate".to_owned());
                }
            }
        }
        Err(error) => entry.remarks.push(format!("its public key can't be read: {error}")),
    }
    match worker.attributes(&id, LIMIT).await {
        Ok(attributes) => {
            for (name, value, wanted) in doctor::key::claims(&attributes) {
                if name != "CKA_WRAP_WITH_TRUSTED" && value != Some(wanted) {
                    let value = value.map_or_else(|| "isn't told".to_owned(), |value| format!("is {value}"));
                    entry.remarks.push(format!("{name} {value}"));
                }
            }
            entry.attributes = Some(attributes);
        }
        Err(error) => entry.remarks.push(format!("its attributes can't be read: {error}")),
    }
    match &entry.certificate {
        None => entry
            .remarks
            .push("no certificate is known for it: another signer's key, or one to retire".to_owned()),
        Some(certificate) if certificate.days_left < 0 => {
            entry.remarks.push("its certificate has ended".to_owned());
        }
        Some(_) => {}
    }
    entry
}

fn algorithm(public_key: &[u8]) -> Option<String> {
    let key = SubjectPublicKeyInfoOwned::from_der(public_key).ok()?;
    Some(match KeyKind::of(&key).ok()? {
        KeyKind::P256 => "P-256".to_owned(),
        KeyKind::P384 => "P-384".to_owned(),
        KeyKind::Rsa { bits } => format!("RSA-{bits}"),
    })
}

fn configured(entry: &mut Entry, key: &SubjectKey, uses: &[KeyReport]) {
    entry.configured_as = Some(key.label.clone());
    entry.certificate = Some(certificate("configuration", key.subject.clone(), key.not_after));
    entry.uses = uses.iter().find(|report| report.key == key.label).cloned();
}

fn absent(key: &SubjectKey, uses: &[KeyReport]) -> Entry {
    let mut entry = Entry {
        id: key.id.to_string(),
        label: String::new(),
        configured_as: None,
        key_type: None,
        algorithm: None,
        public_key_sha256: None,
        attributes: None,
        certificate: None,
        uses: None,
        remarks: vec!["its certificate is configured, but there is no such private key".to_owned()],
    };
    configured(&mut entry, key, uses);
    entry
}

fn on_token(value: &[u8]) -> Option<CertificateEntry> {
    let read = Certificate::from_der(value).ok()?;
    let tbs = read.tbs_certificate();
    let not_after = ca_x509::time::from_x509(&tbs.validity().not_after).ok()?;
    Some(certificate("token", tbs.subject().to_string(), not_after))
}

fn certificate(from: &'static str, subject: String, not_after: Timestamp) -> CertificateEntry {
    let days_left = not_after.duration_since(Timestamp::now()).as_hours().div_euclid(24);
    CertificateEntry { from, subject, not_after, days_left }
}

fn stray(object: &Object) -> Option<Stray> {
    let remark = match object.kind {
        ObjectKind::PrivateKey => return None,
        ObjectKind::PublicKey => "a public key without its private key",
        ObjectKind::Certificate => "a certificate without its private key",
        ObjectKind::SecretKey => "a secret key, which Inro keeps none of",
    };
    let Object { kind, id, label, .. } = object.clone();
    Some(Stray { kind, id, label, remark: remark.to_owned() })
}
