//! The record of a request under way: the idempotency key by which the bank finds it again. One file per server, user
//! and token, readable by its owner only, without secrets; locked while an agent works on it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::enrol::{RecordError, create_private, sync_directory};

/// The folder of requests.
pub(crate) struct Requests(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// 1.
    version: u32,
    idempotency_key: String,
}

/// A request with its file; the lock lasts as long as it lives.
pub(super) struct RequestFile {
    path: PathBuf,
    record: Record,
    on_disk: bool,
    _lock: File,
}

impl Requests {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.join("unblockings"))
    }

    /// The request of this server, user and token: the one on disk, or a fresh one that isn't there yet. One that can't
    /// be read is a fresh one: the bank withdraws what is open when another is asked for.
    pub(super) fn open(&self, server: &str, user_id: &str, token: &str) -> Result<RequestFile, RecordError> {
        let name = hex::encode(Sha256::digest(format!("{server}\n{user_id}\n{token}")));
        let path = self.0.join(format!("{}.json", &name[..32]));
        let unusable = |source| RecordError::Unusable { path: path.clone(), source };
        create_private(&self.0).map_err(unusable)?;
        let lock = File::create(path.with_extension("lock")).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::InUse,
            TryLockError::Error(source) => unusable(source),
        })?;
        let found = match fs::read(&path) {
            Ok(json) => serde_json::from_slice::<Record>(&json).ok().filter(|record| record.version == 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        let on_disk = found.is_some();
        Ok(RequestFile { record: found.unwrap_or_else(Record::fresh), path, on_disk, _lock: lock })
    }
}

impl Record {
    fn fresh() -> Self {
        Self { version: 1, idempotency_key: Uuid::new_v4().to_string() }
    }
}

impl RequestFile {
    pub(super) fn idempotency_key(&self) -> &str {
        &self.record.idempotency_key
    }

    /// Whether running again goes on with it.
    pub(super) fn is_under_way(&self) -> bool {
        self.on_disk
    }

    /// Writes the record, whole or not at all.
    pub(super) fn save(&mut self) -> Result<(), RecordError> {
        self.write().map_err(|source| RecordError::Unusable { path: self.path.clone(), source })?;
        self.on_disk = true;
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &self.record)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        sync_directory(directory)
    }

    /// Deletes the record; what follows is a new request.
    pub(super) fn forget(&mut self) -> Result<(), RecordError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(RecordError::Unusable { path: self.path.clone(), source: error });
            }
            _ => {}
        }
        (self.record, self.on_disk) = (Record::fresh(), false);
        Ok(())
    }
}
