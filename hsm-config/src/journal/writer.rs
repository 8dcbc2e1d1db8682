//! The thread that appends: many entries, one write, one sync, then every acknowledgement.
//!
//! When a batch can't be made durable, it is cut off and refused as a whole. When even that fails, nothing more is
//! written until it succeeds; the next append tries again, so that a disk that recovers needs no hand.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use signer_protocol::message::{EntryBody, JournalPosition, KeyLabel};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    AppendError, Now, STEP,
    change::Change,
    frame::{self, Hash, Place},
    index::Index,
    mark::Mark,
    record,
    serial::Serial,
    storage::Storage,
};

/// Most entries and octets that one sync covers; the last job may go beyond.
const BATCH_JOBS: usize = 512;
pub(super) const BATCH_OCTETS: usize = 16 * 1024 * 1024;

type Outcome = Result<Vec<JournalPosition>, AppendError>;

/// Entries to append together.
pub(super) struct Job {
    pub(super) bodies: Vec<EntryBody>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

pub(super) struct Writer {
    storage: Box<dyn Storage>,
    index: Arc<RwLock<Index>>,
    mark: Mark,
    now: Now,
    /// Something unacknowledged stands after the end, and couldn't be cut off.
    dirty: bool,
}

/// A batch as it is put together: the octets, and how the index will change once they are durable.
struct Batch {
    octets: Vec<u8>,
    entries: Vec<(Place, Hash, Timestamp, Change)>,
    intents: HashSet<Uuid>,
    serials: HashSet<(KeyLabel, Serial)>,
    revocations: HashMap<(KeyLabel, Serial), JournalPosition>,
    crls: HashMap<KeyLabel, u64>,
    start: u64,
    sequence: u64,
    head: Hash,
    last_at: Option<Timestamp>,
}

impl Writer {
    pub(super) fn new(
        storage: Box<dyn Storage>,
        index: Arc<RwLock<Index>>,
        mut mark: Mark,
        now: Now,
    ) -> Self {
        mark.set(&index.read().unwrap_or_else(PoisonError::into_inner).extent);
        Self { storage, index, mark, now, dirty: false }
    }

    /// Serves until the last sender is gone and everything it sent is answered.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = Batch::after(&self.index.read().unwrap_or_else(PoisonError::into_inner));
            let mut replies = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match self.add(&mut batch, &job.bodies) {
                    Ok(positions) => replies.push((job.reply, positions)),
                    // The caller may have gone; then nobody is left to tell.
                    Err(error) => drop(job.reply.send(Err(error))),
                }
                let room = replies.len() < BATCH_JOBS && batch.octets.len() < BATCH_OCTETS;
                next = if room { queue.try_recv().ok() } else { None };
            }
            let written = self.write(&batch).map_err(Arc::new);
            for (reply, positions) in replies {
                let _ = reply.send(match &written {
                    Ok(()) => Ok(positions),
                    Err(error) => Err(AppendError::Io(Arc::clone(error))),
                });
            }
        }
    }

    /// Adds all of a job's entries to the batch, or none.
    fn add(&self, batch: &mut Batch, bodies: &[EntryBody]) -> Outcome {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let now = (self.now)();
        // Whole microseconds, so that what is read back is what was checked.
        let at = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        let before = batch.before();
        let mut positions = Vec::with_capacity(bodies.len());
        for body in bodies {
            match self.add_one(batch, &index, at, body) {
                Ok(position) => positions.push(position),
                Err(error) => {
                    batch.roll_back(&before);
                    return Err(error);
                }
            }
        }
        Ok(positions)
    }

    fn add_one(
        &self,
        batch: &mut Batch,
        index: &Index,
        at: Timestamp,
        body: &EntryBody,
    ) -> Result<JournalPosition, AppendError> {
        let change = Change::of(body).map_err(AppendError::Contradiction)?;
        let at = match batch.last_at {
            _ if matches!(change, Change::Clock { .. }) => at,
            Some(last) if last.duration_since(at) > STEP => return Err(AppendError::ClockBehind(last)),
            Some(last) => at.max(last),
            None => at,
        };
        if let Some(position) = self.already_revoked(batch, index, &change)? {
            return Ok(position);
        }
        index.check(at, &change).and_then(|()| batch.check(&change)).map_err(AppendError::Contradiction)?;
        let body = record::encode(at, body).map_err(|error| AppendError::Contradiction(error.to_string()))?;
        batch.push(at, &body, change).map_err(|error| AppendError::Io(Arc::new(error)))
    }

    fn already_revoked(
        &self,
        batch: &Batch,
        index: &Index,
        change: &Change,
    ) -> Result<Option<JournalPosition>, AppendError> {
        let Change::Revocation { key, serial, .. } = change else { return Ok(None) };
        if let Some(position) = batch.revocations.get(&(key.clone(), *serial)) {
            return Ok(Some(*position));
        }
        let Some(revoked) = index.key(key).and_then(|key| key.revocation(serial)) else { return Ok(None) };
        let sequence = revoked.sequence;
        let Some(place) = index.place(sequence) else { return Ok(None) };
        let hash =
            frame::read_hash(self.storage.file(), place).map_err(|error| AppendError::Io(Arc::new(error)))?;
        Ok(Some(JournalPosition { sequence, hash }))
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        let written = self.make_durable(batch);
        if let Err(error) = &written {
            self.dirty = true;
            tracing::error!(%error, entries = batch.entries.len(), "the journal can't be written: entries refused");
            self.clean(batch.start);
        } else {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for (place, hash, at, change) in &batch.entries {
                index.push(*place, *hash, *at, change);
            }
            self.mark.set(&index.extent);
        }
        written
    }

    fn make_durable(&mut self, batch: &Batch) -> io::Result<()> {
        if self.dirty {
            self.storage.truncate(batch.start)?;
            self.dirty = false;
            tracing::info!("the journal can be written again");
        }
        self.storage.append(batch.start, &batch.octets)?;
        self.storage.sync()
    }

    /// After a failed sync the kernel may have dropped the pages and forgotten: so nothing of the batch may stay.
    fn clean(&mut self, end: u64) {
        match self.storage.truncate(end) {
            Ok(()) => self.dirty = false,
            Err(error) => {
                tracing::error!(%error, "the journal's end can't be cut off; the next append tries again");
            }
        }
    }
}

