//! Copies of a journal on other machines, and a journal from such a copy.
//!
//! A copy is a prefix of its journal, octet for octet, so everything that reads a journal reads a copy. It only ever gets
//! what the signer has acknowledged (`mark`), every entry checked against the chain on its way, and never an octet over
//! what it has: a copy of another journal, one that is ahead, or one that says something else is refused and told where
//! the two part. It may be interrupted at any octet; what is incomplete is cut off when it goes on.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use uuid::Uuid;

use super::{
    OpenError,
    checkpoint::beside,
    frame::{self, HEADER, Hash, Next, Place, Scanner},
    mark::{self, Acknowledged},
    open::{self, genesis, put_in_place},
    verify::{self, Report},
};

/// What is written at a time.
const PIECE: usize = 1024 * 1024;

/// Why a copy doesn't go on.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Journal or copy can't be read or written.
    #[error("{path:?} can't be read or written")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Journal or copy is damaged, or no journal.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No signer says how far the journal is acknowledged.
    #[error(
        "nothing says how far the journal {0:?} is acknowledged: start its signer once, which writes the file \
         {0:?}.acknowledged"
    )]
    NoMark(PathBuf),
    /// Another process writes the copy.
    #[error("the copy {0:?} is being written by another process")]
    Locked(PathBuf),
    /// A copy of something else.
    #[error("{copy:?} is a copy of the journal {of}, not of {journal}: give each journal a copy of its own")]
    Foreign {
        /// The copy.
        copy: PathBuf,
        /// Whose copy it is.
        of: Uuid,
        /// Whose it should be.
        journal: Uuid,
    },
    /// The copy has more than the journal.
    #[error(
        "the copy {copy:?} has {copied} entries and the journal only {journaled}; entry {parting} is the first that the \
         journal doesn't have. The journal lost its end or was replaced by an older one: don't overwrite the copy"
    )]
    Ahead {
        /// The copy.
        copy: PathBuf,
        /// Its entries.
        copied: u64,
        /// The journal's acknowledged entries.
        journaled: u64,
        /// Where they part.
        parting: u64,
    },
    /// They say different things.
    #[error("the copy {copy:?} and the journal part at entry {parting}: one of them was changed. Keep both")]
    Diverged {
        /// The copy.
        copy: PathBuf,
        /// The first entry that differs.
        parting: u64,
    },
    /// The journal has less, or something else, than it acknowledged.
    #[error("the journal {path:?} is damaged at entry {sequence}: {fault}")]
    Source {
        /// The journal.
        path: PathBuf,
        /// The entry.
        sequence: u64,
        /// What is wrong.
        fault: String,
    },
    /// A stream that doesn't continue the copy.
    #[error(
        "what is received doesn't continue the copy {copy:?} after its entry {entries}: send with --after {entries}"
    )]
    Gap {
        /// The copy.
        copy: PathBuf,
        /// Its entries.
        entries: u64,
    },
    /// A stream that ended in the middle of an entry.
    #[error("the stream ended inside entry {0}: what came before is kept, send the rest again")]
    Cut(u64),
    /// A journal isn't overwritten.
    #[error("{0:?} exists: a journal is restored where there is none. Move the old one away, and keep it")]
    Exists(PathBuf),
}

/// How far copying has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Entries.
    pub entries: u64,
    /// Octets.
    pub end: u64,
    /// The last entry's hash.
    pub head: [u8; 32],
}

impl Position {
    fn start(genesis: Hash) -> Self {
        Self { entries: 0, end: HEADER as u64, head: genesis }
    }

    fn take(&mut self, place: Place, hash: Hash) {
        *self = Self { entries: self.entries + 1, end: place.offset + place.length, head: hash };
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CopyError + '_ {
    |source| CopyError::Io { path: path.to_owned(), source }
}

/// Where copied entries go.
trait Sink {
    /// Adds whole frames.
    fn put(&mut self, frames: &[u8]) -> Result<(), CopyError>;

