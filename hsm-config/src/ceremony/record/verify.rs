//! Re-checks what a ceremony left, years later, with its files alone: no token, no network, no clock.
//!
//! The log is checked line by line; transcript and text are computed from it again and compared; every file, certificate,
//! CRL, request and proof is checked against what the log says of it; every signature under the transcript is checked.
//! What is wrong is named one by one. Whoever rewrites all of it can sign it with keys of their own: only a certificate
//! from elsewhere tells whose it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use der::Decode;
use serde::Serialize;
use serde_json::Value;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::event::{CertificateRecord, Event, KeyRecord, Proof};
use super::log::Chain;
use super::transcript::{Kind, Transcript};
use super::{JSON, LOG, TEXT};
use crate::ceremony::check;
use crate::ceremony::facts::{Facts, Requested};
use crate::ceremony::sha256;
use crate::ceremony::spec::{Input, Profile};
use ca_x509::{KeyKind, SignatureAlgorithm, cms, verify};

/// What a ceremony's folder was found to be.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The ceremony's title.
    pub ceremony: String,
    /// What the transcript records.
    pub kind: Option<Kind>,
    /// Whether it was signed by every certificate that was given from elsewhere, and there was one. Without, a folder that
    /// agrees with itself may have been written by anybody.
    pub authenticated: bool,
    /// What was checked and is right.
    pub right: Vec<String>,
    /// What is wrong, each with its place.
    pub wrong: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, and the place in it.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// Checks a folder. Each of `trusted` must be the certificate of somebody who signed the transcript.
pub fn verify(folder: &Path, trusted: &[Input]) -> Report {
    let mut check = Check { folder, right: Vec::new(), wrong: Vec::new() };
    let transcript = check.log();
    if let Some((chain, transcript)) = &transcript {
        check.transcript(transcript);
        check.files(transcript);
        check.contents(chain, transcript);
        check.signatures(transcript, trusted);
        for problem in check.unsigned(transcript) {
            check.wrong(LOG, problem);
        }
    }
    let transcript = transcript.map(|(_, transcript)| transcript);
    Report {
        ceremony: transcript.as_ref().map_or_else(String::new, |transcript| transcript.ceremony.clone()),
        kind: transcript.map(|transcript| transcript.kind),
        authenticated: check.wrong.is_empty() && !trusted.is_empty(),
        right: check.right,
        wrong: check.wrong,
    }
}

struct Check<'a> {
    folder: &'a Path,
    right: Vec<String>,
    wrong: Vec<Finding>,
}

