//! What the bank is told of a key that was destroyed: signed by the key itself, just before. The note is kept until the
//! bank has it, so erasing works without the network.
//!
//! A note is written before the key is destroyed and counts from then on that it is: one that was interrupted between
//! the two is never told. It holds nothing secret.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use ca_wire::{
    Base64Url,
    problem::Code,
    token::{Erasure, erasure_message},
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::{
    enrol::{EnrolError, RecordError, create_private, sync_directory},
    server::{ServerError, custody::CustodyApi},
    token::{KeyAlgorithm, Slot, Token, TokenError},
};

/// The folder of notes.
pub(crate) struct Farewells(PathBuf);

/// A note on disk whose key is still there.
pub(crate) struct Farewell {
    waiting: PathBuf,
    ready: PathBuf,
}

/// What telling came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The bank knows now.
    pub(crate) told: usize,
    /// It doesn't yet; told at the next opportunity.
    pub(crate) left: usize,
}

impl Farewells {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.join("erasures"))
    }

    /// Has the key in a slot sign that it is about to be destroyed, and keeps that. The PIN has been verified just before.
    /// `None` when the key can't: there is none, or it isn't the certificate's.
    pub(crate) fn sign(
        &self,
        token: &mut dyn Token,
        slot: Slot,
        certificate: &[u8],
        now: Timestamp,
    ) -> Result<Option<Farewell>, EnrolError> {
        let Some(algorithm) = algorithm_of(certificate) else { return Ok(None) };
        let signature = match token.sign(slot, algorithm, &erasure_message(certificate, now)) {
            Ok(signature) => signature,
            Err(error) if error.is_absence() => return Err(error.into()),
            Err(error @ (TokenError::NoService(_) | TokenError::Busy)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the key can't sign that it is erased");
                return Ok(None);
            }
        };
        let note = Erasure {
            certificate: Base64Url(certificate.to_vec()),
            erased_at: now,
            signature: Base64Url(signature),
        };
        Ok(Some(self.keep(&note)?))
    }

    fn keep(&self, note: &Erasure) -> Result<Farewell, RecordError> {
        let name = hex::encode(Sha256::digest(&note.certificate.0));
        let farewell = Farewell {
            waiting: self.0.join(format!("{}.waiting", &name[..32])),
            ready: self.0.join(format!("{}.json", &name[..32])),
        };
        let write = || -> io::Result<()> {
            create_private(&self.0)?;
            let mut file = NamedTempFile::new_in(&self.0)?;
            serde_json::to_writer(&mut file, note)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&farewell.waiting)?;
            sync_directory(&self.0)
        };
        write().map_err(|source| unusable(&farewell.waiting, source))?;
        Ok(farewell)
    }

    /// The note of a certificate whose key was found destroyed: the interruption came in between.
    pub(crate) fn of(&self, certificate: &[u8]) -> Option<Farewell> {
        let name = hex::encode(Sha256::digest(certificate));
        let waiting = self.0.join(format!("{}.waiting", &name[..32]));
        let ready = self.0.join(format!("{}.json", &name[..32]));
        waiting.exists().then_some(Farewell { waiting, ready })
    }

    /// Tells the bank what it doesn't know yet. What it refuses for good is forgotten: it isn't its certificate.
    ///
    /// # Errors
    /// Only when the folder can't be read; what can't be told stays.
    pub(crate) fn tell(&self, api: &dyn CustodyApi) -> Result<Told, RecordError> {
        let mut told = Told::default();
        for path in self.ready()? {
            let note = fs::read(&path).ok().and_then(|json| serde_json::from_slice::<Erasure>(&json).ok());
            let Some(note) = note else {
                forget(&path)?;
                continue;
            };
            match api.tell_erasure(&note) {
                Ok(()) => {
                    forget(&path)?;
                    told.told += 1;
                }
                Err(ServerError::Refused(refusal)) if refusal.code == Some(Code::CertificateUnknown) => {
                    forget(&path)?;
                }
                Err(error) => {
                    tracing::warn!(%error, "the bank can't be told of an erased key");
                    told.left += 1;
                }
            }
        }
        Ok(told)
    }

    /// The same on the way to something else, which it must not disturb.
    pub(crate) fn tell_by_the_way(&self, api: &dyn CustodyApi) {
        if let Err(error) = self.tell(api) {
            tracing::warn!(%error, "the notes of erased keys can't be read");
        }
    }

    /// Whether there is something to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready().is_ok_and(|ready| ready.is_empty())
    }

    fn ready(&self) -> Result<Vec<PathBuf>, RecordError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&self.0, error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect())
    }
}

impl Farewell {
    /// The key is gone: the note counts.
    pub(crate) fn done(self) -> Result<(), RecordError> {
        fs::rename(&self.waiting, &self.ready).map_err(|source| unusable(&self.ready, source))
    }
}

fn forget(path: &Path) -> Result<(), RecordError> {
    fs::remove_file(path).map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: io::Error) -> RecordError {
    RecordError::Unusable { path: path.to_owned(), source }
}

fn algorithm_of(certificate: &[u8]) -> Option<KeyAlgorithm> {
    use der::Decode;
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    KeyAlgorithm::of_public_key(certificate.tbs_certificate().subject_public_key_info())
}
