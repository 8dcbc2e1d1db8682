//! A copy of a signer's journal behind the signer port: it can be read, and signs nothing. It is what
//! `inro-hsm journal show --json` prints: a JSON object a line.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditPosition,
        ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
        revocation::{Revocation, RevocationReason},
    },
    ports::signer::{
        JournalBody, JournalEntry, JournalHead, JournalPosition, Journaled, JournaledSignature, Signer,
        SignerError,
    },
};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::signer::crl_number;

/// The copy.
pub(crate) struct JournalCopy {
    name: SignerName,
    journal: Uuid,
    entries: Vec<JournalEntry>,
}

#[derive(Deserialize)]
struct Line {
    sequence: u64,
    hash: String,
    at: Timestamp,
    entry: Entry,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Entry {
    Certificate {
        key: String,
        intent: Uuid,
        audit: Anchor,
        tbs: String,
        signature: String,
    },
    Crl {
        key: String,
        audit: Anchor,
        tbs: Option<String>,
        number: Option<u64>,
    },
    Revocation {
        key: String,
        audit: Anchor,
        serial: String,
        revoked_at: Timestamp,
        reason: u8,
        not_after: Timestamp,
    },
    /// Of no concern to the ledger, such as how many OCSP responses were signed.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Anchor {
    sequence: u64,
    hash: String,
}

impl JournalCopy {
    /// Reads the entries of an issuing key. That they are this signer's shows when they are held against the ledger.
    ///
    /// # Errors
    /// When a line can't be read, or none is about this key.
    pub(crate) fn read(
        path: &Path,
        (name, journal): (SignerName, Uuid),
        issuer: &IssuerId,
        key: &str,
    ) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("can't read {shown}"))?;
        let mut copy = Self { name, journal, entries: Vec::new() };
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let number = index + 1;
            let line = line.with_context(|| format!("can't read {shown}"))?;
            let read = serde_json::from_str::<Line>(&line).map_err(anyhow::Error::from);
            let entry = read.and_then(|line| entry(line, issuer, key)).with_context(|| {
                format!("line {number} of {shown} isn't as `inro-hsm journal show --json` prints it")
            })?;
            copy.entries.extend(entry);
        }
        if copy.entries.iter().all(|entry| entry.body == JournalBody::Foreign) {
            bail!(
                "{shown} has no entry of the issuing key {key:?}: name the label in that signer's configuration with --key"
            );
        }
        if !copy.entries.is_sorted_by_key(|entry| entry.position.sequence) {
            bail!("the entries of {shown} are out of order: print the journal once, whole");
        }
        Ok(copy)
    }
}

fn entry(line: Line, issuer: &IssuerId, key: &str) -> anyhow::Result<Option<JournalEntry>> {
    let place = JournalPosition { sequence: line.sequence, hash: hash(&line.hash)? };
    let (of, audit, body) = match line.entry {
        Entry::Other => return Ok(None),
        Entry::Certificate { key, intent, audit, tbs, signature } => {
            let signature = JournaledSignature { signature: hex::decode(signature)?, position: place };
            let (intent, tbs) = (EnrolmentId(intent), hex::decode(tbs)?);
            let journaled = Journaled { intent, tbs, signature, at: line.at, chained: None };
            (key, audit, JournalBody::Certificate(journaled))
        }
        Entry::Crl { key, audit, tbs, number } => {
            let tbs = tbs.map(hex::decode).transpose()?;
            let number = number.or_else(|| tbs.as_deref().and_then(crl_number));
            let number = number.context("a CRL without a number")?;
            (key, audit, JournalBody::Crl(number))
        }
        Entry::Revocation { key, audit, serial, revoked_at, reason, not_after } => {
            let revocation = Revocation {
                issuer: issuer.clone(),
                serial: SerialNumber::from_bytes(&hex::decode(serial)?)?,
                at: revoked_at,
                reason: RevocationReason::from_code(reason).context("a reason that revokes nothing")?,
                not_after,
            };
            (key, audit, JournalBody::Revocation(revocation))
        }
    };
    let audit = AuditPosition { sequence: audit.sequence, hash: hash(&audit.hash)? };
    let body = if of == key { body } else { JournalBody::Foreign };
    Ok(Some(JournalEntry { position: place, at: line.at, audit, body }))
}

