//! The signer's memory: an append-only, hash-chained file of everything that it signed or was told to hold revoked.
//!
//! The invariant: an entry is on the disk before anybody hears of it. Appends are collected by one writer thread,
//! written and synced together, and only then acknowledged; a batch that can't be made durable is cut off again and
//! refused. What is acknowledged is never changed, reordered or removed.
//!
//! | file | job |
//! | --- | --- |
//! | `frame` | frames and the chain of hashes |
//! | `record` | what a frame's body says |
//! | `serial` | serial numbers as keys, and the few fields the index needs from DER |
//! | `change` | what an entry adds to what is remembered |
//! | `index` | what policy asks of the past, in memory |
//! | `extent` | what of it is small |
//! | `table` | what of it is large |
//! | `checkpoint` | the index on disk, so that a start need not read everything |
//! | `keeper` | the threads that write checkpoints and check what a checkpoint stood for |
//! | `mark` | how far everything is acknowledged, for whoever copies, and after a power cut |
//! | `hole` | blocks that a power cut left unwritten |
//! | `copy` | copies elsewhere, and back |
//! | `files` | names, owners, and putting a file in place whole |
//! | `open` | creating, locking and re-reading the file |
//! | `writer` | the thread that appends |
//! | `verify` | the offline check |

mod change;
mod checkpoint;
pub mod copy;
mod extent;
mod files;
mod frame;
mod hole;
mod index;
mod keeper;
mod mark;
mod open;
mod record;
mod serial;
mod storage;
mod table;
pub mod verify;
mod writer;

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    thread::JoinHandle,
};

use jiff::{SignedDuration, Timestamp};
use signer_protocol::message::{Entry, EntryBody, JournalHead, JournalPosition};
use tokio::sync::{mpsc, oneshot};

pub use change::CrlState;
use checkpoint::Summary;
pub use frame::MAX_BODY;
pub use index::{Index, KeyIndex, Revoked};
use keeper::{Keeper, Kept, Settings};
use mark::Mark;
pub use open::OpenError;
use record::Record;
use storage::Storage;

pub use serial::{Serial, SerialError, not_after};

/// The signer's clock. A plain function, so that a test can have another.
pub type Now = fn() -> Timestamp;

/// How far a clock may be corrected backwards without anybody's doing: entries then have the time of the one before.
pub const STEP: SignedDuration = SignedDuration::from_millis(500);

/// Appends that wait for the writer before callers wait too.
const QUEUE: usize = 1024;

/// An open journal; cheap to clone. The file stays locked until the last clone is gone and the writer has ended.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kept: Kept,
    reading: File,
    jobs: Option<mpsc::Sender<writer::Job>>,
    writer: Option<JoinHandle<()>>,
    keeper: Option<Keeper>,
}

/// Why entries were not appended. None of them is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The file couldn't be written or synced; what was written is cut off again.
    #[error("the journal can't be written: {0}")]
    Io(Arc<io::Error>),
    /// The clock is behind the last entry, at this time.
    #[error("the clock is behind the journal's last entry of {0}")]
    ClockBehind(Timestamp),
    /// An intent or serial number that the journal has already, or a body that can't be read back.
    #[error("the entry contradicts the journal: {0}")]
    Contradiction(String),
    /// The journal's past is not what it should be.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// The writer is gone, which happens at shutdown only.
    #[error("the journal is closed")]
    Closed,
}

/// A checkpoint said something else than the entries that it stood for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal is unsound, nothing is signed any more: {0}")]
pub struct Unsound(String);

impl Journal {
    /// Opens a journal, or creates an empty one, and locks it against other processes. Reads and checks all of it, or
    /// what its checkpoint leaves to read, and the rest afterwards. The end that a crash leaves incomplete, or a power cut
    /// with holes, is cut off with a line in the log, unless it was acknowledged.
    ///
    /// # Errors
    /// [`OpenError`] when the file is locked, unreadable, or inconsistent anywhere but in an incomplete end; the error
    /// names the entry.
    pub fn open(path: &Path, now: Now) -> Result<Self, OpenError> {
        Self::open_with(path, now, Settings::default())
    }

