//! The record of a ceremony: for programs as JSON, for the people who sign it as text. It holds no secret.

use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::spec::{Person, Profile};
use crate::token::{KeyAlgorithm, TokenDescription};
use crate::worker::protocol::KeyAttributes;

/// Everything that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Transcript {
    /// Version of this format.
    pub format: u32,
    /// What it records.
    pub kind: Kind,
    /// The ceremony's title.
    pub ceremony: String,
    /// The program and its version.
    pub program: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Hash of the specification, hexadecimal.
    pub spec_sha256: String,
    /// Who was present, by the specification.
    pub present: Vec<Person>,
    /// The tokens used.
    pub tokens: Vec<TokenRecord>,
    /// The keys made.
    pub keys: Vec<KeyRecord>,
    /// The certificates signed.
    pub certificates: Vec<CertificateRecord>,
    /// The CRLs signed.
    pub crls: Vec<CrlRecord>,
    /// Every step in its order.
    pub steps: Vec<Step>,
    /// The files written, except the transcripts themselves.
    pub files: Vec<FileRecord>,
    /// What stopped it, if something did.
    pub failure: Option<String>,
}

/// What a transcript records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A ceremony that was completed.
    Ceremony,
    /// A rehearsal on throw-away tokens. Its keys and certificates no longer exist.
    Rehearsal,
    /// A ceremony that stopped half-way.
    Incomplete,
}

/// A token.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRecord {
    /// Its name in the specification.
    pub name: String,
    /// The module that drove it.
    pub module: PathBuf,
    /// Hash of the module's file, hexadecimal.
    pub module_sha256: Option<String>,
    /// What it says about itself.
    #[serde(flatten)]
    pub token: TokenDescription,
}

/// A key pair.
#[derive(Clone, Debug, Serialize)]
pub struct KeyRecord {
    /// Its name in the specification, also its `CKA_LABEL`.
    pub name: String,
    /// The token.
    pub token: String,
    /// `CKA_ID`, hexadecimal.
    pub id: String,
    /// Its kind.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of its `SubjectPublicKeyInfo`, hexadecimal.
    pub public_key_sha256: String,
    /// What the token says about the private key.
    pub attributes: KeyAttributes,
}

/// A certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateRecord {
    /// Its name in the specification.
    pub name: String,
    /// Its profile.
    pub profile: Profile,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// The key that it certifies.
    pub key: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of its DER, hexadecimal: the fingerprint to compare.
    pub sha256: String,
}

/// A CRL.
#[derive(Clone, Debug, Serialize)]
pub struct CrlRecord {
    /// The certificate of its issuer.
    pub issuer: String,
    /// CRLNumber.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub what: String,
}

/// A file.
#[derive(Clone, Debug, Serialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

impl Transcript {
    /// The record as JSON.
    ///
    /// # Errors
    /// None in practice; `serde_json`'s.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// The record as text, with the JSON's hash and lines to sign on.
    pub fn to_text(&self, json_sha256: &str) -> String {
        let mut text = String::new();
        // Writing into a string can't fail.
        let _ = self.write_text(&mut text, json_sha256);
        text
    }

