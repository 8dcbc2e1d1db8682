//! Renews the certificate of an OCSP responder well before its end: same name, same key, by the issuer that it answers
//! for. Like any issuance: the intent first, then the signature, then the certificate; after a fault at any step the same
//! call again carries on from what is durable.
//!
//! Until a renewed certificate is in the ledger, the one before it stays in use.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::{Instrument, debug_span};

use super::{
    accord::Accord,
    failure::{Failure, carries_failure},
    trail::{Details, event},
};
use crate::{
    domain::{
        anchor::MayIssue,
        audit::{Actor, AuditEvent},
        certificate::CertificateState,
        ids::EnrolmentId,
        issuance::{LintFailure, SignatureError},
        ocsp::{Responder, ResponderError},
        profile::Issuer,
        responder::{self, DraftError, Order, Recorded, ResponderPolicy, ResponderRecord, draft, key_sha256},
        serial,
    },
    ports::{
        clock::Clock,
        responders::ResponderStore,
        rng::Rng,
        signer::{Signer, SignerError},
        store::{AuditStore, Conflict, StoreError},
    },
};

/// The use case, for one issuer.
pub struct RenewResponder {
    /// Intents and certificates.
    pub responders: Arc<dyn ResponderStore>,
    /// The head of the trail, and alarms.
    pub audit: Arc<dyn AuditStore>,
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names of intents, and serial numbers.
    pub rng: Arc<dyn Rng>,
    /// Whether anything may be issued.
    pub accord: Arc<Accord>,
    /// Whose responder.
    pub issuer: Arc<Issuer>,
    /// When, and for how long.
    pub policy: ResponderPolicy,
}

