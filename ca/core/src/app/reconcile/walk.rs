//! Reading the journal page by page, with the rows of the trail that its entries name.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Reconcile, Reconciled};
use crate::{
    app::{failure::Failure, trail::Details},
    domain::{
        anchor::{Divergence, Remembered, Row, Walk},
        audit::AuditPosition,
    },
    ports::{
        signer::{JournalBody, JournalEntry, JournalHead},
        store::{Conflict, SignerRecord, StoreError, StoreResult},
    },
};

/// Entries in a page at the most: some milliseconds' work.
const PAGE: u32 = 1000;
/// Rows of the trail that are read at once.
const ROWS: u64 = 8000;
/// So many rows are read for one that is wanted, before they are read one by one.
const SPARSE: u64 = 8;

/// Why a walk ended before the journal's end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// The journal isn't the one, or not whole.
    #[error("{0}")]
    Diverged(Divergence),
    /// Something below failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Divergence> for Stop {
    fn from(divergence: Divergence) -> Self {
        Self::Diverged(divergence)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::ports::signer::SignerError> for Stop {
    fn from(error: crate::ports::signer::SignerError) -> Self {
        Self::Failed(error.into())
    }
}

impl Reconcile {
    pub(super) async fn walk_on(
        &self,
        walk: &mut Walk,
        head: &JournalHead,
        report: &mut Reconciled,
    ) -> Result<(), Stop> {
        self.recognise(walk, head).await?;
        loop {
            let page = self.page(walk).await?;
            if page.is_empty() {
                return self.look_at_furthest(walk, head).await;
            }
            let known = self.known(&page).await?;
            for (entry, row) in page {
                if row != Row::Same
                    && let JournalBody::Crl(number) = entry.body
                {
                    self.accord.raise_crl_floor(number);
                }
                if !known.has(&entry) {
                    self.settle_entry(&entry, report).await?;
                }
                walk.take(entry.position, entry.audit, row)?;
            }
        }
    }

    /// The signer as the ledger knows it.
    pub(super) async fn introduced(&self, journal: Uuid) -> Result<SignerRecord, Stop> {
        let (issuer, name) = (self.issuer.id(), self.signer.name(self.issuer.id())?);
        let row = self.row("signer.introduced", &name).with("journal", journal);
        let record = match self.signers.introduce_signer(issuer, &name, journal, row).await {
            Ok(record) => record,
            Err(StoreError::Conflict(Conflict::OtherJournal)) => {
                return Err(Divergence::JournalReplaced.into());
            }
            Err(error) => return Err(error.into()),
        };
        match record.retired_at {
            Some(since) => Err(Divergence::Retired { since }.into()),
            None => Ok(record),
        }
    }

    pub(super) async fn remembered(&self, known: Option<&SignerRecord>) -> StoreResult<Remembered> {
        let Some(known) = known else { return Ok(Remembered::default()) };
        Ok(Remembered {
            reconciled: known.reconciled,
            last_issued: self.signers.last_journaled(self.issuer.id(), &known.name).await?,
            accepted_to: known.anchors_accepted_to,
        })
    }

    /// Makes sure that the journal still has what was reached.
    pub(super) async fn recognise(&self, walk: &mut Walk, head: &JournalHead) -> Result<(), Stop> {
        let Some(reached) = walk.reached() else { return Ok(()) };
        if !walk.meet(head.last)? && !walk.has_accepted() {
            return Ok(());
        }
        let found = self.signer.journaled_after(self.issuer.id(), reached.sequence - 1, 1).await?;
        walk.recognise(found.first().map(|entry| entry.position))?;
        for (entry, row) in self.with_rows(found).await? {
            walk.look(entry.position.sequence, entry.audit, row);
        }
        Ok(())
    }

    /// The next entries, each with what the ledger has of the row that it names; none at the end.
    pub(super) async fn page(&self, walk: &Walk) -> Result<Vec<(JournalEntry, Row)>, Stop> {
        let after = walk.reached().map_or(0, |reached| reached.sequence);
        let entries = self.signer.journaled_after(self.issuer.id(), after, PAGE).await?;
        Ok(self.with_rows(entries).await?)
    }

    /// The furthest row that any entry names: it shows a trail whose end was cut off, when nothing new was journaled since.
    /// Once a loss was accepted, it stays the furthest for a long time and says nothing.
    pub(super) async fn look_at_furthest(&self, walk: &mut Walk, head: &JournalHead) -> Result<(), Stop> {
        if let (Some(place), Some(last), false) =
            (head.audit, head.last, walk.has_loss() || walk.has_accepted())
        {
            let found = self.hashes(&BTreeSet::from([place.sequence])).await?;
            walk.look(last.sequence, place, Row::at(place, found.get(&place.sequence).copied()));
        }
        Ok(())
    }

    async fn with_rows(&self, entries: Vec<JournalEntry>) -> StoreResult<Vec<(JournalEntry, Row)>> {
        let wanted: BTreeSet<u64> = entries.iter().map(|entry| entry.audit.sequence).collect();
        let hashes = self.hashes(&wanted).await?;
        let row = |place: AuditPosition| Row::at(place, hashes.get(&place.sequence).copied());
        Ok(entries
            .into_iter()
            .map(|entry| (row(entry.audit), entry))
            .map(|(row, entry)| (entry, row))
            .collect())
    }

    /// The hashes of these rows of the trail, as far as it has them: many at once where they stand together, as they do
    /// under load, else one by one.
    async fn hashes(&self, wanted: &BTreeSet<u64>) -> StoreResult<HashMap<u64, [u8; 32]>> {
        let mut found = HashMap::with_capacity(wanted.len());
        let mut next = wanted.range(1..).next().copied();
        while let Some(first) = next {
            let near = wanted.range(first..first.saturating_add(ROWS));
            let (count, last) = (near.clone().count() as u64, near.last().copied().unwrap_or(first));
            let span = last - first + 1;
            let end = if span <= count * SPARSE { last } else { first };
            found.extend(self.books.audit_hashes(first, end).await?);
            next = wanted.range(end + 1..).next().copied();
        }
        Ok(found)
    }
}
