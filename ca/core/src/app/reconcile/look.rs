//! Holds ledger and journal against each other without changing either: what the operator's command line shows.

use super::{Reconcile, walk::Stop};
use crate::{
    app::failure::Failure,
    domain::{
        anchor::{Divergence, Row, Walk},
        audit::{AuditPosition, AuditRow},
        ids::SignerName,
    },
    ports::{
        signer::{JournalBody, JournalHead},
        store::SignerRecord,
    },
};

/// Rows of the trail that are read at once.
const ROWS: u32 = 1000;

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whose journal.
    pub signer: SignerName,
    /// The journal's identity and end.
    pub journal: JournalHead,
    /// The signer as the ledger knows it; `None` before its first reconciliation.
    pub known: Option<SignerRecord>,
    /// Where the ledger's trail ends.
    pub ledger: AuditPosition,
    /// How many entries of the journal were held against the ledger.
    pub entries: u64,
    /// Why they don't agree, if they don't.
    pub divergence: Option<Divergence>,
    /// What the entries are about whose rows the ledger lost, accepted ones included.
    pub lost: Lost,
}

/// Entries whose rows the ledger lost, by what they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Certificates that were signed.
    pub certificates: u64,
    /// Revocations that were recorded.
    pub revocations: u64,
    /// CRLs that were signed.
    pub crls: u64,
}

impl Reconcile {
    /// Looks: from where both last agreed, or with `whole` at every entry that there is.
    ///
    /// # Errors
    /// [`Failure`]; that they don't agree is none.
    pub async fn look(&self, whole: bool) -> Result<Look, Failure> {
        let issuer = self.issuer.id();
        let signer = self.signer.name(issuer)?;
        let journal = self.signer.journal(issuer).await?;
        let known = self.signers.signers(issuer).await?.into_iter().find(|known| known.name == signer);
        let ledger = self.audit.head().await?;
        let mut look =
            Look { signer, journal, known, ledger, entries: 0, divergence: None, lost: Lost::default() };
        look.divergence = match self.compare(whole, &mut look).await {
            Ok(divergence) => divergence,
            Err(Stop::Diverged(divergence)) => Some(divergence),
            Err(Stop::Failed(failure)) => return Err(failure),
        };
        Ok(look)
    }

    async fn compare(&self, whole: bool, look: &mut Look) -> Result<Option<Divergence>, Stop> {
        if let Some(known) = &look.known {
            if let Some(since) = known.retired_at {
                return Err(Divergence::Retired { since }.into());
            }
            if known.journal != look.journal.journal {
                return Err(Divergence::JournalReplaced.into());
            }
        }
        let remembered = self.remembered(look.known.as_ref()).await?;
        let mut walk = if whole { Walk::whole(remembered) } else { Walk::begin(remembered) };
        self.recognise(&mut walk, &look.journal).await?;
        loop {
            let page = self.page(&walk).await?;
            if page.is_empty() {
                break;
            }
            look.entries += page.len() as u64;
            for (entry, row) in page {
                walk.take(entry.position, entry.audit, row)?;
                if row != Row::Same {
                    look.lost.count(&entry.body);
                }
            }
        }
        self.look_at_furthest(&mut walk, &look.journal).await?;
        Ok(walk.verdict())
    }

    /// The rows of the trail by which revocations were entered again after this row.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn restored_since(&self, row: u64) -> Result<Vec<AuditRow>, Failure> {
        let issuer = format!("issuer={}", self.issuer.id());
        let (mut restored, mut after) = (Vec::new(), row);
        loop {
            let page = self.audit.rows_after(after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(restored) };
            after = last.sequence;
            let of_issuer = |row: &AuditRow| row.details.lines().any(|line| line == issuer);
            restored
                .extend(page.into_iter().filter(|row| row.action == "revocation.restored" && of_issuer(row)));
        }
    }
}

impl Lost {
    fn count(&mut self, body: &JournalBody) {
        match body {
            JournalBody::Certificate(_) => self.certificates += 1,
            JournalBody::Revocation(_) => self.revocations += 1,
            JournalBody::Crl(_) => self.crls += 1,
            JournalBody::Foreign => {}
        }
    }
}
