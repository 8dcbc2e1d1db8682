//! Erases personal data whose period is over, in small commits that each say in the audit trail how much of what it was, never
//! whose.
//!
//! A run that is stopped anywhere is gone on with by the next one; two at once share the work: what one has taken the other
//! can't take again.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        retention::{Periods, PersonalData},
    },
    ports::{
        clock::Clock,
        retention::RetentionStore,
        store::{Conflict, StoreError},
    },
};

/// Records in a commit, so that no other fact waits long for the ledger.
const PAGE: u32 = 500;

/// The use case.
pub struct ErasePersonalData {
    /// The ledger.
    pub retention: Arc<dyn RetentionStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long each kind is kept.
    pub periods: Periods,
}

/// How it stands with a kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The kind.
    pub kind: PersonalData,
    /// How long it is kept.
    pub period: SignedDuration,
    /// What began before this is erased by the next run.
    pub before: Timestamp,
    /// How many records that are.
    pub due: u64,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Erased {
    /// How many records of each kind.
    pub records: Vec<(PersonalData, u64)>,
    /// Why something that is due may be left: the first failure of the ledger. It kept no other kind from being erased.
    pub failure: Option<Failure>,
}

impl ErasePersonalData {
    /// What the next run will erase.
    ///
    /// # Errors
    /// [`Failure`] of the ledger.
    pub async fn look(&self) -> Result<Vec<Standing>, Failure> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for kind in PersonalData::ALL {
            let before = self.periods.before(kind, now);
            let due = self.retention.count_erasable(kind, before).await?;
            all.push(Standing { kind, period: self.periods.of(kind), before, due });
        }
        Ok(all)
    }

    /// Erases what is due, of every kind what it can.
    pub async fn run(&self, by: &Actor) -> Erased {
        let mut all = Erased::default();
        for kind in PersonalData::ALL {
            let mut records = 0;
            if let Err(error) = self.erase(by, kind, &mut records).await {
                all.failure.get_or_insert(error);
            }
            all.records.push((kind, records));
        }
        all
    }

    async fn erase(&self, by: &Actor, kind: PersonalData, erased: &mut u64) -> Result<(), Failure> {
        let before = self.periods.before(kind, self.clock.now());
        loop {
            let keys = self.retention.erasable(kind, before, PAGE).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let row = event(self.clock.now(), by.clone(), "personal-data.erased", kind.as_str())
                .with("records", keys.len())
                .with("before", before);
            match self.retention.erase(kind, before, &keys, row).await {
                Ok(()) => *erased += keys.len() as u64,
                // Somebody else is at it: the rest is theirs.
                Err(StoreError::Conflict(Conflict::Missing)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if keys.len() < PAGE as usize {
                return Ok(());
            }
        }
    }
}