    fn open_with(path: &Path, now: Now, settings: Settings) -> Result<Self, OpenError> {
        let open::Opened { file, index, unread } = open::open(path)?;
        Self::start(path, Box::new(file), (index, unread), now, settings)
    }

    fn start(
        path: &Path,
        storage: Box<dyn Storage>,
        (index, unread): (Index, Option<Summary>),
        now: Now,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let reading = File::open(path).map_err(io)?;
        let identifier = frame::identifier(&reading).map_err(io)?;
        let index = Arc::new(RwLock::new(index));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let mark = Mark::of(path, identifier);
        let writer = writer::Writer::new(storage, Arc::clone(&index), mark, now);
        let kept = Kept { path: path.to_owned(), identifier, index, fault: Arc::default(), settings };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                // Without its journal a signer can't do anything any more; whoever watches it starts another.
                if catch_unwind(AssertUnwindSafe(|| writer.run(queue))).is_err() {
                    std::process::abort();
                }
            })
            .map_err(io)?;
        let mut inner = Inner { kept, reading, jobs: Some(jobs), writer: Some(thread), keeper: None };
        inner.keeper = Some(Keeper::start(&inner.kept, unread).map_err(io)?);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.kept.path
    }

    /// Whether its past is what a checkpoint said, as far as that was read again by now.
    ///
    /// # Errors
    /// [`Unsound`], once and for all.
    pub fn sound(&self) -> Result<(), Unsound> {
        match self.inner.kept.fault.get() {
            Some(fault) => Err(Unsound(fault.clone())),
            None => Ok(()),
        }
    }

    /// The past as policy asks for it. Don't hold it across an await: the writer waits for it.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.inner.kept.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last entry's position; `None` for an empty journal.
    pub fn last(&self) -> Option<JournalPosition> {
        let index = self.index();
        (index.entries() > 0).then(|| JournalPosition { sequence: index.entries(), hash: index.head() })
    }

    /// Its identity, its end, and how far it reaches in the authority's audit trail.
    pub fn summary(&self) -> JournalHead {
        let audit = self.index().audit();
        JournalHead { journal: self.inner.kept.identifier, last: self.last(), audit }
    }

    /// Appends entries, all or none, and returns their positions once they are on the disk. A revocation that the
    /// journal has already isn't written again: its position is the old one.
    ///
    /// # Errors
    /// [`AppendError`]; then none of the entries is in the journal.
    pub async fn append(&self, bodies: Vec<EntryBody>) -> Result<Vec<JournalPosition>, AppendError> {
        self.sound()?;
        let (reply, receiver) = oneshot::channel();
        let jobs = self.inner.jobs.as_ref().ok_or(AppendError::Closed)?;
        jobs.send(writer::Job { bodies, reply }).await.map_err(|_| AppendError::Closed)?;
        receiver.await.map_err(|_| AppendError::Closed)?
    }

    /// Reads one entry; `None` beyond the end.
    ///
    /// # Errors
    /// When the file can't be read, or no longer holds what it held when it was opened.
    pub fn read(&self, sequence: u64) -> io::Result<Option<Entry>> {
        let (place, before) = {
            let index = self.index();
            (index.place(sequence), index.place(sequence.saturating_sub(1)))
        };
        let Some(place) = place else { return Ok(None) };
        let (previous, hash, body) = frame::read_checked(&self.inner.reading, place, before)?;
        let Record { at, body } =
            record::decode(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Entry { position: JournalPosition { sequence, hash }, previous, at, body }))
    }
}

/// Number and time of a `TBSCertList`, and its SHA-256.
///
/// # Errors
/// When it isn't one.
pub fn crl_digest(tbs: &[u8]) -> io::Result<(CrlState, [u8; 32])> {
    let read = serial::of_crl(tbs);
    let (number, this_update) = read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((CrlState { number, this_update }, frame::sha256(&[tbs])))
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // It doesn't panic without ending the process.
            let _ = writer.join();
        }
        // The last checkpoint comes after the last entry.
        self.keeper = None;
    }
}

#[cfg(test)]
mod tests;