fn hash(text: &str) -> anyhow::Result<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).context("a hash that isn't 64 hexadecimal digits")?;
    Ok(hash)
}

fn signs_nothing<T>() -> Result<T, SignerError> {
    Err(SignerError::Unavailable("a copy of a journal signs nothing".to_owned()))
}

#[async_trait]
impl Signer for JournalCopy {
    fn name(&self, _: &IssuerId) -> Result<SignerName, SignerError> {
        Ok(self.name.clone())
    }

    async fn sign_certificate(
        &self,
        _: &IssuerId,
        _: EnrolmentId,
        _: AuditPosition,
        _: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        signs_nothing()
    }

    async fn sign_crl(
        &self,
        _: &IssuerId,
        _: AuditPosition,
        _: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        signs_nothing()
    }

    async fn sign_ocsp(&self, _: &IssuerId, _: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        signs_nothing()
    }

    async fn revoke(
        &self,
        _: &IssuerId,
        _: AuditPosition,
        _: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        signs_nothing()
    }

    async fn recorded(&self, _: &IssuerId, intent: EnrolmentId) -> Result<Option<Journaled>, SignerError> {
        Ok(self.entries.iter().find_map(|entry| match &entry.body {
            JournalBody::Certificate(journaled) if journaled.intent == intent => Some(journaled.clone()),
            _ => None,
        }))
    }

    async fn journaled_after(
        &self,
        _: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError> {
        let first = self.entries.partition_point(|entry| entry.position.sequence <= sequence);
        Ok(self.entries[first..].iter().take(limit as usize).cloned().collect())
    }

    async fn journal(&self, _: &IssuerId) -> Result<JournalHead, SignerError> {
        Ok(JournalHead {
            journal: self.journal,
            last: self.entries.last().map(|entry| entry.position),
            audit: self.entries.iter().map(|entry| entry.audit).max_by_key(|audit| audit.sequence),
        })
    }

    async fn healthy(&self, _: &IssuerId) -> Result<(), SignerError> {
        signs_nothing()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str, key: &str) -> anyhow::Result<JournalCopy> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        let name = SignerName::parse("customer-9").expect("a name");
        let issuer = IssuerId::parse("customer").expect("an issuer");
        JournalCopy::read(file.path(), (name, Uuid::nil()), &issuer, key)
    }

    fn line(sequence: u64, entry: &str) -> String {
        let hash = "ab".repeat(32);
        format!(r#"{{"sequence":{sequence},"hash":"{hash}","at":"2026-11-24T01:00:00Z","entry":{entry}}}"#)
    }

    #[test]
    fn what_the_journals_own_command_prints_is_read_and_nothing_else() {
        let audit = format!(r#""audit":{{"sequence":7,"hash":"{}"}}"#, "cd".repeat(32));
        let revocation = line(
            3,
            &format!(
                r#"{{"kind":"revocation","key":"customer-issuing",{audit},"serial":"7f01","revoked_at":"2026-11-24T01:00:00Z","reason":1,"not_after":"2027-11-24T01:00:00Z"}}"#
            ),
        );
        let crl = line(4, &format!(r#"{{"kind":"crl","key":"customer-issuing",{audit},"number":12}}"#));
        let count = line(5, r#"{"kind":"ocsp","key":"customer-ocsp","count":3}"#);
        let text = format!("{revocation}\n{crl}\n{count}\n");
        let copy = read(&text, "customer-issuing").expect("a copy");
        assert_eq!(copy.entries.len(), 2);
        assert!(
            matches!(&copy.entries[0].body, JournalBody::Revocation(r) if r.serial.to_string() == "7f01")
        );
        assert_eq!(copy.entries[1].body, JournalBody::Crl(12));
        assert_eq!(copy.entries[1].audit.sequence, 7);

        let error = |text: &str, key: &str| format!("{:#}", read(text, key).err().expect("refused"));
        assert!(error(&text, "staff-issuing").contains("--key"));
        assert!(error(&format!("{crl}\n{revocation}\n"), "customer-issuing").contains("out of order"));
        assert!(error("sound: 4 entries\n", "customer-issuing").contains("line 1"));
        assert!(error(&crl.replace("ab", "a"), "customer-issuing").contains("hash"));
    }
}
