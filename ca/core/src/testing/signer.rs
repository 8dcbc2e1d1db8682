//! A signer in memory: real P-256 keys, a journal, and the refusals that matter to the authority.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use ca_x509::ocsp::{CertStatus, ResponseData};
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use x509_cert::crl::{RevokedCert, TbsCertList};

use super::fault::{Fault, Faults, locked};
use crate::{
    domain::{
        audit::AuditPosition,
        ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
        revocation::Revocation,
    },
    ports::signer::{
        JournalBody, JournalEntry, JournalHead, JournalPosition, Journaled, JournaledSignature,
        OUTSIDE_VALIDITY, Signer, SignerError,
    },
};

/// A copy of a journal.
#[derive(Debug)]
pub struct JournalCopy(Journal);

/// The in-memory signer of one issuer.
#[derive(Debug)]
pub struct MemorySigner {
    issuer: IssuerId,
    issuing: EcdsaKeyPair,
    responder: EcdsaKeyPair,
    journal: Mutex<Journal>,
    faults: Faults,
    corrupt: AtomicBool,
    refuse: Mutex<Option<&'static str>>,
    refused_revocation: Mutex<Option<SerialNumber>>,
    ocsp_signed: AtomicU64,
}

#[derive(Clone, Debug)]
struct Journal {
    identity: Uuid,
    entries: Vec<JournalEntry>,
    certificates: Vec<Journaled>,
    revocations: Vec<Revocation>,
    crl_number: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            identity: Uuid::from_u128(1),
            entries: Vec::new(),
            certificates: Vec::new(),
            revocations: Vec::new(),
            crl_number: 0,
        }
    }
}

impl Journal {
    /// What the entries up to this one say.
    fn up_to(&self, sequence: u64) -> Self {
        let entries: Vec<JournalEntry> =
            self.entries.iter().filter(|entry| entry.position.sequence <= sequence).cloned().collect();
        let mut journal = Self { identity: self.identity, ..Self::default() };
        for entry in &entries {
            match &entry.body {
                JournalBody::Certificate(journaled) => journal.certificates.push(journaled.clone()),
                JournalBody::Revocation(revocation) => journal.revocations.push(revocation.clone()),
                JournalBody::Crl(number) => journal.crl_number = *number,
                JournalBody::Foreign => {}
            }
        }
        Self { entries, ..journal }
    }

    /// Where the next entry with this content stands.
    fn next(&self, content: &[u8]) -> JournalPosition {
        JournalPosition { sequence: self.entries.len() as u64 + 1, hash: Sha256::digest(content).into() }
    }

    fn push(&mut self, position: JournalPosition, audit: AuditPosition, body: JournalBody) {
        self.entries.push(JournalEntry { position, at: Timestamp::UNIX_EPOCH, audit, body });
    }
}

