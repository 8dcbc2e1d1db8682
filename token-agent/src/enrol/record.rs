//! The record of an enrolment under way: what makes an interrupted one resumable. One file per server, user and token (and,
//! for a renewal, the certificate that is renewed), readable by its owner only, without secrets; written whole or not at all; locked while an agent works on it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use uuid::Uuid;

/// The folder of records.
pub(crate) struct Records(PathBuf);

/// Why a record can't be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("another agent is at work on this enrolment")]
    InUse,
    #[error("the record {} can't be read or written", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the record {} is damaged", path.display())]
    Damaged { path: PathBuf },
}

/// A renewal that was begun and isn't finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenewalUnderWay {
    pub(crate) user_id: String,
    pub(crate) token_serial: String,
    /// The serial number of the certificate that is renewed.
    pub(crate) renews: String,
}

/// An enrolment under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// 1.
    version: u32,
    server: String,
    user_id: String,
    token_serial: String,
    /// The serial number of the certificate that is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renews: Option<String>,
    started_at: Timestamp,
    pub(super) idempotency_key: String,
    /// Known once the server has answered step 1.
    pub(super) enrolment_id: Option<Uuid>,
    pub(super) key: Option<KeyRecord>,
}

/// The key of an enrolment under way, from just before it is generated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRecord {
    pub(super) slot: String,
    pub(super) algorithm: String,
    /// SHA-256 of the `SubjectPublicKeyInfo` of the key that stood in the slot before, in hexadecimal digits.
    pub(super) replaces: Option<String>,
    /// The same of the new key, once it was generated.
    pub(super) generated: Option<String>,
    /// Its `SubjectPublicKeyInfo` in hexadecimal digits, for tokens that show it only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<String>,
}

/// A record with its file; the lock lasts as long as it lives.
pub(crate) struct RecordFile {
    path: PathBuf,
    record: Record,
    on_disk: bool,
    _lock: File,
}

impl Records {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    fn path(&self, server: &str, user_id: &str, token_serial: &str, renews: Option<&str>) -> PathBuf {
        let mut name = format!("{server}\n{user_id}\n{token_serial}");
        if let Some(serial) = renews {
            name.push('\n');
            name.push_str(serial);
        }
        let name = hex::encode(Sha256::digest(name));
        self.0.join("enrolments").join(format!("{}.json", &name[..32]))
    }

    /// The renewals that were begun here at this server and aren't finished. A record that can't be read is said by
    /// whoever opens it.
    pub(crate) fn renewals_under_way(&self, server: &str) -> Vec<RenewalUnderWay> {
        let files = fs::read_dir(self.0.join("enrolments")).into_iter().flatten().flatten();
        let records = files.filter_map(|file| {
            let path = file.path();
            let json = path.extension().is_some_and(|extension| extension == "json");
            if json { parse(&fs::read(path).ok()?) } else { None }
        });
        let here = records.filter(|record| record.server == server);
        here.filter_map(|Record { user_id, token_serial, renews, .. }| {
            Some(RenewalUnderWay { user_id, token_serial, renews: renews? })
        })
        .collect()
    }

    /// The record of this server, user, token and, for a renewal, predecessor: the one on disk, or a fresh one that isn't
    /// there yet.
    pub(crate) fn open(
        &self,
        server: &str,
        user_id: &str,
        token_serial: &str,
        renews: Option<&str>,
        now: Timestamp,
    ) -> Result<RecordFile, RecordError> {
        let path = self.path(server, user_id, token_serial, renews);
        let unusable = |source| RecordError::Unusable { path: path.clone(), source };
        create_private(path.parent().unwrap_or(&self.0)).map_err(unusable)?;
        let lock = File::create(path.with_extension("lock")).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::InUse,
            TryLockError::Error(source) => unusable(source),
        })?;
        let found = match fs::read(&path) {
            Ok(json) => Some(parse(&json).ok_or_else(|| RecordError::Damaged { path: path.clone() })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        let on_disk = found.is_some();
        let fresh = || Record {
            version: 1,
            server: server.to_owned(),
            user_id: user_id.to_owned(),
            token_serial: token_serial.to_owned(),
            renews: renews.map(str::to_owned),
            started_at: now,
            idempotency_key: Uuid::new_v4().to_string(),
            enrolment_id: None,
            key: None,
        };
        Ok(RecordFile { record: found.unwrap_or_else(fresh), path, on_disk, _lock: lock })
    }
}

impl RecordFile {
    /// Whether running again resumes.
    pub(super) fn is_under_way(&self) -> bool {
        self.on_disk && (self.enrolment_id.is_some() || self.key.is_some())
    }

    /// The serial number of the certificate that is renewed.
    pub(super) fn renews(&self) -> Option<&str> {
        self.record.renews.as_deref()
    }

