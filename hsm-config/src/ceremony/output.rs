//! The ceremony's files: all of them appear at once, or none.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::Fault;

/// A file to be.
#[derive(Clone, Debug)]
pub(super) struct Artefact {
    /// Its name in the folder.
    pub(super) name: String,
    /// Its content.
    pub(super) content: Vec<u8>,
    /// Its permissions.
    pub(super) mode: u32,
}

impl Artefact {
    /// What everybody may read.
    pub(super) fn public(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), content, mode: 0o644 }
    }

    /// What names people and hardware: for the owner and the owner's group.
    pub(super) fn internal(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), content, mode: 0o640 }
    }
}

/// Why a folder can't take the output, if it can't: it must be absent or empty.
pub(super) fn obstacle(folder: &Path) -> Option<String> {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries
            .next()
            .map(|_| format!("the output folder {} is not empty: name another one", folder.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("the output folder {} can't be used: {error}", folder.display())),
    }
}

/// Makes a folder for its owner alone, which must not exist; its parents may have to be made.
pub(super) fn private(folder: &Path) -> io::Result<()> {
    let parent = parent(folder);
    fs::create_dir_all(&parent)?;
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    File::open(&parent)?.sync_all()
}

/// Makes `folder` with all artefacts in it, durable and in one instant.
pub(super) fn publish(folder: &Path, artefacts: &[Artefact]) -> Result<(), Fault> {
    let fault = |path: &Path, cause| Fault::Write { path: path.to_owned(), cause };
    let parent = parent(folder);
    fs::create_dir_all(&parent).map_err(|e| fault(&parent, e))?;
    let staging =
        tempfile::Builder::new().prefix(".ceremony-").tempdir_in(&parent).map_err(|e| fault(&parent, e))?;
    for artefact in artefacts {
        let path = staging.path().join(&artefact.name);
        write(&path, artefact).map_err(|e| fault(&path, e))?;
    }
    let commit = || {
        fs::set_permissions(staging.path(), Permissions::from_mode(0o755))?;
        File::open(staging.path())?.sync_all()?;
        // Replaces an empty folder, and fails on any other.
        fs::rename(staging.path(), folder)?;
        File::open(&parent)?.sync_all()
    };
    commit().map_err(|e| fault(folder, e))
}

/// Puts artefacts one by one into a folder that may exist, replacing files of the same name.
pub(super) fn replace(folder: &Path, artefacts: &[Artefact]) -> Result<(), Fault> {
    let fault = |path: &Path, cause| Fault::Write { path: path.to_owned(), cause };
    fs::create_dir_all(folder).map_err(|e| fault(folder, e))?;
    for artefact in artefacts {
        let path = folder.join(&artefact.name);
        let staged = folder.join(format!(".{}.new", artefact.name));
        let put = || {
            let _ = fs::remove_file(&staged);
            write(&staged, artefact)?;
            fs::rename(&staged, &path)
        };
        put().map_err(|e| fault(&path, e))?;
    }
    Ok(())
}

fn write(path: &Path, artefact: &Artefact) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(artefact.mode).open(path)?;
    file.write_all(&artefact.content)?;
    // The process's umask may have taken some away.
    file.set_permissions(Permissions::from_mode(artefact.mode))?;
    file.sync_all()
}

fn parent(folder: &Path) -> PathBuf {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_appear_at_once_with_their_modes() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let out = dir.path().join("a/b");
        let files = [Artefact::public("x.pem", b"x".to_vec()), Artefact::internal("t.json", b"t".to_vec())];
        publish(&out, &files).expect("published");
        let mode = |name: &str| fs::metadata(out.join(name)).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode("x.pem"), mode("t.json")), (0o644, 0o640));
        assert!(obstacle(&out).is_some());
        assert!(publish(&out, &files).is_err(), "never over what exists");
        let left: Vec<_> = fs::read_dir(dir.path().join("a")).expect("folder").collect();
        assert_eq!(left.len(), 1, "nothing half-written is left");
    }

    #[test]
    fn an_empty_folder_will_do() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let out = dir.path().join("out");
        fs::create_dir(&out).expect("made");
        assert_eq!(obstacle(&out), None);
        publish(&out, &[Artefact::public("x", vec![])]).expect("published");
    }
}
