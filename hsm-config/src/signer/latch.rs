//! The PIN latch: a file that says that the token refused the PIN. While it exists nothing logs in, whoever restarts
//! what. Tokens destroy keys after a few wrong PINs; only a human may decide to try again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the latch remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When the PIN was refused.
    pub at: Timestamp,
    /// What the token said.
    pub detail: String,
}

/// The latch of one signer.
#[derive(Clone, Debug)]
pub struct Latch {
    path: PathBuf,
}

impl Latch {
    /// The latch that is kept at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it remembers; `None` when it isn't set. A file that can't be understood counts as set.
    ///
    /// # Errors
    /// When the file can't be read; the caller must then not log in.
    pub fn read(&self) -> io::Result<Option<Refused>> {
        match fs::read(&self.path) {
            Ok(content) => Ok(Some(serde_json::from_slice(&content).unwrap_or_else(|_| Refused {
                at: Timestamp::UNIX_EPOCH,
                detail: "the latch file can't be understood".to_owned(),
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets it, durably. A latch that is set already keeps what it remembers.
    ///
    /// # Errors
    /// When it can't be made durable; the caller must then remember by itself.
    pub fn set(&self, refused: &Refused) -> io::Result<()> {
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        };
        // Even an empty file latches, so a crash from here on is safe.
        file.write_all(&serde_json::to_vec_pretty(refused)?)?;
        file.sync_all()?;
        self.sync_folder()
    }

    /// Clears it, durably, and returns what it remembered.
    ///
    /// # Errors
    /// When the file can't be read or removed.
    pub fn clear(&self) -> io::Result<Option<Refused>> {
        let refused = self.read()?;
        if refused.is_some() {
            fs::remove_file(&self.path)?;
            self.sync_folder()?;
        }
        Ok(refused)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_it_was_first_told_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("folder");
        let latch = Latch::new(folder.path().join("latch"));
        assert_eq!(latch.read().expect("readable"), None);
        let refused = Refused { at: Timestamp::UNIX_EPOCH, detail: "CKR_PIN_INCORRECT".to_owned() };
        latch.set(&refused).expect("set");
        latch.set(&Refused { detail: "later".to_owned(), ..refused.clone() }).expect("set again");
        assert_eq!(Latch::new(latch.path().to_owned()).read().expect("readable"), Some(refused.clone()));
        assert_eq!(latch.clear().expect("cleared"), Some(refused));
        assert_eq!(latch.clear().expect("nothing to clear"), None);
    }

    #[test]
    fn a_file_that_was_cut_by_a_crash_still_latches() {
        let folder = tempfile::tempdir().expect("folder");
        let latch = Latch::new(folder.path().join("latch"));
        fs::write(latch.path(), b"").expect("written");
        assert!(latch.read().expect("readable").is_some());
    }
}
