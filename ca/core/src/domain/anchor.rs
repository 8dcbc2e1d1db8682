//! Ledger and journal, anchored in each other: every entry of the journal says where the ledger's audit trail ended, and
//! the ledger knows places in the journal. What the one names must be found in the other; what it means when it isn't is
//! decided here, and only who holds a [`MayIssue`] of an agreeing pair can issue.

use std::fmt;

use jiff::Timestamp;

use super::{audit::AuditPosition, receipt::JournalPosition};

/// What the ledger remembers of a signer's journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// How far both agreed.
    pub reconciled: Option<JournalPosition>,
    /// The furthest place that an issued certificate names.
    pub last_issued: Option<JournalPosition>,
    /// Entries up to this sequence number may carry places in the trail that the ledger has lost: a person said so.
    pub accepted_to: u64,
}

/// The trail's row that an entry of the journal names, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The very row.
    Same,
    /// The trail ends before it.
    Missing,
    /// Another row has its number: another history.
    Other,
}

impl Row {
    /// Holds the place that an entry carries against the hash that the ledger has there.
    pub fn at(place: AuditPosition, hash: Option<[u8; 32]>) -> Self {
        match hash {
            _ if place == AuditPosition::GENESIS => Self::Same,
            None => Self::Missing,
            Some(hash) if hash == place.hash => Self::Same,
            Some(_) => Self::Other,
        }
    }
}

/// Why ledger and journal can't both be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The ledger lacks rows that the journal is anchored to: restored from a backup, or its end cut off.
    Ledger(Loss),
    /// The signer answers with another journal than the one that the ledger knows it by.
    JournalReplaced,
    /// The journal ends before a place that the ledger knows: cut, or restored from a copy.
    JournalBehind {
        /// The place that the ledger knows.
        known: JournalPosition,
        /// The sequence number of the journal's last entry; 0 when it is empty.
        end: u64,
    },
    /// The journal holds another entry at a place that the ledger knows: rewritten, or another copy carried on.
    JournalDiffers {
        /// The place that the ledger knows.
        known: JournalPosition,
    },
    /// The signer was retired.
    Retired {
        /// When.
        since: Timestamp,
    },
}

/// Why nothing is issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// It isn't known yet whether ledger and journal agree.
    #[error("ledger and journal haven't been held against each other yet")]
    Unexamined,
    /// They don't, and a person has to decide.
    #[error("{0}")]
    Diverged(Divergence),
}

/// What the ledger lost, as far as the journal tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The furthest row that both have from before the loss, of those that were looked at.
    pub common: Option<AuditPosition>,
    /// The furthest row that the ledger lacks.
    pub furthest: AuditPosition,
    /// Whether other rows stand in the place of lost ones: every restored ledger that goes on writes some.
    pub rewritten: bool,
    /// The first entry of the journal that names a lost row.
    pub first_entry: u64,
    /// The last one.
    pub last_entry: u64,
    /// How many entries name lost rows.
    pub entries: u64,
}

impl Divergence {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(Loss { rewritten: false, .. }) => "ledger-behind",
            Self::Ledger(Loss { rewritten: true, .. }) => "ledger-differs",
            Self::JournalReplaced => "journal-replaced",
            Self::JournalBehind { .. } => "journal-behind",
            Self::JournalDiffers { .. } => "journal-differs",
            Self::Retired { .. } => "signer-retired",
        }
    }

    /// Whether it is the same trouble as before, though more of it may show now.
    pub fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether the journal is what can't be relied on: the ledger's knowledge beats it.
    pub fn is_journals(&self) -> bool {
        !matches!(self, Self::Ledger(_))
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(loss) => {
                let kept = loss.common.map_or(0, |common| common.sequence);
                let furthest = loss.furthest.sequence;
                let (what, entries) = (if loss.rewritten { "lost or rewrote" } else { "lost" }, loss.entries);
                write!(
                    f,
                    "the ledger {what} rows of its audit trail after row {kept} and up to row {furthest} at least; \
                     {entries} entries of the signer's journal name them"
                )
            }
            Self::JournalReplaced => f.write_str(
                "the signer answers with another journal than the one that the ledger knows it by",
            ),
            Self::JournalBehind { known, end } => write!(
                f,
                "the signer's journal ends with entry {end}, and the ledger knows its entry {}",
                known.sequence
            ),
            Self::JournalDiffers { known } => {
                write!(f, "the signer's journal holds another entry {} than the ledger knows", known.sequence)
            }
            Self::Retired { since } => write!(f, "the signer was retired at {since}"),
        }
    }
}