    /// Makes them durable, as far as this end can.
    fn sync(&mut self) -> Result<(), CopyError>;
}

/// A copy, locked, without an incomplete end.
#[derive(Debug)]
pub struct Copy {
    path: PathBuf,
    file: File,
    at: Position,
    last: Option<Place>,
    written: u64,
}

impl Copy {
    /// Opens a copy of the journal that begins with `header`, and checks its chain; or creates an empty one.
    fn open(path: &Path, header: &[u8; HEADER]) -> Result<Self, CopyError> {
        if !path.try_exists().map_err(failed(path))? {
            put_in_place(path, header).map_err(failed(path))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed(path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(CopyError::Locked(path.to_owned())),
            Err(error) => return Err(failed(path)(error.into())),
        }
        let mut own = [0; HEADER];
        let genesis = genesis(&file, path)?;
        file.read_exact_at(&mut own, 0).map_err(failed(path))?;
        if own != *header {
            return Err(CopyError::Foreign {
                copy: path.to_owned(),
                of: identifier(&own),
                journal: identifier(header),
            });
        }
        let (at, last, torn) = walk(&file, path, genesis, |_| true)?;
        if torn {
            file.set_len(at.end).and_then(|()| file.sync_all()).map_err(failed(path))?;
        }
        Ok(Self { path: path.to_owned(), file, at, last, written: at.end })
    }

    /// Whether a journal that acknowledges `to` has all that the copy has.
    fn follows(&self, journal: &File, to: &Acknowledged) -> Result<(), CopyError> {
        let same = match self.last {
            _ if self.at.end > to.end => false,
            None => true,
            Some(place) => frame::read_hash(journal, place).map_err(failed(&self.path))? == self.at.head,
        };
        if same {
            return Ok(());
        }
        let parting = self.parting(journal, to)?;
        let copy = self.path.clone();
        Err(if parting > to.entries {
            CopyError::Ahead { copy, copied: self.at.entries, journaled: to.entries, parting }
        } else {
            CopyError::Diverged { copy, parting }
        })
    }

    /// The first entry that isn't in both.
    fn parting(&self, mut journal: &File, to: &Acknowledged) -> Result<u64, CopyError> {
        let genesis = genesis(journal, &self.path)?;
        journal.seek(SeekFrom::Start(HEADER as u64)).map_err(failed(&self.path))?;
        let reader = BufReader::with_capacity(PIECE, journal).take(to.end.saturating_sub(HEADER as u64));
        let mut journaled = Scanner::new(reader, genesis);
        let (mut body, mut parting) = (Vec::new(), None);
        walk(&self.file, &self.path, genesis, |at| {
            body.clear();
            match journaled.next(&mut body) {
                Ok(Next::Frame(_, hash)) if hash == at.head => true,
                _ => {
                    parting = Some(at.entries);
                    false
                }
            }
        })?;
        Ok(parting.unwrap_or(self.at.entries + 1))
    }
}

impl Sink for Copy {
    fn put(&mut self, frames: &[u8]) -> Result<(), CopyError> {
        self.file.write_all_at(frames, self.written).map_err(failed(&self.path))?;
        self.written += frames.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), CopyError> {
        self.file.sync_data().map_err(failed(&self.path))
    }
}

/// Reads a file's chain, and says where it ends and whether in something incomplete. `each` sees every entry until it
/// returns false.
fn walk(
    mut file: &File,
    path: &Path,
    genesis: Hash,
    mut each: impl FnMut(&Position) -> bool,
) -> Result<(Position, Option<Place>, bool), CopyError> {
    file.seek(SeekFrom::Start(HEADER as u64)).map_err(failed(path))?;
    let mut scanner = Scanner::new(BufReader::with_capacity(PIECE, file), genesis);
    let (mut at, mut last, mut body) = (Position::start(genesis), None, Vec::new());
    loop {
        body.clear();
        match scanner.next(&mut body).map_err(failed(path))? {
            Next::Frame(place, hash) => {
                at.take(place, hash);
                last = Some(place);
                if !each(&at) {
                    return Ok((at, last, false));
                }
            }
            Next::End => return Ok((at, last, false)),
            Next::Torn { .. } => return Ok((at, last, true)),
            Next::Damaged(fault) => {
                return Err(OpenError::Damaged {
                    path: path.to_owned(),
                    sequence: at.entries + 1,
                    offset: at.end,
                    fault: fault.to_owned(),
                }
                .into());
            }
        }
    }
}

fn identifier(header: &[u8; HEADER]) -> Uuid {
    Uuid::from_bytes(header[8..].first_chunk().copied().unwrap_or_default())
}

/// A journal that is being copied, to a file or a stream.
pub struct Copying {
    journal: PathBuf,
    header: [u8; HEADER],
    at: Position,
    sink: Box<dyn Sink>,
}

impl Copying {
    /// To a file, which goes on where it ends.
    ///
    /// # Errors
    /// [`CopyError`]; the copy is as it was, but for an incomplete end.
    pub fn to_file(journal: &Path, copy: &Path) -> Result<Self, CopyError> {
        let (file, header) = source(journal)?;
        let copy = Copy::open(copy, &header)?;
        copy.follows(&file, &acknowledged(journal, &header)?)?;
        Ok(Self { journal: journal.to_owned(), header, at: copy.at, sink: Box::new(copy) })
    }

