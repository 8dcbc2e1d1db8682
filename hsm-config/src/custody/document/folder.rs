//! The folder of a custody set: who may write there, and where each generation's shares are.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::DocumentError;

/// Nobody but this user and root can write there.
///
/// # Errors
/// [`DocumentError::Exposed`].
pub(in super::super) fn is_safe(
    folder: &Path,
    path: &Path,
    seen: &fs::Metadata,
) -> Result<(), DocumentError> {
    let own = rustix::process::geteuid().as_raw();
    let Some((fault, command)) = exposure(seen.uid(), seen.mode(), own) else { return Ok(()) };
    let remedy = format!("{command} {}", folder.display());
    Err(DocumentError::Exposed { path: path.to_owned(), fault, remedy })
}

/// To whom a file is open, and the command that mends it.
fn exposure(owner: u32, mode: u32, own: u32) -> Option<(String, &'static str)> {
    if ![0, own].contains(&owner) {
        return Some((format!("belongs to another user (uid {owner})"), "chown -R root"));
    }
    (mode & 0o022 != 0)
        .then(|| (format!("has mode {:04o} and is open to other writers", mode & 0o7777), "chmod -R go-w"))
}

/// The number of the newest generation of which there are sealed shares.
pub(super) fn newest_folder(set: &Path) -> io::Result<Option<u32>> {
    let mut newest = None;
    for entry in fs::read_dir(set)? {
        newest = newest.max(number_of(&entry?.path()));
    }
    Ok(newest)
}

/// Of which generation this is the folder of sealed shares, if it is one.
fn number_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("generation-")?.parse().ok()
}

/// Where the sealed shares of a generation are until all of them are there.
pub(in super::super) fn making_of(set: &Path, generation: u32) -> PathBuf {
    set.join(format!("making-{generation}"))
}

/// The folder of a generation's sealed shares.
pub(in super::super) fn folder_of(set: &Path, generation: u32) -> PathBuf {
    set.join(format!("generation-{generation}"))
}

/// A folder that its owner alone enters.
pub(in super::super) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// A new file, durable with its content.
pub(in super::super) fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_somebody_else_could_have_written_is_told_with_its_remedy() {
        for (owner, mode, own) in [(0, 0o750, 0), (0, 0o640, 995), (995, 0o700, 995)] {
            assert_eq!(exposure(owner, mode, own), None);
        }
        let (fault, remedy) = exposure(995, 0o700, 0).expect("another user's");
        assert!(fault.contains("uid 995") && remedy == "chown -R root", "{fault}");
        for mode in [0o660, 0o602, 0o777] {
            let (fault, remedy) = exposure(0, mode, 0).expect("open");
            assert!(fault.contains(&format!("{mode:04o}")) && remedy == "chmod -R go-w", "{fault}");
        }
    }
}