impl MemorySigner {
    /// A signer with two P-256 keys in PKCS #8.
    ///
    /// # Panics
    /// When one of the keys isn't that.
    pub fn new(issuer: IssuerId, issuing_pkcs8: &[u8], responder_pkcs8: &[u8]) -> Self {
        let key = |pkcs8| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).expect("a P-256 key in PKCS #8")
        };
        Self {
            issuer,
            issuing: key(issuing_pkcs8),
            responder: key(responder_pkcs8),
            journal: Mutex::default(),
            faults: Faults::default(),
            corrupt: AtomicBool::new(false),
            refuse: Mutex::default(),
            refused_revocation: Mutex::default(),
            ocsp_signed: AtomicU64::new(0),
        }
    }

    /// Orders faults, by the name of the port's method.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The next signature is wrong, as of a module that fails.
    pub fn corrupt_next(&self) {
        self.corrupt.store(true, Ordering::Relaxed);
    }

    /// From now on new certificates are refused with this code; recorded ones are returned.
    pub fn refuse_certificates(&self, code: Option<&'static str>) {
        *locked(&self.refuse) = code;
    }

    /// From now on requests with a revocation of this number are refused whole, as with a notAfter that contradicts
    /// the journal's.
    pub fn refuse_revocation(&self, serial: Option<SerialNumber>) {
        *locked(&self.refused_revocation) = serial;
    }

    /// How many certificates the journal holds.
    pub fn certificates_signed(&self) -> usize {
        locked(&self.journal).certificates.len()
    }

    /// How many OCSP responses were signed.
    pub fn ocsp_signed(&self) -> u64 {
        self.ocsp_signed.load(Ordering::Relaxed)
    }

    /// Which revocations the journal holds.
    pub fn revocations(&self) -> Vec<Revocation> {
        locked(&self.journal).revocations.clone()
    }

    /// Cuts off the journal's end after this entry, as when the host is restored from an old copy.
    pub fn cut_journal(&self, sequence: u64) {
        let mut journal = locked(&self.journal);
        *journal = journal.up_to(sequence);
    }

    /// Puts an empty journal in the place of this one.
    pub fn replace_journal(&self) {
        *locked(&self.journal) = Journal { identity: Uuid::from_u128(2), ..Journal::default() };
    }

    /// Another entry stands where this one stood.
    pub fn rewrite_entry(&self, sequence: u64) {
        for entry in &mut locked(&self.journal).entries {
            if entry.position.sequence == sequence {
                entry.position.hash[0] ^= 1;
            }
        }
    }

    /// Copies the journal.
    pub fn copy_journal(&self) -> JournalCopy {
        JournalCopy(locked(&self.journal).clone())
    }

    /// Takes the journal back to a copy.
    pub fn restore_journal(&self, copy: &JournalCopy) {
        *locked(&self.journal) = copy.0.clone();
    }

    fn sign(&self, key: &EcdsaKeyPair, tbs: &[u8]) -> Vec<u8> {
        let signature = key.sign(&SystemRandom::new(), tbs).expect("aws-lc-rs signs");
        let mut bytes = signature.as_ref().to_vec();
        if self.corrupt.swap(false, Ordering::Relaxed)
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        bytes
    }

    fn act<T>(
        &self,
        method: &'static str,
        issuer: &IssuerId,
        act: impl FnOnce(&mut Journal) -> Result<T, SignerError>,
    ) -> Result<T, SignerError> {
        let fault = self.faults.take(method);
        if fault == Some(Fault::Before) {
            return Err(unavailable());
        }
        if *issuer != self.issuer {
            return Err(refused("wrong_key", "no such issuer"));
        }
        let result = act(&mut locked(&self.journal))?;
        if fault == Some(Fault::After) { Err(unavailable()) } else { Ok(result) }
    }
}

