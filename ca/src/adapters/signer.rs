//! The signer processes behind the signer port: a socket and two key labels for each issuer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditPosition,
        ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        clock::Clock,
        signer::{
            Chained, JournalBody, JournalEntry, JournalHead, JournalPosition, Journaled, JournaledSignature,
            Signer, SignerError,
        },
    },
};
use der::Decode;
use signer_protocol::{
    client::{Client, ClientError},
    message::{self, Entry, EntryBody, KeyLabel, RevocationEntry, Signed, Timing, TokenState},
    record,
};

use tokio::time::Instant;
use tracing::{Instrument, Span};
use x509_cert::{certificate::Rfc5280, crl::TbsCertList};

use super::clock::SystemClock;
use crate::{
    config,
    metrics::{Failed, Metrics, SignerLoad, Signing, SigningTime},
    telemetry,
};

/// Revocations in one request: well below what fits a frame.
const REVOCATIONS_AT_ONCE: usize = 250;

/// All configured signers.
pub(crate) struct Signers {
    by_issuer: HashMap<IssuerId, OneSigner>,
    metrics: Arc<Metrics>,
}

struct OneSigner {
    name: SignerName,
    client: Client,
    issuing: KeyLabel,
    ocsp: KeyLabel,
}

impl Signers {
    /// Connects to nothing yet.
    pub(crate) fn new(issuers: &[config::Issuer], metrics: Arc<Metrics>) -> Self {
        let by_issuer = issuers
            .iter()
            .map(|issuer| {
                metrics.signer.count_refusals(issuer.id.as_str());
                let one = OneSigner {
                    name: issuer.signer.clone(),
                    client: Client::new(&issuer.signer_socket),
                    issuing: KeyLabel(issuer.issuing_key.clone()),
                    ocsp: KeyLabel(issuer.ocsp_key.clone()),
                };
                (issuer.id.clone(), one)
            })
            .collect();
        Self { by_issuer, metrics }
    }