impl Check<'_> {
    fn wrong(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.wrong.push(Finding { place: place.into(), problem: problem.into() });
    }

    fn read(&mut self, name: &str) -> Option<Vec<u8>> {
        match fs::read(self.folder.join(name)) {
            Ok(content) => Some(content),
            Err(error) => {
                self.wrong(name, format!("can't be read: {error}"));
                None
            }
        }
    }

    /// The chain of hashes, and what the log amounts to.
    fn log(&mut self) -> Option<(Chain, Transcript)> {
        let content = self.read(LOG)?;
        let chain = match Chain::parse(&content) {
            Ok(chain) => chain,
            Err(fault) => {
                self.wrong(LOG, fault.to_string());
                return None;
            }
        };
        if !content.ends_with(b"\n") {
            self.wrong(LOG, "its last line is cut off");
        }
        let transcript = Transcript::of(&chain)?;
        if transcript.finished.is_none() {
            self.wrong(LOG, "the ceremony has no end: lines were removed, or it was never finished");
        }
        self.right
            .push(format!("{LOG}: {} lines, each with the hash of the one before", chain.entries.len()));
        Some((chain, transcript))
    }

    /// Both forms of the transcript, computed again.
    fn transcript(&mut self, transcript: &Transcript) {
        let Ok(json) = transcript.to_json() else { return };
        let before = self.wrong.len();
        if let Some(found) = self.read(JSON)
            && found != json
        {
            match (serde_json::from_slice(&found), serde_json::from_slice(&json)) {
                (Ok(found), Ok(right)) => self.differences(JSON, &found, &right),
                _ => self.wrong(JSON, "is no JSON"),
            }
            if self.wrong.len() == before {
                self.wrong(JSON, "was written anew: same content, other spelling");
            }
        }
        if let Some(found) = self.read(TEXT) {
            let right = transcript.to_text(&sha256(&json));
            let found = String::from_utf8_lossy(&found).into_owned();
            let lines = found.lines().count().max(right.lines().count());
            let differ = |line: &usize| found.lines().nth(*line) != right.lines().nth(*line);
            if let Some(line) = (0..lines).find(differ) {
                let says = found.lines().nth(line).unwrap_or_default();
                self.wrong(
                    format!("{TEXT} line {}", line + 1),
                    format!("is not what the log says: {says:?}"),
                );
            }
        }
        if self.wrong.len() == before {
            self.right.push(format!("{JSON}, {TEXT}: what the log amounts to, to the letter"));
        }
    }

    /// Names each place where a transcript says other than its log.
    fn differences(&mut self, place: &str, found: &Value, right: &Value) {
        match (found, right) {
            (Value::Object(found), Value::Object(right)) => {
                for key in found.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                    match (found.get(key), right.get(key)) {
                        (Some(found), Some(right)) => {
                            self.differences(&format!("{place}: {key}"), found, right);
                        }
                        (None, _) => self.wrong(format!("{place}: {key}"), "was removed"),
                        (_, None) => self.wrong(format!("{place}: {key}"), "was added"),
                    }
                }
            }
            (Value::Array(found), Value::Array(right)) => {
                if found.len() != right.len() {
                    let problem = format!("has {} items; the log has {}", found.len(), right.len());
                    self.wrong(place, problem);
                }
                for (index, (found, right)) in found.iter().zip(right).enumerate() {
                    self.differences(&format!("{place}[{}]", index + 1), found, right);
                }
            }
            _ if found == right => {}
            _ => self.wrong(place, format!("was altered: it says {found}, the log {right}")),
        }
    }

    /// Every file that the log lists, and no other.
    fn files(&mut self, transcript: &Transcript) {
        let before = self.wrong.len();
        for file in &transcript.files {
            if let Some(content) = self.read(&file.name)
                && sha256(&content) != file.sha256
            {
                self.wrong(&file.name, "was altered: its SHA-256 is not the one in the log");
            }
        }
        let own = [LOG, JSON, TEXT].map(str::to_owned);
        let listed = transcript.files.iter().map(|file| file.name.clone());
        let signatures = transcript.signers.iter().map(|signer| signer.file.clone());
        let known: BTreeSet<String> = listed.chain(signatures).chain(own).collect();
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !known.contains(&name) {
                self.wrong(name, "is not a file of this ceremony");
            }
        }
        if self.wrong.len() == before {
            self.right.push(format!(
                "{} files: as they were written, none missing, none added",
                transcript.files.len()
            ));
        }
    }

    /// Everything that was signed, against the keys and certificates that signed it.
    fn contents(&mut self, chain: &Chain, transcript: &Transcript) {
        let before = self.wrong.len();
        for key in &transcript.keys {
            self.key(key, transcript);
        }
        for copy in &transcript.copies {
            let key = transcript.keys.iter().find(|key| key.name == copy.key);
            let verdict = key.ok_or_else(|| "is of no key of this ceremony".to_owned());
            if let Err(problem) = verdict.and_then(|key| proven(&key.public_key.0, &copy.proof)) {
                self.wrong(format!("{LOG}: the copy of key {:?}", copy.key), problem);
            }
        }
        for certificate in &transcript.certificates {
            if let Err(problem) = self.certificate(certificate, transcript) {
                self.wrong(format!("{LOG}: certificate {:?}", certificate.name), problem);
            }
        }
        for request in &transcript.requests {
            if let Err(problem) = Requested::of(&request.der.0) {
                self.wrong(format!("{LOG}: request {:?}", request.name), problem);
            }
        }
        for crl in &transcript.crls {
            let expected = check::CrlExpected { number: crl.number, entries: crl.entries };
            let verdict =
                self.issuer(&crl.issuer, transcript).and_then(|der| check::crl(&crl.der.0, &der, expected));
            if let Err(problem) = verdict {
                self.wrong(format!("{LOG}: the CRL of {:?}", crl.issuer), problem);
            }
        }
        let began = chain.entries.iter().filter(|entry| matches!(entry.event, Event::Began(_))).count();
        if began != 1 {
            self.wrong(LOG, "begins more than once");
        }
        if self.wrong.len() == before {
            let (keys, certificates) = (transcript.keys.len(), transcript.certificates.len());
            let crls = transcript.crls.len();
            self.right.push(format!(
                "{keys} keys proven, {certificates} certificates and {crls} CRLs signed by whom they say"
            ));
        }
    }

    /// A key's hash, its proof, and that its certificate is its own.
    fn key(&mut self, key: &KeyRecord, transcript: &Transcript) {
        let place = format!("{LOG}: key {:?}", key.name);
        if sha256(&key.public_key.0) != key.public_key_sha256 {
            self.wrong(&place, "its hash is not that of its public key");
        }
        if let Err(problem) = proven(&key.public_key.0, &key.proof) {
            self.wrong(&place, problem);
        }
        let own = transcript.certificates.iter().filter(|c| c.key.as_deref() == Some(&key.name));
        for certificate in own.filter(|certificate| certificate.profile != Profile::Link) {
            let same = Facts::of(&certificate.der.0)
                .and_then(|facts| spki(&key.public_key.0).map(|own| facts.public_key == own));
            if same != Ok(true) {
                self.wrong(&place, format!("its certificate {:?} certifies another key", certificate.name));
            }
        }
    }

    fn certificate(&self, record: &CertificateRecord, transcript: &Transcript) -> Result<(), String> {
        if sha256(&record.der.0) != record.sha256 {
            return Err("its fingerprint is not its own".to_owned());
        }
        let facts = Facts::of(&record.der.0)?;
        let said = (&record.serial, record.not_before, record.not_after);
        if said != (&hex::encode(&facts.serial), facts.not_before, facts.not_after) {
            return Err("its serial number or validity is not what the log says".to_owned());
        }
        let issuer = self.issuer(&record.issued_by, transcript)?;
        check::certificate(record.profile, &record.der.0, &issuer, &facts.public_key)
    }

    /// The certificate of an issuer: signed in the ceremony, or among its files.
    fn issuer(&self, name: &str, transcript: &Transcript) -> Result<Vec<u8>, String> {
        if let Some(record) = transcript.certificates.iter().find(|certificate| certificate.name == name) {
            return Ok(record.der.0.clone());
        }
        let file = format!("{name}.pem");
        Input::read(&self.folder.join(&file))
            .map(|input| input.der)
            .map_err(|e| format!("its issuer's {file} {e}"))
    }

    /// Who had to sign and isn't among the signers: each key that has a certificate and still is there, each person who
    /// has one.
    fn unsigned(&self, transcript: &Transcript) -> Vec<String> {
        let has_signed = |certificates: &[String]| {
            transcript.signers.iter().any(|signer| certificates.contains(&signer.certificate_sha256))
        };
        let left = transcript.keys.iter().filter(|key| {
            let destroyed = transcript.destroyed.iter().any(|destroyed| destroyed.key == key.name);
            let certificates = self.certificates_of(key, transcript);
            !destroyed && !certificates.is_empty() && !has_signed(&certificates)
        });
        let keys = left.map(|key| format!("key {:?} is not among those that sign the transcript", key.name));
        let absent = transcript.present.iter().filter(|person| {
            person.certificate_sha256.as_ref().is_some_and(|hash| !has_signed(std::slice::from_ref(hash)))
        });
        let people =
            absent.map(|person| format!("{} is not among those who sign the transcript", person.name));
        keys.chain(people).collect()
    }

    /// SHA-256 of a key's certificates: those signed in the ceremony, and those that existed, by their files.
    fn certificates_of(&self, key: &KeyRecord, transcript: &Transcript) -> Vec<String> {
        let issued = transcript.certificates.iter();
        let own = issued.clone().filter(|record| record.key.as_deref() == Some(&key.name));
        let own = own.filter(|record| record.profile != Profile::Link).map(|record| record.sha256.clone());
        let names = transcript.files.iter().filter_map(|file| file.name.strip_suffix(".pem"));
        let existing =
            names.filter(|name| *name != "chain" && issued.clone().all(|record| record.name != *name));
        let existing = existing.filter_map(|name| {
            let der = Input::read(&self.folder.join(format!("{name}.pem"))).ok()?.der;
            let public_key = Facts::of(&der).ok()?.public_key;
            (spki(&key.public_key.0).ok()? == public_key).then(|| sha256(&der))
        });
        own.chain(existing).collect()
    }

    /// Every signature that the log promises, and those of `trusted`.
    fn signatures(&mut self, transcript: &Transcript, trusted: &[Input]) {
        let Some(json) = self.read(JSON) else { return };
        let mut signed_by = BTreeSet::new();
        for signer in &transcript.signers {
            let Some(file) = self.read(&signer.file) else { continue };
            let checked = cms::check(&file, &json);
            match checked.map(|found| (sha256(&found.certificate), found.subject)) {
                Err(problem) => {
                    self.wrong(&signer.file, format!("the signature of {} {problem}", signer.who));
                }
                Ok((certificate, subject)) if certificate != signer.certificate_sha256 => {
                    let problem = format!("is by {subject}, not by {}", signer.who);
                    self.wrong(&signer.file, problem);
                }
                Ok((certificate, subject)) => {
                    self.right.push(format!("{}: signed by {} ({subject})", signer.file, signer.who));
                    signed_by.insert(certificate);
                }
            }
        }
        for certificate in trusted.iter().filter(|input| !signed_by.contains(&sha256(&input.der))) {
            self.wrong(certificate.path.display().to_string(), "its key has not signed this transcript");
        }
    }
}

/// Whether a proof is one, by this key.
fn proven(public_key: &[u8], proof: &Proof) -> Result<(), String> {
    if !proof.text.starts_with(Proof::PREFIX) {
        return Err("its proof is over something else than a proof's text".to_owned());
    }
    let public_key = spki(public_key)?;
    let algorithm = SignatureAlgorithm::for_key(KeyKind::of(&public_key).map_err(|e| e.to_string())?);
    verify::verify(&public_key, algorithm, proof.text.as_bytes(), &proof.signature.0)
        .map_err(|e| format!("its proof is not by this key: {e}"))
}

fn spki(der: &[u8]) -> Result<SubjectPublicKeyInfoOwned, String> {
    SubjectPublicKeyInfoOwned::from_der(der).map_err(|e| format!("its public key can't be read: {e}"))
}