#[async_trait]
impl Signer for MemorySigner {
    fn name(&self, issuer: &IssuerId) -> Result<SignerName, SignerError> {
        if *issuer != self.issuer {
            return Err(refused("wrong_key", "no such issuer"));
        }
        Ok(SignerName::parse("memory").expect("a signer name"))
    }

    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        self.act("sign_certificate", issuer, |journal| {
            if let Some(first) = journal.certificates.iter().find(|c| c.intent == intent) {
                return if first.tbs == tbs {
                    Ok(first.signature.clone())
                } else {
                    Err(refused("intent_reused", "the intent was signed with other bytes"))
                };
            }
            if let Some(code) = *locked(&self.refuse) {
                return Err(refused(code, "a refusal was ordered"));
            }
            let signature = self.sign(&self.issuing, &tbs);
            let signature = JournaledSignature { position: journal.next(&tbs), signature };
            let (signed, at) = (signature.clone(), Timestamp::UNIX_EPOCH);
            let journaled = Journaled { intent, tbs, signature: signed, at, chained: None };
            journal.push(signature.position, audit_head, JournalBody::Certificate(journaled.clone()));
            journal.certificates.push(journaled);
            Ok(signature)
        })
    }

    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        self.act("sign_crl", issuer, |journal| {
            let list: TbsCertList =
                TbsCertList::from_der(&tbs).map_err(|e| refused("malformed", &e.to_string()))?;
            let number = list.crl_extensions.as_deref().and_then(ca_x509::crl::number).unwrap_or_default();
            if number <= journal.crl_number {
                return Err(refused("crl_number", "the CRL number doesn't rise"));
            }
            let this_update = ca_x509::time::from_x509(&list.this_update).unwrap_or(Timestamp::MIN);
            let listed = list.revoked_certificates.unwrap_or_default();
            let is_listed = |serial: &SerialNumber| {
                listed.iter().any(|entry| entry.serial_number.as_bytes() == serial.as_bytes())
            };
            if journal.revocations.iter().any(|r| r.not_after >= this_update && !is_listed(&r.serial)) {
                return Err(refused("denies_revocation", "a journaled revocation is missing"));
            }
            let is_later = |entry: &RevokedCert, revocation: &Revocation| {
                entry.serial_number.as_bytes() == revocation.serial.as_bytes()
                    && ca_x509::time::from_x509(&entry.revocation_date).is_ok_and(|at| at > revocation.at)
            };
            if listed.iter().any(|entry| journal.revocations.iter().any(|r| is_later(entry, r))) {
                return Err(refused("denies_revocation", "a certificate is revoked since an earlier time"));
            }
            journal.crl_number = number;
            let position = journal.next(&tbs);
            journal.push(position, audit_head, JournalBody::Crl(number));
            Ok(JournaledSignature { signature: self.sign(&self.issuing, &tbs), position })
        })
    }

    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        self.act("sign_ocsp", issuer, |journal| {
            let data = ResponseData::from_der(&tbs).map_err(|e| refused("malformed", &e.to_string()))?;
            let denied = data.responses.iter().any(|single| {
                matches!(single.cert_status, CertStatus::Good(_))
                    && journal
                        .revocations
                        .iter()
                        .any(|r| r.serial.as_bytes() == single.cert_id.serial_number.as_bytes())
            });
            if denied {
                return Err(refused("denies_revocation", "good for a revoked certificate"));
            }
            self.ocsp_signed.fetch_add(1, Ordering::Relaxed);
            Ok(self.sign(&self.responder, &tbs))
        })
    }

    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        self.act("signer_revoke", issuer, |journal| {
            let unwanted = locked(&self.refused_revocation).clone();
            if revocations.iter().any(|revocation| Some(&revocation.serial) == unwanted.as_ref()) {
                return Err(refused(OUTSIDE_VALIDITY, "notAfter isn't the certificate's"));
            }
            for revocation in revocations {
                if !journal.revocations.iter().any(|known| known.serial == revocation.serial) {
                    let position = journal.next(revocation.serial.as_bytes());
                    journal.push(position, audit_head, JournalBody::Revocation(revocation.clone()));
                    journal.revocations.push(revocation);
                }
            }
            let last = journal.entries.last().map(|entry| entry.position);
            last.ok_or_else(|| refused("malformed", "there is nothing to revoke"))
        })
    }

    async fn recorded(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
    ) -> Result<Option<Journaled>, SignerError> {
        self.act("recorded", issuer, |journal| {
            Ok(journal.certificates.iter().find(|c| c.intent == intent).cloned())
        })
    }

    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError> {
        self.act("journaled_after", issuer, |journal| {
            let after = journal.entries.iter().filter(|entry| entry.position.sequence > sequence);
            Ok(after.take(limit as usize).cloned().collect())
        })
    }

    async fn journal(&self, issuer: &IssuerId) -> Result<JournalHead, SignerError> {
        self.act("journal", issuer, |journal| {
            Ok(JournalHead {
                journal: journal.identity,
                last: journal.entries.last().map(|entry| entry.position),
                audit: journal.entries.iter().map(|entry| entry.audit).max_by_key(|audit| audit.sequence),
            })
        })
    }

    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError> {
        self.act("healthy", issuer, |_| Ok(()))
    }
}

fn refused(code: &str, detail: &str) -> SignerError {
    SignerError::Refused { code: code.to_owned(), detail: detail.to_owned() }
}

fn unavailable() -> SignerError {
    SignerError::Unavailable("a fault was ordered".to_owned())
}
