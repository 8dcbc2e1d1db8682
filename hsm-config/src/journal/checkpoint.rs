//! The index on disk: a file beside the journal that stands for reading everything before its entry.
//!
//! It is never needed and never believed on its word. It names the journal, the entry and its hash, and ends in a checksum
//! of itself; one that is foreign, damaged, or of entries that the journal doesn't have is ignored and the journal read
//! whole. It is written under another name, synced, and renamed, of entries that are on the disk already, so that no
//! order in which a power cut lets writes through leaves one that is ahead of its journal. What it stood for is read and
//! compared after the start (`keeper`).
//!
//! ```text
//! magic 8 | length u32 BE | summary (CBOR) | offsets u64 BE … | intents | per key: serials, revocations | SHA-256
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use signer_protocol::{codec, message::KeyLabel};
use uuid::Uuid;

use super::{
    extent::{Extent, KeyPast},
    files::{beside, exposed, folder},
    frame,
    index::{Index, Intents, KeyIndex, Revocations, Serials},
    table::Table,
};

const MAGIC: [u8; 8] = *b"INROCKP1";
/// Octets of a summary: some hundred keys.
const MAX_SUMMARY: usize = 64 * 1024;
/// What is read, hashed or written at a time.
const PIECE: usize = 1024 * 1024;
/// Octets after which what was written is synced, so that the journal's own syncs never wait for much of it.
const SYNC_EVERY: usize = 4 * PIECE;
/// Offsets that are copied under the index's lock at a time.
const OFFSETS: usize = 64 * 1024;

/// What stands at the beginning: the journal's end, and how large each table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) journal: Uuid,
    pub(super) extent: Extent,
    pub(super) intents: u64,
    pub(super) keys: BTreeMap<KeyLabel, KeySummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeySummary {
    pub(super) past: KeyPast,
    pub(super) serials: u64,
    pub(super) revocations: u64,
}

/// Why a checkpoint isn't used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ignored {
    #[error("there is none")]
    Absent,
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    #[error("it {0}")]
    Exposed(&'static str),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it belongs to the journal {0}")]
    Foreign(Uuid),
    #[error("it ends at entry {entries}, octet {end}, and the journal has only {octets} octets")]
    Ahead { entries: u64, end: u64, octets: u64 },
    #[error("the journal's entry {0} is another one than the checkpoint's")]
    Other(u64),
}

/// The checkpoint of a journal.
pub(super) fn path_of(journal: &Path) -> PathBuf {
    beside(journal, ".checkpoint")
}

/// The index as of the checkpoint's entry, when the checkpoint is sound and the journal's own.
pub(super) fn load(journal: &Path, file: &File) -> Result<(Summary, Index), Ignored> {
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(nofollow).open(path_of(journal));
    let checkpoint = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Ignored::Absent),
        other => other?,
    };
    let metadata = checkpoint.metadata()?;
    if let Some(fault) = exposed(&metadata) {
        return Err(Ignored::Exposed(fault));
    }
    let mut input = Input { file: checkpoint, hash: Context::new(&SHA256), left: metadata.len() };
    let summary = input.summary()?;
    let identifier = frame::identifier(file)?;
    if summary.journal != identifier {
        return Err(Ignored::Foreign(summary.journal));
    }
    let index = input.index(&summary)?;
    belongs(&index, file)?;
    Ok((summary, index))
}

/// Whether the journal's entry at the index's end is the one that the index was made of.
fn belongs(index: &Index, file: &File) -> Result<(), Ignored> {
    let (entries, end) = (index.entries(), index.end());
    let octets = file.metadata()?.len();
    if octets < end {
        return Err(Ignored::Ahead { entries, end, octets });
    }
    let Some(place) = index.place(entries) else { return Err(Ignored::Damaged("it has no entry")) };
    match frame::read_checked(file, place, index.place(entries - 1)) {
        Ok((_, hash, _)) if hash == index.head() => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error.into()),
        _ => Err(Ignored::Other(entries)),
    }
}

/// Reads and hashes; nothing is allocated beyond what the file holds.
struct Input {
    file: File,
    hash: Context,
    left: u64,
}

impl Input {
    fn take(&mut self, octets: u64) -> Result<Vec<u8>, Ignored> {
        let wanted = usize::try_from(octets).ok().filter(|_| octets <= self.left);
        let wanted = wanted.ok_or(Ignored::Damaged("it is shorter than it says"))?;
        self.left -= octets;
        let mut taken = vec![0; wanted];
        for piece in taken.chunks_mut(PIECE) {
            self.file.read_exact(piece)?;
            self.hash.update(piece);
        }
        Ok(taken)
    }

    fn summary(&mut self) -> Result<Summary, Ignored> {
        let start = self.take(12)?;
        let (magic, length) = start.split_at(8);
        if magic != MAGIC {
            return Err(Ignored::Damaged("it doesn't begin as one"));
        }
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        if length as usize > MAX_SUMMARY {
            return Err(Ignored::Damaged("its summary is too large"));
        }
        let summary = self.take(length.into())?;
        codec::decode(&summary).map_err(|_| Ignored::Damaged("its summary can't be read"))
    }

