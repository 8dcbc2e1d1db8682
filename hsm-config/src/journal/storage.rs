//! What the writer needs of a file, so that a test can have one that fails.

use std::{fs::File, io, os::unix::fs::FileExt};

/// A file that is appended to.
pub(super) trait Storage: Send {
    /// Writes all of `octets` at `offset`, the end of what is valid.
    fn append(&mut self, offset: u64, octets: &[u8]) -> io::Result<()>;

    /// Makes durable what was written.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts off everything from `offset` on, durably.
    fn truncate(&mut self, offset: u64) -> io::Result<()>;

    /// The file for reading hashes back.
    fn file(&self) -> &File;
}

impl Storage for File {
    fn append(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, offset: u64) -> io::Result<()> {
        self.set_len(offset)?;
        self.sync_all()
    }

    fn file(&self) -> &File {
        self
    }
}