    fn write_text(&self, out: &mut String, json_sha256: &str) -> std::fmt::Result {
        let banner = match self.kind {
            Kind::Ceremony => "KEY CEREMONY",
            Kind::Rehearsal => {
                "REHEARSAL - throw-away tokens; none of these keys and certificates exists any more"
            }
            Kind::Incomplete => "INCOMPLETE KEY CEREMONY - its output must not be used",
        };
        writeln!(out, "{banner}\n\n{}", self.ceremony)?;
        writeln!(out, "Program        {}", self.program)?;
        writeln!(out, "Began          {}", self.started)?;
        if let Some(finished) = self.finished {
            writeln!(out, "Ended          {finished}")?;
        }
        writeln!(out, "Specification  SHA-256 {}", self.spec_sha256)?;
        if let Some(failure) = &self.failure {
            writeln!(out, "Stopped by     {failure}")?;
        }
        heading(out, "Present")?;
        for person in &self.present {
            writeln!(out, "{} ({})", person.name, person.role)?;
        }
        heading(out, "Steps")?;
        for step in &self.steps {
            writeln!(out, "{}  {}", step.at, step.what)?;
        }
        self.write_hardware(out)?;
        self.write_signed(out)?;
        heading(out, "Files (SHA-256)")?;
        for file in &self.files {
            writeln!(out, "{}  {}", file.sha256, file.name)?;
        }
        writeln!(out, "{json_sha256}  the JSON form of this transcript")?;
        heading(out, "Signatures of those present")?;
        for person in &self.present {
            writeln!(
                out,
                "\n______________________________  ____________\n{} ({})",
                person.name, person.role
            )?;
        }
        Ok(())
    }

    fn write_hardware(&self, out: &mut String) -> std::fmt::Result {
        heading(out, "Tokens")?;
        for TokenRecord { name, module, module_sha256, token } in &self.tokens {
            writeln!(out, "{name}: label {:?}, slot {}", token.label, token.slot)?;
            writeln!(
                out,
                "  manufacturer {:?}, model {:?}, serial {:?}",
                token.manufacturer, token.model, token.serial
            )?;
            writeln!(out, "  firmware {}, hardware {}", token.firmware, token.hardware)?;
            writeln!(out, "  module {}", module.display())?;
            if let Some(hash) = module_sha256 {
                writeln!(out, "  module SHA-256 {hash}")?;
            }
        }
        heading(out, "Keys")?;
        for key in &self.keys {
            writeln!(out, "{}: {} on token {}, CKA_ID {}", key.name, key.algorithm, key.token, key.id)?;
            writeln!(out, "  public key SHA-256 {}", key.public_key_sha256)?;
            writeln!(out, "  {}", attributes(&key.attributes))?;
        }
        Ok(())
    }

    fn write_signed(&self, out: &mut String) -> std::fmt::Result {
        heading(out, "Certificates")?;
        for certificate in &self.certificates {
            writeln!(out, "{}: {}", certificate.name, certificate.subject)?;
            writeln!(out, "  issuer {}", certificate.issuer)?;
            writeln!(out, "  serial {}", certificate.serial)?;
            writeln!(out, "  valid {} to {}", certificate.not_before, certificate.not_after)?;
            writeln!(out, "  key {}", certificate.key)?;
            writeln!(out, "  fingerprint SHA-256 {}", certificate.sha256)?;
        }
        heading(out, "CRLs")?;
        for crl in &self.crls {
            writeln!(
                out,
                "{}: number {}, {} to {}",
                crl.issuer, crl.number, crl.this_update, crl.next_update
            )?;
            writeln!(out, "  SHA-256 {}", crl.sha256)?;
        }
        Ok(())
    }
}

fn heading(out: &mut String, text: &str) -> std::fmt::Result {
    writeln!(out, "\n{text}\n{}", "-".repeat(text.len()))
}

fn attributes(attributes: &KeyAttributes) -> String {
    let told = [
        ("SENSITIVE", attributes.sensitive),
        ("ALWAYS_SENSITIVE", attributes.always_sensitive),
        ("EXTRACTABLE", attributes.extractable),
        ("NEVER_EXTRACTABLE", attributes.never_extractable),
        ("LOCAL", attributes.local),
        ("TOKEN", attributes.token),
        ("PRIVATE", attributes.private),
        ("SIGN", attributes.sign),
        ("DECRYPT", attributes.decrypt),
        ("UNWRAP", attributes.unwrap),
        ("DERIVE", attributes.derive),
    ];
    let told = told.iter().map(|(name, value)| match value {
        Some(true) => format!("{name} yes"),
        Some(false) => format!("{name} no"),
        None => format!("{name} untold"),
    });
    told.collect::<Vec<_>>().join(", ")
}
