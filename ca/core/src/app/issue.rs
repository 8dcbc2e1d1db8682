//! Steps 4 to 9: draft, lint, record the intent, sign, verify, record the certificate.
//!
//! After a fault at any step the same call again, or the reconciliation, carries on from what is durable: the ledger's
//! intent before the signature, the signer's journal after it. One intent leads to one certificate.

use std::sync::Arc;

use jiff::SignedDuration;
use tracing::{Instrument, debug_span, field::Empty};

use super::{
    accord::Accord,
    failure::{Failure, carries_failure},
    trail::{Details, event},
};
use crate::{
    domain::{
        anchor::MayIssue,
        attestation::Attested,
        audit::{Actor, AuditEvent},
        certificate::{CertificateRecord, CertificateState},
        contract::Contract,
        csr::Csr,
        ids::EnrolmentId,
        issuance::{Delivered, DraftError, Issued, LintFailure, Order, Recorded, SignatureError, draft},
        profile::Profile,
        serial,
        user::User,
    },
    ports::{
        clock::Clock,
        rng::Rng,
        signer::{OUTSIDE_VALIDITY, Signer, SignerError},
        store::{AuditStore, CertificateStore, Conflict, StoreError, StoredEvidence},
    },
};

/// A signer signs nothing with an older notBefore. It isn't even asked: what it refuses is an alarm.
const SIGNABLE: SignedDuration = SignedDuration::from_mins(10);

/// The use case, which others end in.
pub struct Issue {
    /// Intents and certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// The head of the trail, and alarms.
    pub audit: Arc<dyn AuditStore>,
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Serial numbers.
    pub rng: Arc<dyn Rng>,
    /// What is issued.
    pub profile: Arc<Profile>,
    /// Whether anything may be.
    pub accord: Arc<Accord>,
}