    fn index(mut self, summary: &Summary) -> Result<Index, Ignored> {
        let mut offsets = Vec::new();
        let mut left = summary.extent.entries;
        while left > 0 {
            let some = left.min(OFFSETS as u64);
            let octets = self.take(some * 8)?;
            offsets.extend(octets.as_chunks::<8>().0.iter().map(|octets| u64::from_be_bytes(*octets)));
            left -= some;
        }
        let intents: Intents = self.table(summary.intents)?;
        let mut keys = HashMap::new();
        for (label, key) in &summary.keys {
            let serials: Serials = self.table(key.serials)?;
            let revocations: Revocations = self.table(key.revocations)?;
            keys.insert(label.clone(), KeyIndex { past: key.past, serials, revocations });
        }
        let sum = self.hash.clone().finish();
        if self.left != 32 || self.take(32)? != sum.as_ref() {
            return Err(Ignored::Damaged("its checksum is wrong"));
        }
        if !offsets.is_sorted() || offsets.last().is_some_and(|last| *last >= summary.extent.end) {
            return Err(Ignored::Damaged("its entries are out of order"));
        }
        Ok(Index { offsets, extent: summary.extent.clone(), intents, keys })
    }

    fn table<const K: usize, const V: usize>(&mut self, records: u64) -> Result<Table<K, V>, Ignored> {
        let octets = records.checked_mul(Table::<K, V>::WIDTH as u64);
        let octets = octets.ok_or(Ignored::Damaged("it is shorter than it says"))?;
        self.take(octets).map(Table::of)
    }
}

/// Writes a checkpoint of what is in the index now, and returns where it ends. The index is locked for moments only, and
/// its tables are merged on the way.
pub(super) fn write(journal: &Path, identifier: Uuid, index: &RwLock<Index>) -> io::Result<Summary> {
    let summary = summary(identifier, &read(index));
    let path = path_of(journal);
    let temporary = beside(&path, ".new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = write_to(file, &summary, index).and_then(|()| {
        fs::rename(&temporary, &path)?;
        File::open(folder(journal))?.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(summary)
}

/// Takes a checkpoint out of use, so that the next start reads the journal whole.
pub(super) fn discard(journal: &Path) -> io::Result<()> {
    match fs::remove_file(path_of(journal)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(folder(journal))?.sync_all(),
    }
}

fn read(index: &RwLock<Index>) -> std::sync::RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

fn summary(journal: Uuid, index: &Index) -> Summary {
    let keys = index.keys().map(|(label, key)| {
        let (serials, revocations) = (key.serials.len() as u64, key.revocations.len() as u64);
        (label.clone(), KeySummary { past: key.past, serials, revocations })
    });
    Summary {
        journal,
        extent: index.extent.clone(),
        intents: index.intents.len() as u64,
        keys: keys.collect(),
    }
}

fn write_to(file: File, summary: &Summary, index: &RwLock<Index>) -> io::Result<()> {
    let mut output = Output { file, hash: Context::new(&SHA256), unsynced: 0 };
    let encoded = codec::encode(summary, MAX_SUMMARY).map_err(io::Error::other)?;
    output.put(&MAGIC)?;
    output.put(&encoded)?;
    let last = u32::try_from(summary.extent.entries).map_err(io::Error::other)?;
    let entries = last as usize;
    for from in (0..entries).step_by(OFFSETS) {
        let some: Vec<u64> = read(index).offsets[from..entries.min(from + OFFSETS)].to_vec();
        let octets: Vec<u8> = some.into_iter().flat_map(u64::to_be_bytes).collect();
        output.put(&octets)?;
    }
    output.table(
        index,
        last,
        summary.intents,
        |index| Some(&mut index.intents),
        |index| Some(&index.intents),
    )?;
    for (label, key) in &summary.keys {
        output.table(
            index,
            last,
            key.serials,
            |index| index.keys.get_mut(label).map(|key| &mut key.serials),
            |index| index.keys.get(label).map(|key| &key.serials),
        )?;
        output.table(
            index,
            last,
            key.revocations,
            |index| index.keys.get_mut(label).map(|key| &mut key.revocations),
            |index| index.keys.get(label).map(|key| &key.revocations),
        )?;
    }
    output.end()
}

/// Writes and hashes.
struct Output {
    file: File,
    hash: Context,
    unsynced: usize,
}

impl Output {
    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        for piece in octets.chunks(PIECE) {
            self.file.write_all(piece)?;
            self.hash.update(piece);
            self.unsynced += piece.len();
            if self.unsynced >= SYNC_EVERY {
                self.file.sync_data()?;
                self.unsynced = 0;
            }
        }
        Ok(())
    }

    /// Merges a table as of `last` where nobody waits, puts it back, and writes it.
    fn table<const K: usize, const V: usize>(
        &mut self,
        index: &RwLock<Index>,
        last: u32,
        records: u64,
        changing: impl Fn(&mut Index) -> Option<&mut Table<K, V>>,
        reading: impl Fn(&Index) -> Option<&Table<K, V>>,
    ) -> io::Result<()> {
        let snapshot = reading(&read(index)).map(|table| table.snapshot(last));
        let merged = Arc::new(snapshot.map(super::table::Snapshot::merged).unwrap_or_default());
        if let Some(table) = changing(&mut index.write().unwrap_or_else(PoisonError::into_inner)) {
            table.adopt(Arc::clone(&merged), last);
        }
        if merged.len() as u64 != records * Table::<K, V>::WIDTH as u64 {
            return Err(io::Error::other("a table changed in its past"));
        }
        self.put(&merged)
    }

    fn end(mut self) -> io::Result<()> {
        let sum = self.hash.clone().finish();
        self.put(sum.as_ref())?;
        self.file.sync_all()
    }
}
