//! Creating, locking and re-reading the file.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

use super::{
    change::Change,
    checkpoint::{self, Ignored, Summary},
    files::{exposed, put_in_place},
    frame::{self, FRAME_HEAD, HEADER, Hash, MAX_BODY, Next, Place, Scanner},
    hole,
    index::Index,
    mark,
    record::{self, Record},
    storage::Storage,
    writer,
};

/// How far reading may be ahead of what is taken in, and in pieces of what size.
const BATCHES: usize = 8;
const BATCH_OCTETS: usize = 128 * 1024;
/// What one batch can't be longer than, whatever its last job was.
const LONGEST_BATCH: u64 = (writer::BATCH_OCTETS + FRAME_HEAD + MAX_BODY) as u64;
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Why a journal isn't opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be created, read or cut.
    #[error("the journal {path:?} can't be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can change it.
    #[error("the journal {path:?} {fault}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// How, and what to do.
        fault: &'static str,
    },
    /// Another process has it.
    #[error("the journal {path:?} is in use by another process: a journal belongs to one signer")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is no journal.
    #[error("{path:?} is not a journal, or its first {HEADER} octets are damaged")]
    NoJournal {
        /// The file.
        path: PathBuf,
    },
    /// It was damaged or changed.
    #[error(
        "the journal {path:?} is damaged at entry {sequence} (octet {offset}): {fault}. Don't repair it by hand: \
         keep it, restore the signer's last good copy and compare both with the authority's ledger"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first bad entry, counted from 1.
        sequence: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        fault: String,
    },
}

/// A locked file, positioned nowhere in particular, and what it holds.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) index: Index,
    /// What the checkpoint says that stood for reading the entries before its end; `None` when all was read.
    pub(super) unread: Option<Summary>,
}

pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    if !path.try_exists().map_err(io)? {
        create(path).map_err(io)?;
    }
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(nofollow).open(path).map_err(io)?;
    guarded(&file.metadata().map_err(io)?, path)?;
    lock(&file, path)?;
    let (scanned, unread) = read(&file, path)?;
    if let Some(octets) = scanned.torn {
        tracing::warn!(
            journal = %path.display(),
            after = scanned.index.entries(),
            octets,
            "the journal ends in an incomplete entry, which nobody was told of: cut off"
        );
        Storage::truncate(&mut file, scanned.index.end()).map_err(io)?;
    }
    // A predecessor that was killed may have written what it didn't sync, and from now on it is told.
    Storage::sync(&mut file).map_err(io)?;
    Ok(Opened { file, index: scanned.index, unread })
}

/// Reads the end that a checkpoint leaves to read, or all of it.
fn read(file: &File, path: &Path) -> Result<(Scanned, Option<Summary>), OpenError> {
    match checkpoint::load(path, file) {
        Ok((summary, index)) => {
            let scanned = scan_after(file, path, index, |_| {})?;
            Ok((scanned, Some(summary)))
        }
        Err(ignored) => {
            match ignored {
                Ignored::Absent => {}
                Ignored::Ahead { .. } => tracing::error!(
                    journal = %path.display(),
                    %ignored,
                    "ALARM: entries that were in the journal are no longer there; it is read whole"
                ),
                _ => tracing::warn!(
                    journal = %path.display(), %ignored, "the journal's checkpoint is of no use; it is read whole"
                ),
            }
            Ok((scan(file, path, |_| {})?, None))
        }
    }
}

/// Nobody else owns the file or can write to it: what stands in it is what this signer wrote.
fn guarded(file: &Metadata, path: &Path) -> Result<(), OpenError> {
    match exposed(file) {
        Some(fault) => Err(OpenError::Exposed { path: path.to_owned(), fault }),
        None => Ok(()),
    }
}

/// Waits a moment for a predecessor that was killed and isn't quite gone.
fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if since.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked { path: path.to_owned() }),
            Err(error) => return Err(OpenError::Io { path: path.to_owned(), source: error.into() }),
        }
    }
}

/// Puts an empty journal in place whole: written under another name, linked, and the folder synced. A link, unlike a
/// rename, never replaces a journal that appeared meanwhile.
fn create(path: &Path) -> io::Result<()> {
    put_in_place(path, &frame::new_header()?)?;
    tracing::warn!(
        journal = %path.display(),
        "created an empty journal, as a new signer's is; if this signer has signed before, stop it: its journal is elsewhere, or \
         its disk isn't mounted"
    );
    Ok(())
}

/// What a whole file holds.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) index: Index,
    /// Octets of an incomplete end.
    pub(super) torn: Option<u64>,
}

