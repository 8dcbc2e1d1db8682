//! The transcript for people: what was done, by whom, and what to compare it with.

use std::fmt::{Result, Write};

use super::LOG;
use super::event::TokenRecord;
use super::transcript::{Kind, Transcript};
use crate::ceremony::fingerprint;
use crate::worker::protocol::KeyAttributes;

impl Transcript {
    /// The record as text, with the JSON's hash and lines to sign on.
    pub fn to_text(&self, json_sha256: &str) -> String {
        let mut text = String::new();
        // Writing into a string can't fail.
        let _ = write(self, &mut text, json_sha256);
        text
    }
}

fn write(transcript: &Transcript, out: &mut String, json_sha256: &str) -> Result {
    let banner = match transcript.kind {
        Kind::Ceremony => "KEY CEREMONY",
        Kind::Rehearsal => {
            "REHEARSAL - throw-away tokens; none of these keys and certificates exists any more"
        }
        Kind::Incomplete => "INCOMPLETE KEY CEREMONY - its output must not be used",
        Kind::RolledBack => {
            "KEY CEREMONY, TAKEN BACK - its keys were destroyed and nothing of it may be used"
        }
    };
    writeln!(out, "{banner}\n\n{}", transcript.ceremony)?;
    writeln!(out, "Purpose        {}", transcript.purpose.name())?;
    writeln!(out, "Program        {}", transcript.program)?;
    writeln!(out, "Began          {}", transcript.started)?;
    if let Some(finished) = transcript.finished {
        writeln!(out, "Ended          {finished}")?;
    }
    writeln!(out, "Specification  SHA-256 {}", transcript.spec_sha256)?;
    if let Some(failure) = &transcript.failure {
        writeln!(out, "Stopped by     {failure}")?;
    }
    heading(out, "Present")?;
    for person in &transcript.present {
        writeln!(out, "{} ({})", person.name, person.role)?;
    }
    heading(out, "Steps")?;
    for step in &transcript.steps {
        writeln!(out, "{}  {}", step.at, step.what)?;
    }
    tokens(transcript, out)?;
    keys(transcript, out)?;
    signed(transcript, out)?;
    files(transcript, out, json_sha256)?;
    heading(out, "Signatures of those present")?;
    for person in &transcript.present {
        writeln!(out, "\n______________________________  ____________\n{} ({})", person.name, person.role)?;
    }
    Ok(())
}

fn tokens(transcript: &Transcript, out: &mut String) -> Result {
    heading(out, "Tokens")?;
    for TokenRecord { name, module, module_sha256, token } in &transcript.tokens {
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
    Ok(())
}

fn keys(transcript: &Transcript, out: &mut String) -> Result {
    heading(out, "Keys")?;
    for key in &transcript.keys {
        let made = if key.made { "made" } else { "found" };
        writeln!(out, "{}: {}, {made} on token {}, CKA_ID {}", key.name, key.algorithm, key.token, key.id)?;
        writeln!(out, "  public key SHA-256 {}", key.public_key_sha256)?;
        writeln!(out, "  {}", key.whereabouts)?;
        writeln!(out, "  {}", attributes(&key.attributes))?;
    }
    for copy in &transcript.copies {
        writeln!(out, "{}: copied from token {} to token {}", copy.key, copy.from, copy.to)?;
        writeln!(out, "  proven by a signature of the key on token {}", copy.to)?;
        writeln!(out, "  {}", copy.whereabouts)?;
        writeln!(out, "  {}", attributes(&copy.attributes))?;
    }
    for key in &transcript.destroyed {
        writeln!(out, "{}: DESTROYED on token {}, CKA_ID {}", key.key, key.token, key.id)?;
        writeln!(out, "  public key SHA-256 {}", key.public_key_sha256)?;
        writeln!(out, "  asked for it, the token answers: {}", key.answer)?;
    }
    Ok(())
}

fn signed(transcript: &Transcript, out: &mut String) -> Result {
    if !transcript.requests.is_empty() {
        heading(out, "Certification requests")?;
    }
    for request in &transcript.requests {
        writeln!(out, "{}: {}", request.name, request.subject)?;
        writeln!(out, "  key {}", request.key)?;
        writeln!(
            out,
            "  fingerprint SHA-256, to read aloud:\n{}",
            fingerprint::shown(&request.sha256, "    ")
        )?;
    }
    heading(out, "Certificates")?;
    for certificate in &transcript.certificates {
        writeln!(out, "{}: {}", certificate.name, certificate.subject)?;
        writeln!(out, "  issuer {}", certificate.issuer)?;
        writeln!(out, "  serial {}", certificate.serial)?;
        writeln!(out, "  valid {} to {}", certificate.not_before, certificate.not_after)?;
        if let Some(key) = &certificate.key {
            writeln!(out, "  key {key}")?;
        }
        if let Some(request) = &certificate.request {
            writeln!(out, "  request SHA-256 {}", request.sha256)?;
        }
        if let Some(attested) = &certificate.attested {
            writeln!(out, "  key made in the token with serial {}, by its maker's word", attested.serial)?;
        }
        writeln!(out, "  fingerprint SHA-256 {}", certificate.sha256)?;
    }
    heading(out, "CRLs")?;
    for crl in &transcript.crls {
        writeln!(out, "{}: number {}, {} to {}", crl.issuer, crl.number, crl.this_update, crl.next_update)?;
        writeln!(out, "  lists {} certificates", crl.entries)?;
        for revoked in &crl.revoked {
            writeln!(out, "  newly revoked: {revoked}")?;
        }
        writeln!(out, "  SHA-256 {}", crl.sha256)?;
    }
    Ok(())
}

fn files(transcript: &Transcript, out: &mut String, json_sha256: &str) -> Result {
    heading(out, "Files (SHA-256)")?;
    for file in &transcript.files {
        writeln!(out, "{}  {}", file.sha256, file.name)?;
    }
    writeln!(out, "{json_sha256}  the JSON form of this transcript")?;
    writeln!(out, "{}  the last of the {} lines of {LOG}", transcript.log_sha256, transcript.log_lines)?;
    for signer in &transcript.signers {
        writeln!(
            out,
            "signed by {} in {}; its certificate is {}",
            signer.who, signer.file, signer.certificate_sha256
        )?;
    }
    Ok(())
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
