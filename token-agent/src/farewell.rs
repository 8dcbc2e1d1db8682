//! What the bank is told of a key that was destroyed: signed by the key itself, just before. The note is kept until the
//! bank has it, so erasing works without the network.
//!
//! A note is written before the key is destroyed and counts from then on that it is: one that was interrupted between
//! the two is told once the key is found destroyed. It holds nothing secret.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use agent_tpm::{Key, Tpm};
use ca_wire::{
    Base64Url,
    problem::Code,
    token::{Erasure, erasure_message},
};
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use x509_cert::Certificate;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, RecordError, create_private, sync_directory},
    route::RouteError,
    secret::Pin,
    server::{ServerError, custody::CustodyApi},
    token::{KeyAlgorithm, Slot, Token, TokenError},
    tpm,
};

/// The folder of notes.
pub(crate) struct Farewells(PathBuf);

/// A note on disk whose key is still there.
pub(crate) struct Farewell {
    waiting: PathBuf,
    ready: PathBuf,
}

/// What telling came to.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// The bank knows now.
    pub(crate) told: usize,
    /// It doesn't yet; told at the next opportunity.
    pub(crate) left: usize,
    /// Why not.
    pub(crate) why: Option<RouteError>,
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
        self.signed(certificate, now, |algorithm, message| match token.sign(slot, algorithm, message) {
            Err(error) if error.is_absence() => Err(error.into()),
            Err(error @ TokenError::Busy) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the key can't sign that it is erased");
                Ok(None)
            }
            Ok(signature) => Ok(Some(signature)),
        })
    }

    /// The same of a key in the TPM, with its PIN.
    pub(crate) fn sign_in_tpm(
        &self,
        (tpm, key, pin): (&mut dyn Tpm, &Key, &Pin),
        certificate: &[u8],
        now: Timestamp,
    ) -> Result<Option<Farewell>, EnrolError> {
        self.signed(certificate, now, |_, message| Ok(Some(tpm::sign(tpm, key, pin, message)?)))
    }

    fn signed(
        &self,
        certificate: &[u8],
        now: Timestamp,
        sign: impl FnOnce(KeyAlgorithm, &[u8]) -> Result<Option<Vec<u8>>, EnrolError>,
    ) -> Result<Option<Farewell>, EnrolError> {
        let Ok(parsed) = Certificate::from_der(certificate) else { return Ok(None) };
        let key = parsed.tbs_certificate().subject_public_key_info();
        let Some(algorithm) = KeyAlgorithm::of_public_key(key) else { return Ok(None) };
        let message = erasure_message(certificate, now);
        let Some(signature) = sign(algorithm, &message)? else { return Ok(None) };
        // The bank would refuse another key's for ever.
        if ca_x509::verify::verify(key, algorithm.signature(), &message, &signature).is_err() {
            return Ok(None);
        }
        let note = Erasure {
            certificate: Base64Url(certificate.to_vec()),
            erased_at: now,
            signature: Base64Url(signature),
        };
        Ok(Some(self.keep(&note)?))
    }

    fn keep(&self, note: &Erasure) -> Result<Farewell, RecordError> {
        let farewell = self.name(&note.certificate.0);
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

    fn name(&self, certificate: &[u8]) -> Farewell {
        let name = hex::encode(Sha256::digest(certificate));
        Farewell {
            waiting: self.0.join(format!("{}.waiting", &name[..32])),
            ready: self.0.join(format!("{}.json", &name[..32])),
        }
    }

    /// The note of a certificate whose key was found destroyed: the interruption came in between.
    pub(crate) fn of(&self, certificate: &[u8]) -> Option<Farewell> {
        Some(self.name(certificate)).filter(|farewell| farewell.waiting.exists())
    }

    /// No key is left on the token with this serial: every note of one counts, also those of before an interruption.
    pub(crate) fn done_with(&self, token_serial: &str) -> Result<(), RecordError> {
        for path in self.notes("waiting")? {
            let Some(note) = read(&path) else { continue };
            let details = CertificateDetails::read(&note.certificate.0);
            if details.is_ok_and(|details| details.token_serial.as_deref() == Some(token_serial)) {
                self.name(&note.certificate.0).done()?;
            }
        }
        Ok(())
    }

    /// Tells the bank over the way that `connect` finds, where there is something to tell. Erasing is done, whatever the
    /// network says: without a way it is told later.
    ///
    /// # Errors
    /// As [`Farewells::tell`].
    pub(crate) fn tell_over<A: CustodyApi>(
        &self,
        connect: impl FnOnce() -> Result<A, RouteError>,
    ) -> Result<Telling, RecordError> {
        let left = self.count()?;
        if left == 0 {
            return Ok(Telling::default());
        }
        match connect() {
            Ok(api) => self.tell(&api),
            Err(why) => Ok(Telling { told: 0, left, why: Some(why) }),
        }
    }

    /// Tells the bank what it doesn't know yet. What it refuses for good is forgotten: it isn't its certificate.
    ///
    /// # Errors
    /// Only when the folder can't be read; what can't be told stays.
    pub(crate) fn tell(&self, api: &dyn CustodyApi) -> Result<Telling, RecordError> {
        let mut told = Telling::default();
        for path in self.notes("json")? {
            let Some(note) = read(&path) else {
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
                    told.why = Some(error.into());
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

    /// How much there is to tell.
    pub(crate) fn count(&self) -> Result<usize, RecordError> {
        Ok(self.notes("json")?.len())
    }

    fn notes(&self, extension: &str) -> Result<Vec<PathBuf>, RecordError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&self.0, error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.filter(|path| path.extension().is_some_and(|own| own == extension)).collect())
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

fn read(note: &Path) -> Option<Erasure> {
    fs::read(note).ok().and_then(|json| serde_json::from_slice(&json).ok())
}