    /// To a stream: first the journal's header, then the entries after `after`, so that a stream from the first entry is
    /// itself a copy.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn to_stream(
        journal: &Path,
        after: u64,
        mut stream: impl Write + 'static,
    ) -> Result<Self, CopyError> {
        let (file, header) = source(journal)?;
        let genesis = genesis(&file, journal)?;
        let at = match after {
            0 => Position::start(genesis),
            _ => walk(&file, journal, genesis, |at| at.entries < after)?.0,
        };
        let to = acknowledged(journal, &header)?;
        if at.entries < after || at.end > to.end {
            let fault = format!("it ends at entry {}", to.entries);
            return Err(CopyError::Source { path: journal.to_owned(), sequence: after, fault });
        }
        stream.write_all(&header).map_err(failed(Path::new("-")))?;
        Ok(Self { journal: journal.to_owned(), header, at, sink: Box::new(Stream(stream)) })
    }

    /// How far it has come.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Copies what is acknowledged by now, and returns how many entries that were.
    ///
    /// # Errors
    /// [`CopyError`]; what was copied before stays.
    pub fn step(&mut self) -> Result<u64, CopyError> {
        let before = self.at.entries;
        let (mut file, header) = source(&self.journal)?;
        let to = acknowledged(&self.journal, &self.header)?;
        if header != self.header || to.end < self.at.end {
            return Err(self.source_fault("it was replaced while it was copied"));
        }
        if to.end == self.at.end {
            return Ok(0);
        }
        file.seek(SeekFrom::Start(self.at.end)).map_err(failed(&self.journal))?;
        let reader = BufReader::with_capacity(PIECE, file.take(to.end - self.at.end));
        let mut scanner = Scanner::after(reader, self.at.end, self.at.head);
        let (mut body, mut frames, mut at) = (Vec::new(), Vec::new(), self.at);
        loop {
            match scanner.next_whole(&mut body, &mut frames).map_err(failed(&self.journal))? {
                Next::Frame(place, hash) => at.take(place, hash),
                Next::End => break,
                Next::Torn { .. } => return Err(self.source_fault("it is shorter than acknowledged")),
                Next::Damaged(fault) => return Err(self.source_fault(fault)),
            }
            if frames.len() >= PIECE {
                self.put(&mut frames, at)?;
            }
        }
        if (at.entries, at.end, at.head) != (to.entries, to.end, to.head) {
            return Err(self.source_fault("it is not what was acknowledged"));
        }
        self.put(&mut frames, at)?;
        self.sink.sync()?;
        Ok(self.at.entries - before)
    }

    fn put(&mut self, frames: &mut Vec<u8>, at: Position) -> Result<(), CopyError> {
        self.sink.put(frames)?;
        frames.clear();
        self.at = at;
        Ok(())
    }

