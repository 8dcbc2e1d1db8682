//! Files and what stands beside them: their names, whose they are, and how one is put in place whole.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// A file of this journal's, by its name with something added.
pub(super) fn beside(journal: &Path, suffix: &str) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// The folder that a file stands in.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// How others can change a file, if they can.
pub(super) fn exposed(file: &Metadata) -> Option<&'static str> {
    if !file.is_file() {
        Some("is not a regular file")
    } else if file.uid() != geteuid().as_raw() {
        Some("belongs to another user: chown it to the signer's account, if you know how that came")
    } else if file.mode() & 0o022 != 0 {
        Some("can be written by others: find out who did, then chmod 0600")
    } else {
        None
    }
}

/// Creates a file with this content whole, unless there is one of its name.
pub(super) fn put_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path, &format!(".new-{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let linked =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&temporary, path));
    // On a full disk as well: each start of a signer would leave another.
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => File::open(folder(path))?.sync_all()?,
    }
    Ok(())
}
