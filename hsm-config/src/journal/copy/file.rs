//! The file that a copy is: found to continue its journal, and continued.
//!
//! After a power cut at its host a copy may have holes in what wasn't synced, of any length. It isn't cut off: the same
//! entries come again and are written over it, and where there is something else than a hole, the copy is damaged.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{CopyError, PIECE, Position, Sink, error::failed, identifier};
use crate::journal::{
    OpenError,
    files::put_in_place,
    frame::{self, HEADER, Hash, Next, Place, Scanner},
    hole,
    mark::Acknowledged,
    open::genesis,
};

/// A copy, locked, without an incomplete end.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) path: PathBuf,
    file: File,
    pub(super) at: Position,
    last: Option<Place>,
    written: u64,
    /// Where the octets end that may have holes.
    holes_end: u64,
}

impl Copy {
    /// Opens a copy of the journal that begins with `header`, and checks its chain; or creates an empty one.
    pub(super) fn open(path: &Path, header: &[u8; HEADER]) -> Result<Self, CopyError> {
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
        let (at, last, then) = walk(&file, path, genesis, |_| true)?;
        let mut copy = Self { path: path.to_owned(), file, at, last, written: at.end, holes_end: at.end };
        match then {
            Next::Frame(..) | Next::End => {}
            Next::Torn { .. } => {
                copy.file.set_len(at.end).and_then(|()| copy.file.sync_all()).map_err(failed(path))?;
            }
            Next::Damaged(fault) => {
                if !hole::in_frame(&copy.file, at.end, &at.head).map_err(failed(path))? {
                    return Err(copy.damaged(fault));
                }
                copy.holes_end = copy.file.metadata().map_err(failed(path))?.len();
                tracing::warn!(
                    copy = %path.display(),
                    after = at.entries,
                    octets = copy.holes_end - at.end,
                    "the copy ends with holes, as a power cut leaves them: they are filled from the journal"
                );
            }
        }
        Ok(copy)
    }

    /// That nothing with holes is left.
    pub(super) fn filled(&self) -> Result<(), CopyError> {
        if self.written < self.holes_end {
            return Err(self.damaged("it has holes, and what was read of the journal doesn't reach its end"));
        }
        Ok(())
    }

    fn damaged(&self, fault: &str) -> CopyError {
        let (path, fault) = (self.path.clone(), fault.to_owned());
        OpenError::Damaged { path, sequence: self.at.entries + 1, offset: self.at.end, fault }.into()
    }

    /// Whether only holes are written over.
    fn fills(&self, frames: &[u8]) -> io::Result<bool> {
        let mut at = self.written;
        let known =
            frames.len().min(usize::try_from(self.holes_end.saturating_sub(at)).unwrap_or(usize::MAX));
        let (mut frames, mut buffer) = (&frames[..known], [0; hole::BLOCK]);
        while !frames.is_empty() {
            let block = hole::BLOCK - usize::try_from(at % hole::BLOCK as u64).map_err(io::Error::other)?;
            let (wanted, rest) = frames.split_at(block.min(frames.len()));
            let found = &mut buffer[..wanted.len()];
            self.file.read_exact_at(found, at)?;
            if found != wanted && !hole::is_hole(found) {
                return Ok(false);
            }
            at += wanted.len() as u64;
            frames = rest;
        }
        Ok(true)
    }

    /// Whether a journal that acknowledges `to` has all that the copy has.
    pub(super) fn follows(&self, journal: &File, to: &Acknowledged) -> Result<(), CopyError> {
        if self.at.end <= to.end && to.end < self.holes_end {
            return self.filled();
        }
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
        if !self.fills(frames).map_err(failed(&self.path))? {
            return Err(self.damaged("it has holes, and something else than the journal between them"));
        }
        self.file.write_all_at(frames, self.written).map_err(failed(&self.path))?;
        self.written += frames.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), CopyError> {
        self.file.sync_data().map_err(failed(&self.path))
    }
}

/// Reads a file's chain, and says where it ends and in what. `each` sees every entry until it returns false.
pub(super) fn walk(
    mut file: &File,
    path: &Path,
    genesis: Hash,
    mut each: impl FnMut(&Position) -> bool,
) -> Result<(Position, Option<Place>, Next), CopyError> {
    file.seek(SeekFrom::Start(HEADER as u64)).map_err(failed(path))?;
    let mut scanner = Scanner::new(BufReader::with_capacity(PIECE, file), genesis);
    let (mut at, mut last, mut body) = (Position::start(genesis), None, Vec::new());
    loop {
        body.clear();
        let next = scanner.next(&mut body).map_err(failed(path))?;
        let Next::Frame(place, hash) = next else { return Ok((at, last, next)) };
        at.take(place, hash);
        last = Some(place);
        if !each(&at) {
            return Ok((at, last, next));
        }
    }
}