/// Whether to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// If it is due.
    Due,
    /// In any case.
    Now,
}

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// It can't be drafted.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// A defect in the draft, found by lint; nothing was recorded.
    #[error(transparent)]
    Lint(#[from] LintFailure),
    /// The signature isn't the issuer's: signer or module is broken.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Responses with it wouldn't be accepted.
    #[error(transparent)]
    Responder(#[from] ResponderError),
    /// The intent was given up, or revoked, while it was signed.
    #[error("the renewal was given up or revoked meanwhile")]
    Ended,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(RenewError);

/// The certificate that answers are given with now: `configured`, or one that was renewed since for the same key.
///
/// # Errors
/// When the ledger can't be read.
pub async fn in_use(
    responders: &dyn ResponderStore,
    issuer: &Issuer,
    configured: Responder,
    now: Timestamp,
) -> Result<Responder, Failure> {
    let key = key_sha256(configured.public_key()).map_err(Failure::defect)?;
    let renewed = responders.responders(issuer.id(), &key, now).await?;
    let read = |record: &ResponderRecord| {
        let CertificateState::Issued { der, at, .. } = &record.state else { return None };
        match Responder::from_certificate(der, issuer) {
            Ok(responder) => Some((*at, responder)),
            Err(error) => {
                let serial = &record.serial;
                tracing::error!(%serial, %error, "a renewed responder's certificate is of no use");
                None
            }
        }
    };
    let candidates = renewed.iter().filter_map(read).chain([(configured.not_before(), configured.clone())]);
    Ok(responder::in_use(candidates, now).unwrap_or(configured))
}

impl RenewResponder {
    /// Renews the certificate for the key of `configured`; `None` when it isn't due.
    ///
    /// # Errors
    /// [`RenewError`]; the certificate in use stays in use.
    pub async fn run(
        &self,
        by: Actor,
        configured: Responder,
        when: When,
    ) -> Result<Option<Responder>, RenewError> {
        let now = self.clock.now();
        let current = in_use(&*self.responders, &self.issuer, configured, now).await?;
        if when == When::Due && !self.policy.is_due(&current, &self.issuer, now) {
            return Ok(None);
        }
        let may_issue = self.accord.may_issue()?;
        if let Some(intent) = self.begun(&current).await? {
            match self.resume(intent, may_issue, &by).await {
                // Too old to be signed; it was given up.
                Err(RenewError::Failure(Failure::Signer(SignerError::Refused { .. }))) => {}
                resumed => return resumed.map(Some),
            }
        }
        self.begin(&current, now, may_issue, &by).await.map(Some)
    }

    /// An intent of this signer's for this key that a fault left open.
    async fn begun(&self, current: &Responder) -> Result<Option<ResponderRecord>, Failure> {
        let key = key_sha256(current.public_key()).map_err(Failure::defect)?;
        let signer = self.signer.name(self.issuer.id())?;
        let open = self.responders.open_responder_intents(self.issuer.id(), &signer).await?;
        Ok(open.into_iter().find(|record| record.public_key_sha256 == key))
    }

    async fn begin(
        &self,
        current: &Responder,
        now: Timestamp,
        may_issue: MayIssue,
        by: &Actor,
    ) -> Result<Responder, RenewError> {
        let linted = draft(&Order {
            intent: EnrolmentId(uuid::Builder::from_random_bytes(self.rng.bytes()).into_uuid()),
            issuer: &self.issuer,
            current,
            policy: &self.policy,
            signer: &self.signer.name(self.issuer.id())?,
            serial: &serial::from_random(self.rng.bytes()),
            now,
        })?
        .lint()?;
        let record = linted.record(may_issue);
        let row = self.row(by, "responder.intended", record);
        let receipt = self.responders.record_responder_intent(record, row).await?;
        self.accord.recorded(may_issue, receipt.audit_head)?;
        self.finish(linted.recorded(receipt), Some(may_issue), by).await
    }

    async fn resume(
        &self,
        intent: ResponderRecord,
        may_issue: MayIssue,
        by: &Actor,
    ) -> Result<Responder, RenewError> {
        let audit_head = self.audit.head().await?;
        let recorded = Recorded::resumed(intent, audit_head, may_issue).ok_or(RenewError::Ended)?;
        self.finish(recorded, None, by).await
    }

    /// Signs, verifies, stores. `fresh` for an intent that can't have been signed before.
    async fn finish(
        &self,
        recorded: Recorded,
        fresh: Option<MayIssue>,
        by: &Actor,
    ) -> Result<Responder, RenewError> {
        let (issuer, intent) = (self.issuer.id(), recorded.record().intent);
        let tbs = recorded.record().tbs.clone();
        let signed = self.signer.sign_certificate(issuer, intent, recorded.audit_head(), tbs).await;
        let signature = match signed {
            Ok(signature) => signature,
            Err(error) => return Err(self.not_signed(recorded.record(), error, by).await),
        };
        if fresh.is_some_and(|may_issue| !may_issue.precedes(signature.position)) {
            return Err(self.accord.went_back(signature.position).into());
        }
        let verified = match recorded.signed(signature).verify(&self.issuer) {
            Ok(verified) => verified,
            Err(error) => {
                tracing::error!(%intent, %error, "the signer returned a wrong signature");
                let row = event(self.clock.now(), Actor::System, "responder.signature-wrong", intent);
                self.audit.append(row.with("issuer", issuer)).await?;
                return Err(error.into());
            }
        };
        let renewed = Responder::from_certificate(verified.der(), &self.issuer)?;
        let row = self.row(by, "responder.issued", verified.record());
        let storing =
            self.responders.record_responder(intent, verified.der(), verified.position(), row.at, row);
        match storing.instrument(debug_span!("ledger.responder")).await {
            Ok(()) => Ok(renewed),
            // The reconciliation finds it in the journal.
            Err(StoreError::Conflict(Conflict::Missing)) => Err(RenewError::Ended),
            Err(error) => Err(error.into()),
        }
    }

    /// An intent that the signer's policy refuses for good is given up, so that the next run begins anew; of any other,
    /// nobody knows yet whether it was signed.
    async fn not_signed(&self, record: &ResponderRecord, error: SignerError, by: &Actor) -> RenewError {
        let SignerError::Refused { code, .. } = &error else { return error.into() };
        let row = self.row(by, "responder.intent-abandoned", record).with("refusal", code);
        match self.signer.recorded(self.issuer.id(), record.intent).await {
            Ok(None) => {}
            Ok(Some(_)) => return error.into(),
            Err(unknown) => return unknown.into(),
        }
        match self.responders.abandon_responder_intent(record.intent, row).await {
            Ok(()) | Err(StoreError::Conflict(Conflict::Missing)) => error.into(),
            Err(failed) => failed.into(),
        }
    }

    fn row(&self, by: &Actor, action: &'static str, record: &ResponderRecord) -> AuditEvent {
        event(self.clock.now(), by.clone(), action, &record.serial)
            .with("issuer", &record.issuer)
            .with("intent", record.intent)
            .with("signer", &record.signer)
            .with("not_after", record.not_after)
    }
}

/// Whether the ledger has the certificate, whatever became of it.
pub(super) fn is_stored(record: &ResponderRecord) -> bool {
    matches!(record.state, CertificateState::Issued { .. } | CertificateState::Revoked { der: Some(_), .. })
}
