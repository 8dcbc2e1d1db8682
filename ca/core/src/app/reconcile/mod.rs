//! Brings ledger and signer's journal together: after crashes and faults, and after either was restored from a copy.
//!
//! The journal is walked from where the last walk ended, and each entry's anchor is looked up in the ledger's trail
//! ([`Walk`]). A certificate that matches an intent is adopted into the ledger, any other is an orphan, which is kept,
//! alarmed and decided by people; a revocation that the ledger lacks is entered again, one that it dates later than the
//! journal is moved back. Intents that stayed open are asked for one by one, and given up once the signer can't sign them
//! any more.
//!
//! While the two contradict each other, nothing is issued: see [`Accord`]. Only a person ends that ([`accept`]).

pub mod accept;
mod known;
pub mod look;
mod responders;
mod settle;
mod walk;

use std::sync::Arc;

use jiff::SignedDuration;

use super::{
    accord::{Accord, Verdict},
    failure::Failure,
    journal::push_revocations,
    trail::Details,
};
use crate::{
    domain::{
        anchor::{Divergence, Walk},
        ids::SerialNumber,
        profile::Issuer,
        receipt::JournalPosition,
    },
    ports::{
        books::LedgerBooks,
        clock::Clock,
        responders::ResponderStore,
        signer::Signer,
        store::{AuditStore, CertificateStore, RevocationStore, SignerStore},
    },
};
use walk::Stop;

/// When open intents are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileTerms {
    /// An intent this old is asked for; a younger one is probably being signed.
    pub ask_after: SignedDuration,
    /// An intent this old that was never signed is given up. Longer than the signer tolerates an old notBefore, which
    /// is 10 minutes: nothing can be signed for it afterwards.
    pub abandon_after: SignedDuration,
}

impl Default for ReconcileTerms {
    fn default() -> Self {
        Self { ask_after: SignedDuration::from_mins(1), abandon_after: SignedDuration::from_mins(15) }
    }
}

/// The use case.
pub struct Reconcile {
    /// The ledger.
    pub certificates: Arc<dyn CertificateStore>,
    /// What is revoked.
    pub revocations: Arc<dyn RevocationStore>,
    /// The certificates of OCSP responders.
    pub responders: Arc<dyn ResponderStore>,
    /// The ledger, a page of the journal at a time.
    pub books: Arc<dyn LedgerBooks>,
    /// How far journals and ledger agree.
    pub signers: Arc<dyn SignerStore>,
    /// The trail, and alarms.
    pub audit: Arc<dyn AuditStore>,
    /// The journal.
    pub signer: Arc<dyn Signer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose certificates.
    pub issuer: Arc<Issuer>,
    /// What was found, for those who issue.
    pub accord: Arc<Accord>,
    /// When open intents are looked after.
    pub terms: ReconcileTerms,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Certificates that were in the journal only, and are in the ledger now.
    pub adopted: Vec<SerialNumber>,
    /// Intents that were given up.
    pub abandoned: Vec<SerialNumber>,
    /// Certificates without a matching intent, found for the first time. Each is an alarm.
    pub orphans: Vec<SerialNumber>,
    /// Revocations that were in the journal only, and are in the ledger again.
    pub restored: Vec<SerialNumber>,
    /// Revocations that the ledger dated later than the journal, and doesn't any more.
    pub predated: Vec<SerialNumber>,
    /// Journal entries that can't be read or whose signature is wrong. Each is an alarm.
    pub unreadable: u64,
    /// Why nothing is issued, if ledger and journal don't agree.
    pub divergence: Option<Divergence>,
}