    /// The certificates that an issuer's signer has for the issuing and the OCSP key, DER.
    ///
    /// # Errors
    /// [`SignerError`], also when another signer answers than the configured one.
    pub(crate) async fn certificates(&self, issuer: &IssuerId) -> Result<(Vec<u8>, Vec<u8>), SignerError> {
        let one = self.one(issuer)?;
        let welcome = one.client.welcome().await.map_err(unanswered)?;
        if welcome.signer != one.name.as_str() {
            let answered =
                format!("{:?} answered where {:?} is configured", welcome.signer, one.name.as_str());
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

impl Signers {
    /// Times a request to the signer, and tells where its time went when the answer says so.
    async fn watched<T>(
        &self,
        issuer: &IssuerId,
        what: Signing,
        asking: impl Future<Output = Result<T, ClientError>>,
        timing: impl FnOnce(&T) -> Option<Timing>,
    ) -> Result<T, SignerError> {
        let span = tracing::debug_span!("signer", otel.kind = "client", what = what.as_str(), %issuer);
        let (_asked, began) = (self.metrics.signer.asked(issuer.as_str(), what), Instant::now());
        let answered = async {
            let answer = asking.await?;
            let time = timing(&answer).map(signing_time);
            if let Some(SigningTime { queued, signed, journaled }) = time {
                let parts = [("signer.queue", queued), ("hsm.lane", signed), ("journal.sync", journaled)];
                telemetry::add_past(&Span::current(), SystemClock.now().into(), &parts);
            }
            Ok((answer, time))
        };
        match answered.instrument(span).await {
            Ok((answer, time)) => {
                self.metrics.signer.answered(issuer.as_str(), what, began.elapsed(), time);
                Ok(answer)
            }
            Err(error) => {
                let error = unanswered(error);
                self.metrics.signer.failed(issuer.as_str(), what, failed(&error));
                Err(error)
            }
        }
    }
}

fn timing(signed: &Signed) -> Option<Timing> {
    // All zero for a recorded signature: nothing was signed now.
    Some(signed.timing).filter(|timing| *timing != Timing::default())
}

fn signing_time(timing: Timing) -> SigningTime {
    let of = |micros: u32| Duration::from_micros(micros.into());
    SigningTime {
        queued: of(timing.queued_us),
        signed: of(timing.signed_us),
        journaled: of(timing.journaled_us),
    }
}

fn load(status: &message::Status) -> SignerLoad {
    SignerLoad {
        lanes: status.lanes,
        lanes_busy: status.lanes_busy,
        queued: status.queued,
        worker_restarts: status.worker_restarts,
        journal_sequence: status.journal.map_or(0, |position| position.sequence),
    }
}

fn failed(error: &SignerError) -> Failed {
    match error {
        SignerError::Refused { .. } => Failed::Refused,
        SignerError::Unavailable(_) => Failed::Unavailable,
        SignerError::LockedOut(_) => Failed::LockedOut,
    }
}

#[async_trait]
impl Signer for Signers {
    fn name(&self, issuer: &IssuerId) -> Result<SignerName, SignerError> {
        Ok(self.one(issuer)?.name.clone())
    }

    async fn sign_certificate(
        &self,
        issuer: &IssuerId,
        intent: EnrolmentId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        let one = self.one(issuer)?;
        let asking = one.client.sign_certificate(&one.issuing, intent.0, anchor(audit_head), tbs);
        journaled(self.watched(issuer, Signing::Certificate, asking, timing).await?)
    }

    async fn sign_crl(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        let one = self.one(issuer)?;
        let asking = one.client.sign_crl(&one.issuing, anchor(audit_head), tbs);
        journaled(self.watched(issuer, Signing::Crl, asking, timing).await?)
    }

    async fn sign_ocsp(&self, issuer: &IssuerId, tbs: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        let one = self.one(issuer)?;
        let asking = one.client.sign_ocsp(&one.ocsp, tbs);
        self.watched(issuer, Signing::Ocsp, asking, |_| None).await
    }

    async fn revoke(
        &self,
        issuer: &IssuerId,
        audit_head: AuditPosition,
        revocations: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        let one = self.one(issuer)?;
        let mut last = None;
        for some in revocations.chunks(REVOCATIONS_AT_ONCE) {
            let entries = some.iter().map(entry).collect();
            let asking = one.client.revoke(&one.issuing, anchor(audit_head), entries);
            last = Some(self.watched(issuer, Signing::Revocation, asking, |_| None).await?);
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
        let entry = one.client.recorded(intent.0).await.map_err(unanswered)?;
        Ok(entry.and_then(|entry| {
            let octets = record::encode(entry.at, &entry.body).ok();
            let chained = octets.map(|octets| Chained { previous: entry.previous, octets });
            certificate(entry, issuer, &one.issuing).map(|journaled| Journaled { chained, ..journaled })
        }))
    }

    async fn journaled_after(
        &self,
        issuer: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError> {
        let one = self.one(issuer)?;
        let entries = one.client.entries(sequence, limit).await.map_err(unanswered)?;
        Ok(entries.into_iter().map(|entry| journal_entry(entry, issuer, &one.issuing)).collect())
    }

    async fn journal(&self, issuer: &IssuerId) -> Result<JournalHead, SignerError> {
        let head = self.one(issuer)?.client.journal().await.map_err(unanswered)?;
        Ok(JournalHead {
            journal: head.journal,
            last: head.last.map(position),
            audit: head.audit.map(audit_position),
        })
    }

    async fn healthy(&self, issuer: &IssuerId) -> Result<(), SignerError> {
        let one = self.one(issuer)?;
        let status = match one.client.status().await.map_err(unanswered) {
            Ok(status) => status,
            Err(error) => {
                let locked_out = matches!(error, SignerError::LockedOut(_));
                self.metrics.signer.health(issuer.as_str(), false, locked_out);
                return Err(error);
            }
        };
        self.metrics.signer.load(issuer.as_str(), &load(&status));
        let tokens = status.tokens.iter().map(|token| (&*token.name, token.state == TokenState::Ready));
        self.metrics.signer.tokens(issuer.as_str(), tokens);
        let trouble = |label: &KeyLabel| match status.keys.iter().find(|(other, _)| other == label) {
            Some((_, None)) => None,
            Some((_, Some(trouble))) => Some(format!("the key {:?}: {trouble}", label.0)),
            None => Some(format!("the signer has no key {:?}", label.0)),
        };
        let trouble = trouble(&one.issuing).or_else(|| trouble(&one.ocsp));
        let locked_out = status.tokens.iter().any(|token| token.state == TokenState::LockedOut);
        self.metrics.signer.health(issuer.as_str(), trouble.is_none(), locked_out);
        match trouble {
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

fn anchor(position: AuditPosition) -> message::AuditPosition {
    message::AuditPosition { sequence: position.sequence, hash: position.hash }
}

fn audit_position(position: message::AuditPosition) -> AuditPosition {
    AuditPosition { sequence: position.sequence, hash: position.hash }
}

fn certificate(entry: Entry, issuer: &IssuerId, issuing: &KeyLabel) -> Option<Journaled> {
    match journal_entry(entry, issuer, issuing).body {
        JournalBody::Certificate(journaled) => Some(journaled),
        _ => None,
    }
}

fn journal_entry(entry: Entry, issuer: &IssuerId, issuing: &KeyLabel) -> JournalEntry {
    let (place, at) = (position(entry.position), entry.at);
    let (key, audit, body) = match entry.body {
        EntryBody::Certificate { key, intent, audit_head, tbs, signature } => {
            let signature = JournaledSignature { signature, position: place };
            let intent = EnrolmentId(intent);
            let journaled = Journaled { intent, tbs, signature, at, chained: None };
            (key, audit_head, JournalBody::Certificate(journaled))
        }
        EntryBody::Crl { key, audit_head, tbs, .. } => (key, audit_head, crl(&tbs)),
        EntryBody::CrlDigest { key, audit_head, number, .. } => (key, audit_head, JournalBody::Crl(number)),
        EntryBody::Revocation { key, audit_head, revocation } => {
            (key, audit_head, revoked(&revocation, issuer))
        }
        EntryBody::OcspCount { key, .. } => (key, message::AuditPosition::START, JournalBody::Foreign),
        EntryBody::ClockAccepted { .. } => {
            (issuing.clone(), message::AuditPosition::START, JournalBody::Foreign)
        }
    };
    let body = if key == *issuing { body } else { JournalBody::Foreign };
    JournalEntry { position: place, at, audit: audit_position(audit), body }
}

/// The signer parsed it before it signed.
fn crl(tbs: &[u8]) -> JournalBody {
    crl_number(tbs).map_or(JournalBody::Foreign, JournalBody::Crl)
}

/// The number of a `TBSCertList`.
pub(super) fn crl_number(tbs: &[u8]) -> Option<u64> {
    let list = TbsCertList::<Rfc5280>::from_der(tbs).ok()?;
    ca_x509::crl::number(list.crl_extensions.as_deref()?)
}

fn revoked(entry: &RevocationEntry, issuer: &IssuerId) -> JournalBody {
    let serial = SerialNumber::from_bytes(&entry.serial).ok();
    let parts = serial.zip(RevocationReason::from_code(entry.reason));
    parts.map_or(JournalBody::Foreign, |(serial, reason)| {
        JournalBody::Revocation(Revocation {
            issuer: issuer.clone(),
            serial,
            at: entry.revoked_at,
            reason,
            not_after: entry.not_after,
        })
    })
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

#[cfg(test)]
mod tests {
    use ca_core::ports::signer::OUTSIDE_VALIDITY;
    use signer_protocol::message::{Refusal, RefusalCode};

    use super::{ClientError, SignerError, unanswered};

    #[test]
    fn what_is_too_old_is_refused_with_the_code_that_the_issuance_knows() {
        let refusal = Refusal { code: RefusalCode::OutsideValidity, detail: String::new() };
        let SignerError::Refused { code, .. } = unanswered(ClientError::Refused(refusal)) else { panic!() };
        assert_eq!(code, OUTSIDE_VALIDITY);
    }
}