/// The right to issue: ledger and journal agreed when they were last held against each other. Only
/// [`Accord`](crate::app::accord::Accord) gives it out.
#[derive(Clone, Copy, Debug)]
pub struct MayIssue {
    journal_end: u64,
    trail_end: u64,
}

impl MayIssue {
    /// `trail` and `journal` are where each ended when somebody last looked.
    pub(crate) fn after(trail: AuditPosition, journal: Option<JournalPosition>) -> Self {
        Self { journal_end: journal.map_or(0, |end| end.sequence), trail_end: trail.sequence }
    }

    /// Whether an intent that was recorded now may stand there: behind every row that this process saw before. A standby
    /// that was behind when it was promoted shows in this.
    pub(crate) fn is_recorded_at(self, row: AuditPosition) -> bool {
        row.sequence > self.trail_end
    }

    /// Whether what is signed now may stand there: behind everything that the journal held.
    pub(crate) fn precedes(self, position: JournalPosition) -> bool {
        position.sequence > self.journal_end
    }
}

/// A journal read from where it last agreed with the ledger, entry by entry.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    remembered: Remembered,
    reached: Option<JournalPosition>,
    agreed: Option<JournalPosition>,
    common: Option<AuditPosition>,
    loss: Option<Loss>,
}

impl Walk {
    /// Begins where both agreed.
    pub fn begin(remembered: Remembered) -> Self {
        let reached = remembered.reconciled;
        Self { remembered, reached, agreed: reached, ..Self::default() }
    }

    /// Begins at the journal's first entry, as if nothing had been compared before.
    pub fn whole(remembered: Remembered) -> Self {
        Self { remembered, ..Self::default() }
    }

    /// Goes on later: the ledger may remember more, and a person may have accepted what is lost.
    #[must_use]
    pub fn resume(mut self, remembered: Remembered) -> Self {
        self.remembered = remembered;
        if self.loss.is_some_and(|loss| loss.last_entry <= remembered.accepted_to) {
            self.loss = None;
            self.agreed = self.reached;
        }
        self
    }

    /// The last entry that was taken.
    pub fn reached(&self) -> Option<JournalPosition> {
        self.reached
    }

    /// The last entry before any loss: so far both agree.
    pub fn agreed(&self) -> Option<JournalPosition> {
        self.agreed
    }

    /// Whether a person has accepted a loss before: then the furthest row that the journal names may be a lost one.
    pub fn has_accepted(&self) -> bool {
        self.remembered.accepted_to > 0
    }

    /// Whether a loss was met that nobody has accepted.
    pub fn has_loss(&self) -> bool {
        self.loss.is_some()
    }

    /// Holds the journal's end against what was reached. True when the entry there must be looked at, because others
    /// follow.
    ///
    /// # Errors
    /// The journal ends before it, or ends there with another entry.
    pub fn meet(&self, end: Option<JournalPosition>) -> Result<bool, Divergence> {
        let Some(reached) = self.reached else { return Ok(false) };
        match end {
            Some(end) if end.sequence > reached.sequence => Ok(true),
            Some(end) if end == reached => Ok(false),
            Some(end) if end.sequence == reached.sequence => {
                Err(Divergence::JournalDiffers { known: reached })
            }
            end => Err(behind(reached, end)),
        }
    }