impl Reconcile {
    /// Walks the journal, then looks after open intents. Idempotent; a walk that fails is resumed by the next.
    ///
    /// # Errors
    /// [`Failure`]; that ledger and journal don't agree is none, but in the report.
    pub async fn run(&self) -> Result<Reconciled, Failure> {
        let mut report = Reconciled::default();
        let (divergence, end) = match self.walk_journal(&mut report).await {
            Ok(walk) => (walk.verdict(), walk.reached()),
            Err(Stop::Diverged(divergence)) => (Some(divergence), None),
            Err(Stop::Failed(failure)) => return Err(failure),
        };
        self.tell(divergence.as_ref(), end).await?;
        // A journal that isn't the signer's own, or not whole, is told nothing: when the right one comes back, it must
        // not lack what the ledger believes it has.
        let is_whole = divergence.as_ref().is_none_or(|divergence| !divergence.is_journals());
        if is_whole {
            self.push().await?;
        }
        self.accord.caught_up();
        if is_whole {
            self.settle_open_intents(&mut report).await?;
            self.settle_open_renewals(&mut report).await?;
        }
        report.divergence = divergence;
        Ok(report)
    }

    /// Takes over what a journal holds, and tells it nothing: a copy from a signer that never comes back, or the journal
    /// of one whose node tells it everything. Open intents are left alone: a copy can't say what was signed after it was made.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn take_over(&self) -> Result<Reconciled, Failure> {
        let mut report = Reconciled::default();
        report.divergence = match self.walk_journal(&mut report).await {
            Ok(walk) => walk.verdict(),
            Err(Stop::Diverged(divergence)) => Some(divergence),
            Err(Stop::Failed(failure)) => return Err(failure),
        };
        Ok(report)
    }

    /// Reads what is new in the journal and settles it. What was read is remembered, so that neither a fault nor a loss
    /// that waits for a person makes the next walk read it again: what agreed in the ledger that it agreed with, for the
    /// next walk may find an older one in its place.
    async fn walk_journal(&self, report: &mut Reconciled) -> Result<Walk, Stop> {
        let head = self.signer.journal(self.issuer.id()).await?;
        let known = self.introduced(head.journal).await?;
        let remembered = self.remembered(Some(&known)).await?;
        let kept = self.accord.take_walk();
        let mut walk = kept.map_or_else(|| Walk::begin(remembered), |walk| walk.resume(remembered));
        let walked = self.walk_on(&mut walk, &head, report).await;
        let agrees = match &walked {
            Ok(()) => walk.verdict().is_none_or(|divergence| !divergence.is_journals()),
            Err(Stop::Failed(_)) => true,
            Err(Stop::Diverged(_)) => return walked.map(|()| walk),
        };
        if walk.has_loss() {
            self.accord.keep_walk(walk.clone());
        }
        let written = match walk.agreed().filter(|_| agrees) {
            Some(position) => self.signers.set_reconciled(self.issuer.id(), &known.name, position).await,
            None => Ok(()),
        };
        // After a fault the ledger may be out of reach as well; then that is read once more.
        walked.and(written.map_err(Stop::from)).map(|()| walk)
    }

    /// Tells those who issue, and at a change the operators.
    async fn tell(
        &self,
        divergence: Option<&Divergence>,
        end: Option<JournalPosition>,
    ) -> Result<(), Failure> {
        let issuer = self.issuer.id();
        let verdict = divergence.cloned().map_or(Verdict::Agreed, Verdict::Diverged);
        match (self.accord.found(verdict, end), divergence) {
            (None, None) => return Ok(()),
            (Some(before), Some(now)) if before.is_same_kind(now) => return Ok(()),
            (_, Some(now)) => {
                let code = now.code();
                tracing::error!(%issuer, code, "ALARM: {now}; nothing is issued until a person decides: see \
                    `inro-ca reconcile status`");
                let row = self.row("reconcile.diverged", self.signer.name(issuer)?);
                self.audit.append(row.with("code", code).with("found", now)).await?;
            }
            (Some(_), None) => {
                tracing::warn!(%issuer, "ledger and journal agree again; issuing goes on");
                self.audit.append(self.row("reconcile.agreed", self.signer.name(issuer)?)).await?;
            }
        }
        self.accord.announced(divergence);
        Ok(())
    }

    async fn push(&self) -> Result<(), Failure> {
        let (revocations, signers) = (&*self.revocations, &*self.signers);
        push_revocations(revocations, signers, &*self.signer, self.issuer.id(), Some(&self.accord)).await
    }
}
