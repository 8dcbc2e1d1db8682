//! Why a copy doesn't go on.

use std::{
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::journal::OpenError;

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

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> CopyError + '_ {
    |source| CopyError::Io { path: path.to_owned(), source }
}
