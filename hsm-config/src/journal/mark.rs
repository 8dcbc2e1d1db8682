//! How far the journal is acknowledged: a small file beside it, rewritten after every sync.
//!
//! The journal's last octets may be a batch that isn't synced yet, and that is cut off again if it can't be: whoever
//! copies the journal while the signer writes it must stop where this says, and what a power cut left after it may be cut
//! off (`open`). It is synced at the signer's start only, so that there is one after a power cut. Then it may be behind,
//! never ahead; the signer puts it right at its next start. What can't be written to it is no harm to anybody but the
//! copy, which waits.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use uuid::Uuid;

use super::{
    extent::Extent,
    files::{beside, folder},
    frame::{Hash, sha256},
};

const MAGIC: [u8; 8] = *b"INROMRK1";
const SUMMED: usize = 72;
const OCTETS: usize = SUMMED + 8;

/// The mark of an open journal.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    journal: Uuid,
    file: Option<File>,
    failed: bool,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) journal: Uuid,
    pub(super) entries: u64,
    pub(super) end: u64,
    pub(super) head: Hash,
}

pub(super) fn path_of(journal: &Path) -> PathBuf {
    beside(journal, ".acknowledged")
}

impl Mark {
    pub(super) fn of(journal: &Path, identifier: Uuid) -> Self {
        Self { path: path_of(journal), journal: identifier, file: None, failed: false }
    }

    /// Everything up to this end is on the disk.
    pub(super) fn set(&mut self, extent: &Extent) {
        let mut octets = [0; OCTETS];
        octets[..8].copy_from_slice(&MAGIC);
        octets[8..24].copy_from_slice(self.journal.as_bytes());
        octets[24..32].copy_from_slice(&extent.entries.to_be_bytes());
        octets[32..40].copy_from_slice(&extent.end.to_be_bytes());
        octets[40..SUMMED].copy_from_slice(&extent.head);
        let sum = sha256(&[&octets[..SUMMED]]);
        octets[SUMMED..].copy_from_slice(&sum[..8]);
        let written = self.put(&octets);
        if let Err(error) = &written
            && !self.failed
        {
            tracing::warn!(mark = %self.path.display(), %error, "copies of the journal wait: its mark can't be written");
        }
        self.failed = written.is_err();
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file {
            return file.write_all_at(octets, 0);
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(&self.path)?;
        file.write_all_at(octets, 0)?;
        file.sync_all()?;
        File::open(folder(&self.path))?.sync_all()?;
        self.file = Some(file);
        Ok(())
    }
}

/// Reads a mark; `None` while it is being rewritten.
pub(super) fn read(journal: &Path) -> io::Result<Option<Acknowledged>> {
    let mut octets = [0; OCTETS];
    match File::open(path_of(journal))?.read_exact_at(&mut octets, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let sum = sha256(&[&octets[..SUMMED]]);
    if octets[..8] != MAGIC || octets[SUMMED..] != sum[..8] {
        return Ok(None);
    }
    let number = |from: usize| u64::from_be_bytes(octets[from..].first_chunk().copied().unwrap_or_default());
    let mut head = [0; 32];
    head.copy_from_slice(&octets[40..SUMMED]);
    Ok(Some(Acknowledged {
        journal: Uuid::from_bytes(octets[8..].first_chunk().copied().unwrap_or_default()),
        entries: number(24),
        end: number(32),
        head,
    }))
}