/// The state of a batch before a job, to return to when one of its entries is refused.
struct Before {
    octets: usize,
    entries: usize,
    sequence: u64,
    head: Hash,
    last_at: Option<Timestamp>,
}

impl Batch {
    fn after(index: &Index) -> Self {
        Self {
            octets: Vec::new(),
            entries: Vec::new(),
            intents: HashSet::new(),
            serials: HashSet::new(),
            revocations: HashMap::new(),
            crls: HashMap::new(),
            start: index.end(),
            sequence: index.entries(),
            head: index.head(),
            last_at: index.last_at(),
        }
    }

    fn before(&self) -> Before {
        Before {
            octets: self.octets.len(),
            entries: self.entries.len(),
            sequence: self.sequence,
            head: self.head,
            last_at: self.last_at,
        }
    }

    fn roll_back(&mut self, before: &Before) {
        for (_, _, _, change) in self.entries.drain(before.entries..) {
            match change {
                Change::Certificate { key, intent, serial, .. } => {
                    self.intents.remove(&intent);
                    self.serials.remove(&(key, serial));
                }
                Change::Revocation { key, serial, .. } => {
                    self.revocations.remove(&(key, serial));
                }
                // A gap in the CRL numbers of one batch harms nobody.
                Change::Crl { .. } | Change::Ocsp { .. } | Change::Clock { .. } => {}
            }
        }
        self.octets.truncate(before.octets);
        self.sequence = before.sequence;
        self.head = before.head;
        self.last_at = before.last_at;
    }

    /// [`Index::check`] against the rest of the batch.
    fn check(&self, change: &Change) -> Result<(), String> {
        match change {
            Change::Certificate { intent, .. } if self.intents.contains(intent) => {
                Err(format!("intent {intent} is being signed"))
            }
            Change::Certificate { key, serial, .. } if self.serials.contains(&(key.clone(), *serial)) => {
                Err(format!("serial number {serial} is being signed"))
            }
            Change::Crl { key, crl, .. }
                if self.crls.get(key).is_some_and(|number| crl.number <= *number) =>
            {
                Err(format!("CRL number {} follows a higher one", crl.number))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, at: Timestamp, body: &[u8], change: Change) -> io::Result<JournalPosition> {
        let before = self.octets.len();
        let hash = frame::append(&mut self.octets, &self.head, body)?;
        let length = (self.octets.len() - before) as u64;
        let place = Place { offset: self.start + before as u64, length };
        self.head = hash;
        self.last_at = Some(at);
        self.sequence += 1;
        let position = JournalPosition { sequence: self.sequence, hash };
        match &change {
            Change::Certificate { key, intent, serial, .. } => {
                self.intents.insert(*intent);
                self.serials.insert((key.clone(), *serial));
            }
            Change::Crl { key, crl, .. } => {
                self.crls.insert(key.clone(), crl.number);
            }
            Change::Revocation { key, serial, .. } => {
                self.revocations.insert((key.clone(), *serial), position);
            }
            Change::Ocsp { .. } | Change::Clock { .. } => {}
        }
        self.entries.push((place, hash, at, change));
        Ok(position)
    }
}
