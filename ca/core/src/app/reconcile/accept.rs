//! A person accepts that the ledger was restored from a backup and lost what came after it. Only then is anything issued
//! again.

use super::Reconcile;
use crate::{
    app::{
        failure::{Failure, carries_failure},
        trail::{Details, event},
    },
    domain::{
        anchor::{Divergence, Loss},
        audit::Actor,
        ids::SignerName,
    },
};

/// Characters of a reason that are kept.
const MAX_REASON: usize = 500;

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The loss.
    pub loss: Loss,
    /// Certificates that were entered as orphans on this occasion.
    pub orphans: u64,
    /// Revocations that were entered again on this occasion.
    pub restored: u64,
}

/// Why nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Another signer than the one whose journal can be read here.
    #[error("this node's signer is {here}: accept for another node's signer there")]
    OtherSigner {
        /// This node's.
        here: SignerName,
    },
    /// There is nothing to accept.
    #[error("ledger and journal agree: there is nothing to accept")]
    Agreed,
    /// The ledger isn't what is wrong.
    #[error("{0}: the ledger lost nothing, and what is wrong with a journal can't be accepted")]
    Journal(Divergence),
    /// Nobody said why.
    #[error("say why the ledger was restored: the auditors read it")]
    NoReason,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(AcceptError);

impl Reconcile {
    /// Takes over everything that the journal still knows, then accepts that the rest is lost.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub async fn accept(
        &self,
        by: Actor,
        signer: &SignerName,
        reason: &str,
    ) -> Result<Accepted, AcceptError> {
        let issuer = self.issuer.id();
        let here = self.signer.name(issuer)?;
        if *signer != here {
            return Err(AcceptError::OtherSigner { here });
        }
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(AcceptError::NoReason);
        }
        let report = self.take_over().await?;
        let loss = match report.divergence {
            None => return Err(AcceptError::Agreed),
            Some(Divergence::Ledger(loss)) => loss,
            Some(other) => return Err(AcceptError::Journal(other)),
        };
        let (ledger, journal) = (self.audit.head().await?, self.signer.journal(issuer).await?);
        let last = journal.last.map_or(0, |last| last.sequence);
        let row = event(self.clock.now(), by, "reconcile.loss-accepted", signer)
            .with("issuer", issuer)
            .with("reason", plain(reason))
            .with("ledger_row", ledger.sequence)
            .with("ledger_hash", hex::encode(ledger.hash))
            .with("last_common_row", loss.common.map_or(0, |common| common.sequence))
            .with("lost_row", loss.furthest.sequence)
            .with("lost_hash", hex::encode(loss.furthest.hash))
            .with("journal_entry", last)
            .with("journal_hash", journal.last.map(|last| hex::encode(last.hash)).unwrap_or_default())
            .with("accepted_to_entry", loss.last_entry);
        self.signers.accept_lost_anchors(issuer, signer, loss.last_entry, row).await?;
        Ok(Accepted { loss, orphans: report.orphans.len() as u64, restored: report.restored.len() as u64 })
    }
}

/// Nothing in it that a terminal would take for more than text.
fn plain(reason: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    reason.chars().take(MAX_REASON).map(shown).collect()
}