/// The genesis hash of a journal.
pub(super) fn genesis(file: &File, path: &Path) -> Result<Hash, OpenError> {
    let no_journal = || OpenError::NoJournal { path: path.to_owned() };
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => no_journal(),
        _ => OpenError::Io { path: path.to_owned(), source: error },
    })?;
    frame::genesis(&header).ok_or_else(no_journal)
}

/// Reads and checks every entry of `file`, from its begin.
pub(super) fn scan(file: &File, path: &Path, each: impl FnMut(&Record)) -> Result<Scanned, OpenError> {
    let index = Index::new(genesis(file, path)?);
    scan_after(file, path, index, each)
}

/// Reads and checks what comes after the end of `index`.
fn scan_after(
    mut file: &File,
    path: &Path,
    mut index: Index,
    mut each: impl FnMut(&Record),
) -> Result<Scanned, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    // Before the entries: beside a live signer it moves on.
    let acknowledged = acknowledged(path, file).map_err(io)?;
    let damaged = |index: &Index, fault: String| OpenError::Damaged {
        path: path.to_owned(),
        sequence: index.entries() + 1,
        offset: index.end(),
        fault,
    };
    file.seek(SeekFrom::Start(index.end())).map_err(io)?;
    let reader = BufReader::with_capacity(256 * 1024, file);
    let scanner = Scanner::after(reader, index.end(), index.head());
    thread::scope(|scope| {
        // One thread reads and checks the chain, this one reads what the entries say.
        let (batches, queue) = sync_channel(BATCHES);
        scope.spawn(move || read_ahead(scanner, &batches));
        for batch in queue {
            for (place, hash, body) in batch.frames {
                let record = record::decode(&batch.octets[body])
                    .map_err(|error| damaged(&index, error.to_string()))?;
                let change = Change::of(&record.body).map_err(|fault| damaged(&index, fault))?;
                index.check(record.at, &change).map_err(|fault| damaged(&index, fault))?;
                each(&record);
                index.push(place, hash, record.at, &change);
            }
            index.tidy();
            match batch.then {
                None => {}
                Some(Ok(Next::Torn { .. })) if acknowledged.is_some_and(|end| index.end() < end) => {
                    return Err(damaged(&index, "it isn't whole, and was acknowledged".to_owned()));
                }
                Some(Ok(Next::Torn { octets })) => return Ok(Scanned { index, torn: Some(octets) }),
                Some(Ok(Next::Damaged(fault))) => {
                    let Some(octets) = left_of_a_batch(file, &index, acknowledged).map_err(io)? else {
                        return Err(damaged(&index, fault.to_owned()));
                    };
                    return Ok(Scanned { index, torn: Some(octets) });
                }
                Some(Ok(Next::End | Next::Frame(..))) => break,
                Some(Err(error)) => return Err(io(error)),
            }
        }
        Ok(Scanned { index, torn: None })
    })
}

/// Where the journal's mark, if it has one, says that everything was acknowledged.
fn acknowledged(path: &Path, file: &File) -> io::Result<Option<u64>> {
    let journal = frame::identifier(file)?;
    let mark = mark::read(path).ok().flatten().filter(|mark| mark.journal == journal);
    Ok(mark.map(|mark| mark.end))
}

/// How many octets after the end of `index`, which don't check, are left of a batch that nobody was told of; `None` when
/// the file was changed.
fn left_of_a_batch(file: &File, index: &Index, acknowledged: Option<u64>) -> io::Result<Option<u64>> {
    let left = file.metadata()?.len().saturating_sub(index.end());
    let untold = acknowledged.is_some_and(|end| end <= index.end()) && left <= LONGEST_BATCH;
    Ok((untold && hole::in_frame(file, index.end(), &index.head())?).then_some(left))
}

/// Frames whose hashes fit, and what comes after them unless it is another batch.
struct Batch {
    octets: Vec<u8>,
    /// Each with its body's place in `octets`.
    frames: Vec<(Place, Hash, Range<usize>)>,
    then: Option<io::Result<Next>>,
}

/// Reads batches until the end, the first fault, or the receiver's.
fn read_ahead<R: Read>(mut scanner: Scanner<R>, batches: &SyncSender<Batch>) {
    loop {
        let mut batch =
            Batch { octets: Vec::with_capacity(2 * BATCH_OCTETS), frames: Vec::new(), then: None };
        while batch.then.is_none() && batch.octets.len() < BATCH_OCTETS {
            let start = batch.octets.len();
            match scanner.next(&mut batch.octets) {
                Ok(Next::Frame(place, hash)) => batch.frames.push((place, hash, start..batch.octets.len())),
                other => batch.then = Some(other),
            }
        }
        let ended = batch.then.is_some();
        if batches.send(batch).is_err() || ended {
            return;
        }
    }
}
