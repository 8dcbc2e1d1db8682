//! Copies of a journal on other machines, and a journal from such a copy.
//!
//! A copy is a prefix of its journal, octet for octet, so everything that reads a journal reads a copy. It only ever gets
//! what the signer has acknowledged (`mark`), every entry checked against the chain on its way, and never an octet over
//! what it has: a copy of another journal, one that is ahead, or one that says something else is refused and told where
//! the two part. It may be interrupted at any octet; what is incomplete is cut off when it goes on, and holes are filled.

mod error;
mod file;
mod receive;
mod restore;

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    frame::{HEADER, Hash, Next, Place, Scanner},
    mark::{self, Acknowledged},
    open::genesis,
};
use error::failed;
use file::{Copy, walk};

pub use error::CopyError;
pub use receive::receive;
pub use restore::{Stat, restore, stat};

/// What is written at a time.
const PIECE: usize = 1024 * 1024;

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

/// Where copied entries go.
trait Sink {
    /// Adds whole frames.
    fn put(&mut self, frames: &[u8]) -> Result<(), CopyError>;

    /// Makes them durable, as far as this end can.
    fn sync(&mut self) -> Result<(), CopyError>;
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
            _ => match walk(&file, journal, genesis, |at| at.entries < after)? {
                (at, _, Next::Damaged(fault)) => {
                    let (path, fault) = (journal.to_owned(), fault.to_owned());
                    return Err(CopyError::Source { path, sequence: at.entries + 1, fault });
                }
                (at, ..) => at,
            },
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