    /// Looks at the entry that the journal shows where the last one was.
    ///
    /// # Errors
    /// It is another.
    pub fn recognise(&self, found: Option<JournalPosition>) -> Result<(), Divergence> {
        match self.reached {
            Some(known) if found != Some(known) => Err(Divergence::JournalDiffers { known }),
            _ => Ok(()),
        }
    }

    /// Holds the row that an entry names against the ledger's, without going on.
    pub fn look(&mut self, entry: u64, place: AuditPosition, row: Row) {
        if row == Row::Same {
            // What was journaled after a loss is anchored in what the ledger wrote in the place of lost rows.
            let is_further = self.common.is_none_or(|common| common.sequence < place.sequence);
            if is_further && self.loss.is_none() {
                self.common = Some(place);
            }
        } else if entry > self.remembered.accepted_to {
            self.lose(entry, place, row);
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// The ledger knows another entry there.
    pub fn take(
        &mut self,
        position: JournalPosition,
        place: AuditPosition,
        row: Row,
    ) -> Result<(), Divergence> {
        for known in [self.remembered.reconciled, self.remembered.last_issued].into_iter().flatten() {
            if known.sequence == position.sequence && known.hash != position.hash {
                return Err(Divergence::JournalDiffers { known });
            }
        }
        self.look(position.sequence, place, row);
        self.reached = Some(position);
        if self.loss.is_none() {
            self.agreed = self.reached;
        }
        Ok(())
    }

    /// What it all means once the journal's end is reached.
    pub fn verdict(&self) -> Option<Divergence> {
        let known = self.remembered.last_issued.into_iter().chain(self.remembered.reconciled);
        let furthest = known.max_by_key(|position| position.sequence);
        let end = self.reached.map_or(0, |reached| reached.sequence);
        match furthest {
            Some(known) if known.sequence > end => Some(behind(known, self.reached)),
            _ => self.loss.map(|loss| Divergence::Ledger(Loss { common: self.common, ..loss })),
        }
    }

    fn lose(&mut self, entry: u64, place: AuditPosition, row: Row) {
        let loss = self.loss.get_or_insert(Loss {
            common: None,
            furthest: place,
            rewritten: false,
            first_entry: entry,
            last_entry: 0,
            entries: 0,
        });
        loss.rewritten |= row == Row::Other;
        // The last one is looked at again when others follow.
        if entry > loss.last_entry {
            (loss.last_entry, loss.entries) = (entry, loss.entries + 1);
        }
        if place.sequence > loss.furthest.sequence {
            loss.furthest = place;
        }
    }
}

fn behind(known: JournalPosition, end: Option<JournalPosition>) -> Divergence {
    Divergence::JournalBehind { known, end: end.map_or(0, |end| end.sequence) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> JournalPosition {
        JournalPosition { sequence, hash: [u8::try_from(sequence).unwrap_or(0xff); 32] }
    }

    fn row(sequence: u64) -> AuditPosition {
        AuditPosition { sequence, hash: [u8::try_from(sequence).unwrap_or(0xff); 32] }
    }

    /// Entries 4, 5 and 6, anchored in rows 40, 50 and 60, of which the ledger has the first `kept`.
    fn walked(remembered: Remembered, lost: Row, kept: usize) -> Walk {
        let mut walk = Walk::begin(remembered);
        for (index, sequence) in (4..=6).enumerate() {
            let found = if index < kept { Row::Same } else { lost };
            walk.take(entry(sequence), row(sequence * 10), found).expect("nothing known is contradicted");
        }
        walk
    }

    fn knowing(reconciled: u64) -> Remembered {
        Remembered { reconciled: Some(entry(reconciled)), ..Remembered::default() }
    }

    #[test]
    fn a_row_is_the_same_only_with_its_hash() {
        assert_eq!(Row::at(AuditPosition::GENESIS, None), Row::Same, "before the first row");
        assert_eq!(Row::at(row(4), Some([4; 32])), Row::Same);
        assert_eq!(Row::at(row(4), Some([5; 32])), Row::Other);
        assert_eq!(Row::at(row(4), None), Row::Missing);
    }

    #[test]
    fn what_the_journal_names_and_the_ledger_lacks_is_a_loss_until_it_is_accepted() {
        let whole = walked(knowing(3), Row::Missing, 3);
        assert_eq!((whole.verdict(), whole.agreed()), (None, Some(entry(6))));

        let walk = walked(knowing(3), Row::Missing, 1);
        assert_eq!(walk.agreed(), Some(entry(4)), "not beyond the first loss");
        let Some(divergence @ Divergence::Ledger(loss)) = walk.verdict() else { panic!("it agrees") };
        assert_eq!(divergence.code(), "ledger-behind");
        assert_eq!((loss.common, loss.furthest), (Some(row(40)), row(60)));
        assert_eq!((loss.first_entry, loss.last_entry, loss.entries), (5, 6, 2));
        assert_eq!(walked(knowing(3), Row::Other, 1).verdict().expect("a loss").code(), "ledger-differs");

        let mut later = walk.clone();
        later.take(entry(7), row(55), Row::Same).expect("a new entry");
        assert!(
            matches!(later.verdict(), Some(Divergence::Ledger(l)) if l == loss),
            "in the ledger's new rows"
        );
        let half = walk.clone().resume(Remembered { accepted_to: 5, ..knowing(3) });
        assert!(half.verdict().is_some(), "not all of it was accepted");
        let accepted = walk.resume(Remembered { accepted_to: 6, ..knowing(3) });
        assert_eq!((accepted.verdict(), accepted.agreed()), (None, Some(entry(6))));
        let again = walked(Remembered { accepted_to: 6, ..knowing(3) }, Row::Other, 1);
        assert_eq!(again.verdict(), None, "and it stays accepted");
        let mut later = again;
        later.take(entry(7), row(70), Row::Missing).expect("a new entry");
        assert!(later.verdict().is_some(), "what is lost afterwards isn't");
    }

    #[test]
    fn a_journal_that_lacks_what_the_ledger_knows_is_behind() {
        let walk = Walk::begin(knowing(3));
        assert_eq!(walk.meet(Some(entry(4))), Ok(true));
        assert_eq!(walk.meet(Some(entry(3))), Ok(false), "nothing new");
        for (end, code) in [
            (None, "journal-behind"),
            (Some(entry(2)), "journal-behind"),
            (Some(JournalPosition { sequence: 3, hash: [9; 32] }), "journal-differs"),
        ] {
            assert_eq!(walk.meet(end).expect_err("it was cut or rewritten").code(), code);
        }
        let issued = Remembered { last_issued: Some(entry(7)), ..knowing(3) };
        assert_eq!(walked(issued, Row::Same, 3).verdict().expect("entry 7 is gone").code(), "journal-behind");
        assert_eq!(Walk::begin(Remembered::default()).meet(None), Ok(false), "nothing is known");
    }

    #[test]
    fn a_journal_with_another_entry_where_the_ledger_knows_one_differs() {
        let walk = Walk::begin(knowing(3));
        assert_eq!(walk.recognise(Some(entry(3))), Ok(()));
        for found in [None, Some(entry(4)), Some(JournalPosition { sequence: 3, hash: [9; 32] })] {
            assert_eq!(walk.recognise(found).expect_err("another").code(), "journal-differs");
        }
        let known = JournalPosition { sequence: 5, hash: [9; 32] };
        let mut walk = Walk::begin(Remembered { last_issued: Some(known), ..knowing(3) });
        walk.take(entry(4), row(40), Row::Same).expect("not known");
        let found = walk.take(entry(5), row(50), Row::Same);
        assert_eq!(found, Err(Divergence::JournalDiffers { known }));
    }
}