/// An enrolment that was approved.
#[derive(Clone, Copy, Debug)]
pub struct Approved<'a> {
    /// Who asked for it.
    pub actor: &'a Actor,
    /// The enrolment.
    pub enrolment: EnrolmentId,
    /// The user's contract.
    pub contract: &'a Contract,
    /// The user.
    pub user: &'a User,
    /// The verified request.
    pub csr: &'a Csr,
    /// What was proven about its key.
    pub attested: &'a Attested,
    /// The intent of the certificate that it renews.
    pub renews: Option<EnrolmentId>,
    /// The evidence with its verdict.
    pub evidence: &'a StoredEvidence,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It can't be drafted.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// A defect in the draft, found by lint; nothing was recorded.
    #[error(transparent)]
    Lint(#[from] LintFailure),
    /// Rule 1, at the commit.
    #[error("the user already has a certificate")]
    AlreadyCertified,
    /// The key was certified before, or the token serves another user.
    #[error("the key or token is in use by another certificate")]
    DeviceInUse,
    /// The enrolment was refused meanwhile, the user suspended or removed, or what is renewed doesn't stand any more.
    #[error("the enrolment can't be certified any more")]
    Closed,
    /// The certificate was revoked, or its intent given up.
    #[error("the enrolment has ended without a certificate that could be handed out")]
    Ended,
    /// The signature isn't the issuer's: signer or module is broken.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(IssueError);

impl Issue {
    /// Issues a certificate for an approved enrolment.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn run(&self, approved: Approved<'_>) -> Result<Delivered, IssueError> {
        let may_issue = self.accord.may_issue()?;
        let serial = serial::from_random(self.rng.bytes());
        let signer = self.signer.name(self.profile.issuer().id())?;
        let order = Order {
            intent: approved.enrolment,
            profile: &self.profile,
            contract: approved.contract,
            user: approved.user,
            csr: approved.csr,
            attested: approved.attested,
            renews: approved.renews,
            signer: &signer,
            serial: &serial,
            now: self.clock.now(),
        };
        let linted = debug_span!("draft").in_scope(|| Ok::<_, IssueError>(draft(&order)?.lint()?))?;
        let record = linted.record(may_issue);
        let row = self
            .row(approved.actor, "certificate.intended", record)
            .with("evidence", hex::encode(approved.evidence.sha256()));
        let recording = self.certificates.record_intent(record, approved.evidence, row);
        let receipt = match recording
            .instrument(debug_span!("ledger.intent", queued_us = Empty, commit_us = Empty))
            .await
        {
            Ok(receipt) => receipt,
            Err(StoreError::Conflict(Conflict::Taken)) => {
                return self.resume(approved.enrolment, approved.actor).await;
            }
            Err(StoreError::Conflict(Conflict::OnePerUser)) => return Err(IssueError::AlreadyCertified),
            Err(StoreError::Conflict(Conflict::DeviceInUse)) => return Err(IssueError::DeviceInUse),
            Err(StoreError::Conflict(Conflict::Missing)) => return Err(IssueError::Closed),
            Err(error) => return Err(error.into()),
        };
        self.accord.recorded(may_issue, receipt.audit_head)?;
        self.finish(linted.recorded(receipt), Some(may_issue), approved.actor).await
    }

    /// Carries an enrolment on, for `actor`, whose intent is in the ledger already, or returns its certificate.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn resume(&self, intent: EnrolmentId, actor: &Actor) -> Result<Delivered, IssueError> {
        let record = self.certificates.certificate_of_intent(intent).await?;
        let record = record.ok_or_else(|| Failure::defect("an enrolment without its intent"))?;
        if let Some(delivered) = Delivered::from_ledger(&record) {
            return Ok(delivered);
        }
        if record.state != CertificateState::Intended {
            return Err(IssueError::Ended);
        }
        let (may_issue, audit_head) = (self.accord.may_issue()?, self.audit.head().await?);
        let row = self.row(actor, "certificate.intent-abandoned", &record);
        let issuer = record.issuer.clone();
        if self.is_past_signing(&record).await? {
            self.certificates.abandon_intent(intent, row).await?;
            return Err(IssueError::Ended);
        }
        let recorded = Recorded::resumed(record, audit_head, may_issue);
        let Some(recorded) = recorded else { return Err(IssueError::Ended) };
        match self.finish(recorded, None, actor).await {
            // Too old by the signer's clock. Any other refusal may pass, as one for a clock that is being set does.
            Err(IssueError::Failure(Failure::Signer(SignerError::Refused { code, detail })))
                if code == OUTSIDE_VALIDITY =>
            {
                let recorded = self.signer.recorded(&issuer, intent).await?;
                if recorded.is_some() {
                    return Err(Failure::Signer(SignerError::Refused { code, detail }).into());
                }
                self.certificates.abandon_intent(intent, row.with("refusal", code)).await?;
                Err(IssueError::Ended)
            }
            result => result,
        }
    }

    /// Whether an intent is too old to be signed, and wasn't: no use in letting the user wait for the reconciliation to say so.
    async fn is_past_signing(&self, record: &CertificateRecord) -> Result<bool, Failure> {
        let is_old = self.clock.now().duration_since(record.not_before) > SIGNABLE;
        if !is_old || record.signer != self.signer.name(&record.issuer)? {
            return Ok(false);
        }
        Ok(self.signer.recorded(&record.issuer, record.intent).await?.is_none())
    }

    /// Steps 7 to 9. `fresh` for an intent that can't have been signed before.
    async fn finish(
        &self,
        recorded: Recorded,
        fresh: Option<MayIssue>,
        actor: &Actor,
    ) -> Result<Delivered, IssueError> {
        let record = recorded.record();
        let (issuer, intent) = (record.issuer.clone(), record.intent);
        if record.signer != self.signer.name(&issuer)? {
            // Only that signer's journal can tell whether there is a signature already.
            let elsewhere = format!("the intent is the signer {}'s, at another node", record.signer);
            return Err(Failure::Signer(SignerError::Unavailable(elsewhere)).into());
        }
        let signature =
            self.signer.sign_certificate(&issuer, intent, recorded.audit_head(), record.tbs.clone()).await?;
        if fresh.is_some_and(|may_issue| !may_issue.precedes(signature.position)) {
            return Err(self.accord.went_back(signature.position).into());
        }
        let verified =
            debug_span!("verify").in_scope(|| recorded.signed(signature).verify(self.profile.issuer()));
        match verified {
            Ok(verified) => self.deliver(verified, actor).await,
            Err(error) => {
                tracing::error!(%intent, %error, "the signer returned a wrong signature");
                let row = event(self.clock.now(), Actor::System, "certificate.signature-wrong", intent);
                self.audit.append(row.with("issuer", issuer)).await?;
                Err(error.into())
            }
        }
    }

    async fn deliver(&self, verified: Issued, actor: &Actor) -> Result<Delivered, IssueError> {
        let place = verified.position();
        let row = self
            .row(actor, "certificate.issued", verified.record())
            .with("journal", place.sequence)
            .with("journal_sha256", hex::encode(place.hash));
        let (issuer, serial) = (&verified.record().issuer, &verified.record().serial);
        let stored = self
            .certificates
            .record_issued(issuer, serial, verified.der(), verified.position(), row.at, row)
            .instrument(debug_span!("ledger.issued", queued_us = Empty, commit_us = Empty))
            .await;
        match stored {
            Ok(receipt) => verified.delivered(receipt).ok_or(IssueError::Ended),
            // Given up while it was signed; the reconciliation finds it in the journal.
            Err(StoreError::Conflict(Conflict::Missing)) => Err(IssueError::Ended),
            Err(error) => Err(error.into()),
        }
    }

    fn row(&self, actor: &Actor, action: &'static str, record: &CertificateRecord) -> AuditEvent {
        event(self.clock.now(), actor.clone(), action, &record.serial)
            .with("issuer", &record.issuer)
            .with("enrolment", record.intent)
            .with("user", &record.user)
            .with("device", &record.device.serial)
            .with("assurance", record.assurance.as_str())
            .with("not_after", record.not_after)
    }
}