    /// Writes the record, whole or not at all.
    pub(super) fn save(&mut self) -> Result<(), RecordError> {
        write_whole(&self.path, &self.record)
            .map_err(|source| RecordError::Unusable { path: self.path.clone(), source })?;
        self.on_disk = true;
        Ok(())
    }

    /// Deletes the record; what follows is a new enrolment.
    pub(super) fn forget(&mut self) -> Result<(), RecordError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(RecordError::Unusable { path: self.path.clone(), source: error });
            }
            _ => {}
        }
        self.on_disk = false;
        self.begin_anew();
        self.record.key = None;
        Ok(())
    }

    /// Makes the next run a new enrolment with the key that was generated for this one.
    pub(super) fn renew(&mut self) -> Result<(), RecordError> {
        self.begin_anew();
        if self.record.key.is_some() { self.save() } else { self.forget() }
    }

    /// The same with another key, in the same slot: the bank doesn't take the one that was generated.
    pub(super) fn replace_key(&mut self) -> Result<(), RecordError> {
        if let Some(key) = &mut self.record.key {
            // Whatever else stands there from now on is the new one.
            key.replaces = key.generated.take().or(key.replaces.take());
            key.public_key = None;
        }
        self.renew()
    }

    fn begin_anew(&mut self) {
        self.record.idempotency_key = Uuid::new_v4().to_string();
        self.record.enrolment_id = None;
    }
}

impl Deref for RecordFile {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl DerefMut for RecordFile {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.record
    }
}

fn parse(json: &[u8]) -> Option<Record> {
    serde_json::from_slice::<Record>(json).ok().filter(|record| record.version == 1)
}

/// Writes a file whole or not at all; durable when it returns.
pub(super) fn write_whole(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Temporary files are their owner's only.
    let mut file = NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_directory(directory)
}

#[cfg(unix)]
pub(crate) fn create_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
pub(crate) fn create_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Makes the new name durable. Windows has no such call and does it by itself.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Result<RecordFile, RecordError> {
        Records::new(directory).open("https://bank.example", "hokkai-01", "7", None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_was_saved_is_found_again_by_the_same_three() {
        let directory = tempfile::tempdir().expect("a folder");
        let mut record = open(directory.path()).expect("a record");
        assert!(!record.is_under_way());
        record.enrolment_id = Some(Uuid::new_v4());
        record.save().expect("saved");
        let saved = record.record.clone();
        assert!(matches!(open(directory.path()), Err(RecordError::InUse)));
        drop(record);
        let again = open(directory.path()).expect("a record");
        assert_eq!(again.record, saved);
        assert!(again.is_under_way());
        let records = Records::new(directory.path());
        for (token, renews) in [("8", None), ("7", Some("01"))] {
            let other =
                records.open("https://bank.example", "hokkai-01", token, renews, Timestamp::UNIX_EPOCH);
            assert_ne!(other.expect("a record").idempotency_key, saved.idempotency_key);
        }
        assert_eq!(records.renewals_under_way("https://bank.example"), []);
        let renewal =
            records.open("https://bank.example", "hokkai-01", "7", Some("01"), Timestamp::UNIX_EPOCH);
        renewal.expect("a record").save().expect("saved");
        let under_way = records.renewals_under_way("https://bank.example");
        assert_eq!((under_way.len(), under_way[0].renews.as_str()), (1, "01"));
        assert_eq!(records.renewals_under_way("https://other.example"), []);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a folder");
        let mut record = open(directory.path()).expect("a record");
        record.save().expect("saved");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&record.path), 0o600);
        assert_eq!(mode(record.path.parent().expect("a folder")), 0o700);
    }

    #[test]
    fn a_damaged_record_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a folder");
        let mut record = open(directory.path()).expect("a record");
        record.save().expect("saved");
        let path = record.path.clone();
        drop(record);
        fs::write(&path, b"{\"version\": 2}").expect("written");
        assert!(matches!(open(directory.path()), Err(RecordError::Damaged { .. })));
    }

    #[test]
    fn a_renewed_record_keeps_the_key_only() {
        let directory = tempfile::tempdir().expect("a folder");
        let mut record = open(directory.path()).expect("a record");
        let key = KeyRecord {
            slot: "9a".to_owned(),
            algorithm: "p256".to_owned(),
            replaces: None,
            generated: Some("00".to_owned()),
            public_key: None,
        };
        record.key = Some(key.clone());
        record.enrolment_id = Some(Uuid::new_v4());
        let before = record.idempotency_key.clone();
        record.renew().expect("saved");
        assert_eq!((record.enrolment_id, record.key.clone()), (None, Some(key)));
        assert_ne!(record.idempotency_key, before);
        record.replace_key().expect("saved");
        let anew = record.key.clone().expect("a key");
        assert_eq!((anew.replaces.as_deref(), anew.generated), (Some("00"), None));
        record.forget().expect("deleted");
        assert!(!record.is_under_way() && !record.path.exists());
    }
}
