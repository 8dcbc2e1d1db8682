//! The certificates that belong to keys in the TPM: a file each in the user's state folder. They are public, so they need
//! no protection but against loss, and a TPM's little memory is spared.

use std::{
    env, fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{Key, Place, Tpm, TpmError};

/// The folder of certificates.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be read or written", path.display())]
pub struct ShelfError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A certificate with what names its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// 1.
    pub version: u32,
    /// The TPM's serial, see [`crate::Identity`].
    pub tpm: String,
    /// Its address, as [`crate::Address`] reads it.
    pub address: String,
    /// Where the key is.
    pub place: Place,
    /// The key's Name, in hexadecimal digits.
    pub key_name: String,
    /// The Name of the storage key above it, in hexadecimal digits.
    pub storage_name: String,
    /// The login ID.
    pub user_id: String,
    /// The certificate, DER in hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub certificate: Vec<u8>,
}

/// What became of a key that has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is there.
    Good,
    /// The TPM was cleared, and all users' keys with it.
    Cleared,
    /// It is the same TPM as it was, without this key: another program removed it.
    Removed,
    /// This is another TPM.
    OtherTpm,
}

impl Shelf {
    /// In this state folder.
    pub fn new(state: &Path) -> Self {
        Self(state.join("tpm"))
    }

    /// The user's own: `$XDG_STATE_HOME/inro-agent/tpm`, `~/.local/state/inro-agent/tpm`, or
    /// `%LOCALAPPDATA%\Inro\Agent\tpm`.
    pub fn usual() -> Option<Self> {
        // Relative paths in these variables are to be ignored (XDG Base Directory Specification).
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        if cfg!(windows) {
            return absolute("LOCALAPPDATA").map(|folder| Self::new(&folder.join("Inro").join("Agent")));
        }
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| Self::new(&state.join("inro-agent")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps an entry, in the place of an older one of the same key; durable when it returns.
    ///
    /// # Errors
    /// When it can't be written; an older one is then untouched.
    pub fn put(&self, entry: &Entry) -> Result<(), ShelfError> {
        let path = self.file(&entry.key_name);
        let write = || {
            fs::create_dir_all(&self.0)?;
            let mut file = NamedTempFile::new_in(&self.0)?;
            serde_json::to_writer_pretty(&mut file, entry)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            // Makes the new name durable; Windows has no such call and does it by itself.
            if cfg!(unix) { fs::File::open(&self.0)?.sync_all() } else { Ok(()) }
        };
        write().map_err(|source| ShelfError { path: path.clone(), source })
    }

    /// Every entry that can be read, by place.
    ///
    /// # Errors
    /// When the folder can't be read; one that isn't there holds nothing.
    pub fn entries(&self) -> Result<Vec<Entry>, ShelfError> {
        let unusable = |source| ShelfError { path: self.0.clone(), source };
        let folder = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(unusable)?,
        };
        let mut entries = Vec::new();
        for file in folder {
            let path = file.map_err(unusable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let json = fs::read(&path).map_err(|source| ShelfError { path, source })?;
                let entry = serde_json::from_slice::<Entry>(&json).ok();
                entries.extend(entry.filter(|entry| entry.version == 1));
            }
        }
        entries.sort_by_key(|entry| (entry.place, entry.key_name.clone()));
        Ok(entries)
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// As [`Shelf::entries`].
    pub fn of_key(&self, key: &Key) -> Result<Option<Entry>, ShelfError> {
        let name = hex::encode(&key.name);
        Ok(self.entries()?.into_iter().find(|entry| entry.key_name == name))
    }

    /// Takes an entry away; nothing happens when it isn't there.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(&self, key_name: &str) -> Result<(), ShelfError> {
        let path = self.file(key_name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ShelfError { path, source: error }),
            _ => Ok(()),
        }
    }

    /// Takes away what was left of keys that were at this key's place before: a place holds one key.
    ///
    /// # Errors
    /// As [`Shelf::entries`] and [`Shelf::remove`].
    pub fn forget_predecessors(&self, successor: &Entry) -> Result<(), ShelfError> {
        let entries = self.entries()?.into_iter();
        let same_place = entries.filter(|old| (&old.tpm, old.place) == (&successor.tpm, successor.place));
        for old in same_place.filter(|old| old.key_name != successor.key_name) {
            self.remove(&old.key_name)?;
        }
        Ok(())
    }

    /// A Name begins with two octets that say its algorithm; twelve of its digest tell keys apart.
    fn file(&self, key_name: &str) -> PathBuf {
        let digest: String = key_name.chars().filter(char::is_ascii_hexdigit).skip(4).take(24).collect();
        self.0.join(format!("{digest}.json"))
    }
}

impl Entry {
    /// Whether this is the key's.
    pub fn is_of(&self, key: &Key) -> bool {
        self.key_name == hex::encode(&key.name)
    }

    /// What became of the key, as the TPM at its address shows it.
    ///
    /// # Errors
    /// What the TPM says when it can't be asked.
    pub fn health(&self, tpm: &mut dyn Tpm) -> Result<Health, TpmError> {
        if tpm.keys()?.iter().any(|key| self.is_of(key)) {
            return Ok(Health::Good);
        }
        if tpm.identity()?.serial != self.tpm {
            return Ok(Health::OtherTpm);
        }
        let same = hex::encode(tpm.storage_name()?) == self.storage_name;
        Ok(if same { Health::Removed } else { Health::Cleared })
    }
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, place: u8) -> Entry {
        Entry {
            version: 1,
            tpm: "ab".repeat(32),
            address: "/dev/tpmrm0".to_owned(),
            place: Place::new(place).expect("a place"),
            key_name: name.to_owned(),
            storage_name: "000b00".to_owned(),
            user_id: "hokkai-01".to_owned(),
            certificate: vec![0x30, 0x00],
        }
    }

    #[test]
    fn entries_are_kept_replaced_and_taken_away() {
        let state = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::new(state.path());
        assert_eq!(shelf.entries().expect("empty"), []);
        let (first, second) =
            (entry(&format!("000b{}", "1".repeat(64)), 2), entry(&format!("000b{}", "2".repeat(64)), 1));
        shelf.put(&first).expect("kept");
        shelf.put(&second).expect("kept");
        let renewed = Entry { certificate: vec![0x30, 0x01, 0x00], ..first.clone() };
        shelf.put(&renewed).expect("kept");
        fs::write(shelf.path().join("rubbish.json"), b"{").expect("written");
        assert_eq!(shelf.entries().expect("entries"), [second.clone(), renewed]);
        let successor = Entry { place: first.place, ..entry(&format!("000b{}", "3".repeat(64)), 1) };
        shelf.put(&successor).expect("kept");
        shelf.forget_predecessors(&successor).expect("forgotten");
        assert_eq!(shelf.entries().expect("entries"), [second.clone(), successor.clone()]);
        shelf.remove(&successor.key_name).expect("taken away");
        shelf.remove(&first.key_name).expect("nothing to take away");
        assert_eq!(shelf.entries().expect("entries"), [second]);
    }
}
