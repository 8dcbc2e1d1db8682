//! The signer processes behind the signer port: a socket and two key labels for each issuer.

use std::collections::HashMap;

use async_trait::async_trait;
use ca_core::{
    domain::{
        ids::{EnrolmentId, IssuerId},
        revocation::Revocation,
    },
    ports::signer::{JournalPosition, Journaled, JournaledSignature, Signer, SignerError},
};
use signer_protocol::{
    client::{Client, ClientError},
    message::{self, Entry, EntryBody, KeyLabel, RevocationEntry, Signed},
};

use crate::config;

/// Revocations in one request: well below what fits a frame.
const REVOCATIONS_AT_ONCE: usize = 250;

/// All configured signers.
pub(crate) struct Signers {
    by_issuer: HashMap<IssuerId, OneSigner>,
}

struct OneSigner {
    name: String,
    client: Client,
    issuing: KeyLabel,
    ocsp: KeyLabel,
}

impl Signers {
    /// Connects to nothing yet.
    pub(crate) fn new(issuers: &[config::Issuer]) -> Self {
        let by_issuer = issuers
            .iter()
            .map(|issuer| {
                let one = OneSigner {
                    name: issuer.signer.clone(),
                    client: Client::new(&issuer.signer_socket),
                    issuing: KeyLabel(issuer.issuing_key.clone()),
                    ocsp: KeyLabel(issuer.ocsp_key.clone()),
                };
                (issuer.id.clone(), one)
            })
            .collect();
        Self { by_issuer }
    }

    /// The certificates that an issuer's signer has for the issuing and the OCSP key, DER.
    ///
    /// # Errors
    /// [`SignerError`], also when another signer answers than the configured one.
    pub(crate) async fn certificates(&self, issuer: &IssuerId) -> Result<(Vec<u8>, Vec<u8>), SignerError> {
        let one = self.one(issuer)?;
        let welcome = one.client.welcome().await.map_err(unanswered)?;
        if welcome.signer != one.name {
            let answered = format!("{:?} answered where {:?} is configured", welcome.signer, one.name);
            return Err(SignerError::Unavailable(answered));
        }
        let certificates = one.client.certificates().await.map_err(unanswered)?;
        let of = |label: &KeyLabel| {
            let found = certificates.iter().find(|(other, _)| other == label);
            found.map(|(_, der)| der.clone()).ok_or_else(|| SignerError::Refused {
                code: "wrong_key".to_owned(),
                detail: format!("the signer has no key {:?}", label.0),
            })
        };
        Ok((of(&one.issuing)?, of(&one.ocsp)?))
    }

    fn one(&self, issuer: &IssuerId) -> Result<&OneSigner, SignerError> {
        self.by_issuer.get(issuer).ok_or_else(|| SignerError::Refused {
            code: "wrong_key".to_owned(),
            detail: format!("no signer is configured for the issuer {issuer}"),
        })
    }
}

#[async_trait]
impl Signer for Signers {
    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: [u8; 32],
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        let one = self.one(issuer)?;
        let signed = one.client.sign_certificate(&one.issuing, intent.0, audit_head, tbs).await;
        journaled(signed.map_err(unanswered)?)
    }

    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: [u8; 32],
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        let one = self.one(issuer)?;
        journaled(one.client.sign_crl(&one.issuing, audit_head, tbs).await.map_err(unanswered)?)
    }

    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        let one = self.one(issuer)?;
        one.client.sign_ocsp(&one.ocsp, tbs).await.map_err(unanswered)
    }

    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: [u8; 32],
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        let one = self.one(issuer)?;
        let mut last = None;
        for some in revocations.chunks(REVOCATIONS_AT_ONCE) {
            let entries = some.iter().map(entry).collect();
            last = Some(one.client.revoke(&one.issuing, audit_head, entries).await.map_err(unanswered)?);
        }
        last.map(position).ok_or_else(|| SignerError::Refused {
            code: "malformed".to_owned(),
            detail: "there is nothing to revoke".to_owned(),
        })
    }

    async fn recorded(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
    ) -> Result<Option<Journaled>, SignerError> {
        let one = self.one(issuer)?;
        Ok(one
            .client
            .recorded(intent.0)
            .await
            .map_err(unanswered)?
            .and_then(|e| certificate(e, &one.issuing)))
    }

    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<(Vec<Journaled>, u64), SignerError> {
        let one = self.one(issuer)?;
        let entries = one.client.entries(sequence, limit).await.map_err(unanswered)?;
        let last = entries.last().map_or(sequence, |entry| entry.position.sequence);
        let certificates = entries.into_iter().filter_map(|e| certificate(e, &one.issuing)).collect();
        Ok((certificates, last))
    }

    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError> {
        let one = self.one(issuer)?;
        let status = one.client.status().await.map_err(unanswered)?;
        let trouble = |label: &KeyLabel| match status.keys.iter().find(|(other, _)| other == label) {
            Some((_, None)) => None,
            Some((_, Some(trouble))) => Some(format!("the key {:?}: {trouble}", label.0)),
            None => Some(format!("the signer has no key {:?}", label.0)),
        };
        match trouble(&one.issuing).or_else(|| trouble(&one.ocsp)) {
            None => Ok(()),
            Some(trouble) => Err(SignerError::Unavailable(trouble)),
        }
    }
}

fn entry(revocation: &Revocation) -> RevocationEntry {
    RevocationEntry {
        serial: revocation.serial.as_bytes().to_vec(),
        revoked_at: revocation.at,
        reason: revocation.reason.code(),
        not_after: revocation.not_after,
    }
}

fn position(position: message::JournalPosition) -> JournalPosition {
    JournalPosition { sequence: position.sequence, hash: position.hash }
}

fn journaled(signed: Signed) -> Result<JournaledSignature, SignerError> {
    let at = signed.position.ok_or_else(|| {
        SignerError::Unavailable("the signer gave a signature without its place in the journal".to_owned())
    })?;
    Ok(JournaledSignature { signature: signed.signature, position: position(at) })
}

fn certificate(entry: Entry, issuing: &KeyLabel) -> Option<Journaled> {
    match entry.body {
        EntryBody::Certificate { key, intent, tbs, signature, .. } if key == *issuing => Some(Journaled {
            intent: EnrolmentId(intent),
            tbs,
            signature: JournaledSignature { signature, position: position(entry.position) },
            at: entry.at,
        }),
        _ => None,
    }
}

fn unanswered(error: ClientError) -> SignerError {
    match error {
        ClientError::Refused(refusal) => SignerError::Refused {
            code: serde_json::to_value(refusal.code)
                .ok()
                .and_then(|code| code.as_str().map(ToOwned::to_owned))
                .unwrap_or_else(|| format!("{:?}", refusal.code)),
            detail: refusal.detail,
        },
        ClientError::LockedOut { remedy } => SignerError::LockedOut(remedy),
        ClientError::Unavailable { reason } => SignerError::Unavailable(reason),
        deadline @ ClientError::Deadline(_) => SignerError::Unavailable(deadline.to_string()),
    }
}
