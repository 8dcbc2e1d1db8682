//! From the durable image to what a machine finds after a power cut. The image's layout is told in `fault-shim`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};
use rand::{RngExt, rngs::StdRng};

const BLOCK: usize = 4096;
const SECTOR: usize = 512;

/// What becomes of writes that weren't synced.
#[derive(Debug)]
pub enum Tear<'a> {
    /// None of them reached the disk.
    AllLost,
    /// Some did, in no order: of changed blocks any, of an appended end any first part, or all of its length with any of
    /// its blocks zero, of a folder's changes all or none.
    Some(&'a mut StdRng),
}

/// A file or folder as it will be.
enum Node {
    File { mode: u32, content: Vec<u8> },
    Folder { mode: u32, entries: BTreeMap<String, Node> },
}

/// An entry of a folder.
struct Entry {
    key: String,
    mode: u32,
    name: String,
}

pub(super) fn put_back(image: &Path, folders: &[PathBuf], mut tear: Tear<'_>) -> Result<()> {
    let mut live = HashMap::new();
    for folder in folders {
        survey(folder, &mut live)?;
    }
    for folder in folders {
        let metadata = fs::metadata(folder).with_context(|| format!("looking at {}", folder.display()))?;
        let entries = read_folder(image, &key(&metadata)?, &live, &mut tear)?;
        empty(folder)?;
        for (name, node) in entries {
            write(&folder.join(name), &node)?;
        }
    }
    Ok(())
}

/// As the shim calls an inode.
fn key(metadata: &Metadata) -> Result<String> {
    let born = metadata.created().context("this file system keeps no times of birth")?;
    let born = born.duration_since(UNIX_EPOCH).context("a file older than 1970")?;
    Ok(format!("{}-{}", metadata.ino(), born.as_nanos()))
}

/// Where each inode is at the moment of the cut.
fn survey(path: &Path, live: &mut HashMap<String, PathBuf>) -> Result<()> {
    let metadata = path.symlink_metadata().with_context(|| format!("looking at {}", path.display()))?;
    if metadata.is_file() || metadata.is_dir() {
        live.insert(key(&metadata)?, path.to_owned());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            survey(&entry.context("reading a folder")?.path(), live)?;
        }
    }
    Ok(())
}

fn read_folder(
    image: &Path,
    key: &str,
    live: &HashMap<String, PathBuf>,
    tear: &mut Tear<'_>,
) -> Result<BTreeMap<String, Node>> {
    let mut entries = durable_entries(image, key)?;
    if let (Tear::Some(rng), Some(path)) = (&mut *tear, live.get(key))
        && rng.random()
    {
        entries = live_entries(path)?;
    }
    let mut nodes = BTreeMap::new();
    for Entry { key, mode, name } in entries {
        let node = if mode & 0o170_000 == 0o040_000 {
            Node::Folder { mode, entries: read_folder(image, &key, live, tear)? }
        } else {
            Node::File { mode, content: read_file(image, &key, live, tear)? }
        };
        nodes.insert(name, node);
    }
    Ok(nodes)
}

/// A folder that was never synced is empty.
fn durable_entries(image: &Path, key: &str) -> Result<Vec<Entry>> {
    let Ok(text) = fs::read_to_string(image.join("names").join(key)) else { return Ok(Vec::new()) };
    text.lines()
        .map(|line| {
            let mut fields = line.splitn(3, ' ');
            let entry = fields.next().zip(fields.next()).zip(fields.next());
            let ((key, mode), name) = entry.with_context(|| format!("the image has a line {line:?}"))?;
            let mode = u32::from_str_radix(mode, 8).context("reading a mode")?;
            Ok(Entry { key: key.to_owned(), mode, name: name.to_owned() })
        })
        .collect()
}

fn live_entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.context("reading a folder")?;
        let metadata = entry.path().symlink_metadata().context("looking at a file")?;
        if metadata.is_file() || metadata.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { key: key(&metadata)?, mode: metadata.mode(), name });
        }
    }
    Ok(entries)
}

/// A file that was never synced is empty.
fn read_file(
    image: &Path,
    key: &str,
    live: &HashMap<String, PathBuf>,
    tear: &mut Tear<'_>,
) -> Result<Vec<u8>> {
    let durable = fs::read(image.join("data").join(key)).unwrap_or_default();
    match (tear, live.get(key)) {
        (Tear::Some(rng), Some(path)) => {
            let unsynced = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Ok(torn(durable, &unsynced, rng))
        }
        _ => Ok(durable),
    }
}

/// A file system may write a longer length after the data before it, so that an appended end is cut, or before it, so
/// that blocks of the end are holes.
fn torn(durable: Vec<u8>, unsynced: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut content = durable;
    if unsynced.len() < content.len() && rng.random() {
        content.truncate(unsynced.len());
    }
    for (old, new) in content.chunks_mut(BLOCK).zip(unsynced.chunks(BLOCK)) {
        let common = old.len().min(new.len());
        if old[..common] != new[..common] && rng.random() {
            old[..common].copy_from_slice(&new[..common]);
        }
    }
    if let Some(appended) = unsynced.get(content.len()..)
        && !appended.is_empty()
    {
        if rng.random() {
            let sectors = rng.random_range(0..=appended.len().div_ceil(SECTOR));
            content.extend_from_slice(&appended[..appended.len().min(sectors * SECTOR)]);
        } else {
            append_with_holes(&mut content, appended, rng);
        }
    }
    content
}

/// The blocks are the file's own: the first may have begun with what was there before.
fn append_with_holes(content: &mut Vec<u8>, appended: &[u8], rng: &mut StdRng) {
    let mut rest = appended;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(rest.len().min(BLOCK - content.len() % BLOCK));
        let written = rng.random();
        content.extend(block.iter().map(|octet| if written { *octet } else { 0 }));
        rest = after;
    }
}

fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.context("reading a folder")?;
        let path = entry.path();
        let is_folder = entry.file_type().context("looking at a file")?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

fn write(path: &Path, node: &Node) -> Result<()> {
    let mode = match node {
        Node::File { mode, content } => {
            fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
            mode
        }
        Node::Folder { mode, entries } => {
            fs::create_dir(path).with_context(|| format!("making {}", path.display()))?;
            for (name, node) in entries {
                write(&path.join(name), node)?;
            }
            mode
        }
    };
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))
        .with_context(|| format!("protecting {}", path.display()))
}