    fn source_fault(&self, fault: &str) -> CopyError {
        let path = self.journal.clone();
        CopyError::Source { path, sequence: self.at.entries + 1, fault: fault.to_owned() }
    }
}

fn source(journal: &Path) -> Result<(File, [u8; HEADER]), CopyError> {
    let file = File::open(journal).map_err(failed(journal))?;
    genesis(&file, journal)?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(failed(journal))?;
    Ok((file, header))
}

/// How far a journal is acknowledged.
fn acknowledged(journal: &Path, header: &[u8; HEADER]) -> Result<Acknowledged, CopyError> {
    // A mark that is being rewritten is whole a moment later.
    for _ in 0..1000 {
        match mark::read(journal) {
            Ok(Some(mark)) if mark.journal == identifier(header) => return Ok(mark),
            Ok(Some(_)) => break,
            Ok(None) => std::thread::yield_now(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(failed(&mark::path_of(journal))(error)),
        }
    }
    Err(CopyError::NoMark(journal.to_owned()))
}

struct Stream<W>(W);

impl<W: Write> Sink for Stream<W> {
    fn put(&mut self, frames: &[u8]) -> Result<(), CopyError> {
        self.0.write_all(frames).map_err(failed(Path::new("-")))
    }

    fn sync(&mut self) -> Result<(), CopyError> {
        self.0.flush().map_err(failed(Path::new("-")))
    }
}

/// Appends a stream that [`Copying::to_stream`] wrote to a copy, until the stream ends. It may begin with the first entry
/// or after the copy's last one. Each time that nothing more has arrived yet, what did is synced and `told`.
///
/// # Errors
/// [`CopyError`]; entries that were received whole before are kept.
pub fn receive(
    stream: impl Read,
    copy: &Path,
    mut told: impl FnMut(Position),
) -> Result<Position, CopyError> {
    let from = Path::new("-");
    let mut stream = BufReader::with_capacity(PIECE, stream);
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).map_err(failed(from))?;
    let genesis = frame::genesis(&header).ok_or_else(|| OpenError::NoJournal { path: from.to_owned() })?;
    let mut copy = Copy::open(copy, &header)?;
    if stream.fill_buf().map_err(failed(from))?.is_empty() {
        return Ok(copy.at);
    }
    let mut start = [0; 8];
    stream.read_exact(&mut start).map_err(|_| CopyError::Cut(copy.at.entries + 1))?;
    let mut at = if frame::follows(start, &copy.at.head) {
        copy.at
    } else if frame::follows(start, &genesis) {
        Position::start(genesis)
    } else {
        return Err(CopyError::Gap { copy: copy.path, entries: copy.at.entries });
    };
    let mut scanner = Scanner::after(Cursor::new(start).chain(stream), at.end, at.head);
    let (mut body, mut frames) = (Vec::new(), Vec::new());
    loop {
        let next = scanner.next_whole(&mut body, &mut frames).map_err(failed(from))?;
        if let Next::Frame(place, hash) = next {
            at.take(place, hash);
            if at.entries <= copy.at.entries {
                frames.clear();
                if at.entries == copy.at.entries && at.head != copy.at.head {
                    return Err(CopyError::Diverged { copy: copy.path, parting: at.entries });
                }
                continue;
            }
        }
        let waiting = scanner.reader().get_ref().1.buffer().is_empty();
        let ended = !matches!(next, Next::Frame(..));
        if ended || waiting || frames.len() >= PIECE {
            copy.put(&frames)?;
            frames.clear();
            if ended || waiting {
                copy.sync()?;
                told(at);
            }
        }
        match next {
            Next::Frame(..) => {}
            Next::End => return Ok(at),
            Next::Torn { .. } => return Err(CopyError::Cut(at.entries + 1)),
            Next::Damaged(fault) => {
                let fault = fault.to_owned();
                return Err(CopyError::Source { path: from.to_owned(), sequence: at.entries + 1, fault });
            }
        }
    }
}

/// Puts a journal in place from a copy, after every entry of it was read and checked.
///
/// # Errors
/// [`CopyError`]; then there is no new journal.
pub fn restore(copy: &Path, journal: &Path) -> Result<Report, CopyError> {
    for path in [journal.to_owned(), beside(journal, ".checkpoint"), beside(journal, ".acknowledged")] {
        if path.symlink_metadata().is_ok() {
            return Err(CopyError::Exists(path));
        }
    }
    let report = verify::verify(copy)?;
    let temporary = beside(journal, ".restored");
    let writing = failed(&temporary);
    let _ = std::fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(&writing)?;
    let mut source = File::open(copy).map_err(failed(copy))?.take(report.octets);
    io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(&writing)?;
    std::fs::hard_link(&temporary, journal)
        .and_then(|()| std::fs::remove_file(&temporary))
        .and_then(|()| File::open(open::folder(journal))?.sync_all())
        .map_err(failed(journal))?;
    Ok(report)
}

/// What is beside a journal, read in a moment.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Stat {
    /// The journal's identifier.
    pub journal: Uuid,
    /// Octets of the file.
    pub octets: u64,
    /// Acknowledged entries; `None` when no signer has said so, as beside a copy.
    pub entries: Option<u64>,
    /// The last acknowledged entry's hash, in hexadecimal.
    pub head: Option<String>,
    /// Octets that a copy has not got; `None` when none was named.
    pub copy_behind_octets: Option<u64>,
}

/// Looks at a journal and perhaps at its copy, without reading either.
///
/// # Errors
/// [`CopyError`], also when the copy is another journal's.
pub fn stat(journal: &Path, copy: Option<&Path>) -> Result<Stat, CopyError> {
    let (file, header) = source(journal)?;
    let octets = file.metadata().map_err(failed(journal))?.len();
    let mark = acknowledged(journal, &header).ok();
    let copy_behind_octets = match copy {
        None => None,
        Some(path) => {
            let (copy, own) = source(path)?;
            if own != header {
                let (of, journal) = (identifier(&own), identifier(&header));
                return Err(CopyError::Foreign { copy: path.to_owned(), of, journal });
            }
            let copied = copy.metadata().map_err(failed(path))?.len();
            Some(mark.map_or(octets, |mark| mark.end).saturating_sub(copied))
        }
    };
    Ok(Stat {
        journal: identifier(&header),
        octets,
        entries: mark.map(|mark| mark.entries),
        head: mark.map(|mark| hex::encode(mark.head)),
        copy_behind_octets,
    })
}
