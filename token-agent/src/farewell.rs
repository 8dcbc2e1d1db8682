//! What the bank is told of a key that was destroyed: signed by the key itself, just before. The note is kept until the
//! bank has it, so erasing works without the network. Of a key that could not sign, because nobody knows its PIN, the bank
//! can't be told: without a signature anybody could say so of anybody's key. Its certificate is to be revoked by hand, and
//! the note of that is kept until it is.
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
use serde::{Deserialize, Serialize};
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

/// Such a note.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    certificate: Base64Url,
    erased_at: Timestamp,
    /// `None` when the key could not sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Base64Url>,
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
    /// Certificates whose keys could not sign that they go: somebody has to revoke them by hand.
    pub(crate) to_revoke: Vec<CertificateDetails>,
}

/// Whether the bank publishes that a certificate (DER) is revoked.
pub(crate) type IsRevoked<'a, A> = &'a dyn Fn(&A, &[u8]) -> bool;

/// Signed notes.
const SIGNED: &str = "json";
/// Notes of keys that could not sign.
const UNSIGNED: &str = "unsigned";
/// Notes of keys that are still there.
const WAITING: &str = "waiting";

impl Farewells {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.join("erasures"))
    }

    /// Has the key in a slot sign that it is about to be destroyed, and keeps that, or that it couldn't. The PIN has been
    /// verified just before, where it is known. `None` when nobody has to be told.
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

    /// Of a key that is lost, or whose PIN nobody knows: keeps that its certificate is to be revoked by hand. A note from
    /// before an interruption may have been signed.
    pub(crate) fn unsigned(
        &self,
        certificate: &[u8],
        now: Timestamp,
    ) -> Result<Option<Farewell>, RecordError> {
        let waiting = self.path(certificate, WAITING);
        if let Some(earlier) = read(&waiting) {
            return Ok(Some(self.farewell(&earlier)));
        }
        if self.path(certificate, SIGNED).exists() {
            return Ok(None);
        }
        // What names no login ID is no bank's certificate of a user.
        let details = CertificateDetails::read(certificate).ok().filter(|details| details.user_id.is_some());
        if details.is_none_or(|details| details.not_after < now) {
            return Ok(None);
        }
        self.keep(&Note { certificate: Base64Url(certificate.to_vec()), erased_at: now, signature: None })
            .map(Some)
    }

    fn signed(
        &self,
        certificate: &[u8],
        now: Timestamp,
        sign: impl FnOnce(KeyAlgorithm, &[u8]) -> Result<Option<Vec<u8>>, EnrolError>,
    ) -> Result<Option<Farewell>, EnrolError> {
        let Ok(parsed) = Certificate::from_der(certificate) else { return Ok(None) };
        let key = parsed.tbs_certificate().subject_public_key_info();
        let Some(algorithm) = KeyAlgorithm::of_public_key(key) else {
            return Ok(self.unsigned(certificate, now)?);
        };
        let message = erasure_message(certificate, now);
        // The bank would refuse another key's for ever.
        let own = |signature: &Vec<u8>| {
            ca_x509::verify::verify(key, algorithm.signature(), &message, signature).is_ok()
        };
        let Some(signature) = sign(algorithm, &message)?.filter(own) else {
            return Ok(self.unsigned(certificate, now)?);
        };
        Ok(Some(self.keep(&Note {
            certificate: Base64Url(certificate.to_vec()),
            erased_at: now,
            signature: Some(Base64Url(signature)),
        })?))
    }

    fn keep(&self, note: &Note) -> Result<Farewell, RecordError> {
        let farewell = self.farewell(note);
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

    fn path(&self, certificate: &[u8], extension: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(certificate));
        self.0.join(format!("{}.{extension}", &name[..32]))
    }

    fn farewell(&self, note: &Note) -> Farewell {
        let ready = if note.signature.is_some() { SIGNED } else { UNSIGNED };
        Farewell {
            waiting: self.path(&note.certificate.0, WAITING),
            ready: self.path(&note.certificate.0, ready),
        }
    }

    /// No key is left on the token with this serial: every note of one counts, also those of before an interruption.
    pub(crate) fn done_with(&self, token_serial: &str) -> Result<(), RecordError> {
        for path in self.notes(WAITING)? {
            let Some(note) = read(&path) else { continue };
            let details = CertificateDetails::read(&note.certificate.0);
            if details.is_ok_and(|details| details.token_serial.as_deref() == Some(token_serial)) {
                self.farewell(&note).done()?;
            }
        }
        Ok(())
    }

    /// Tells the bank over the way that `connect` finds, where there is something to tell. Erasing is done, whatever the
    /// network says: without a way it is told later. `is_revoked`, where it is given, is asked of what is to be revoked
    /// by hand.
    ///
    /// # Errors
    /// As [`Farewells::tell`].
    pub(crate) fn tell_over<A: CustodyApi>(
        &self,
        connect: impl FnOnce() -> Result<A, RouteError>,
        is_revoked: Option<IsRevoked<'_, A>>,
        now: Timestamp,
    ) -> Result<Telling, RecordError> {
        let left = self.count()?;
        let to_revoke = self.settle(|_, details| details.not_after < now)?;
        let is_revoked = is_revoked.filter(|_| !to_revoke.is_empty());
        if left == 0 && is_revoked.is_none() {
            return Ok(Telling { to_revoke, ..Telling::default() });
        }
        match connect() {
            Ok(api) => {
                let told = self.tell(&api)?;
                let to_revoke = match is_revoked {
                    Some(is_revoked) => self.settle(|certificate, _| is_revoked(&api, certificate))?,
                    None => to_revoke,
                };
                Ok(Telling { to_revoke, ..told })
            }
            Err(why) => Ok(Telling { told: 0, left, why: Some(why).filter(|_| left > 0), to_revoke }),
        }
    }

    /// Forgets those that are to be revoked by hand of which this is true; says which are left.
    pub(crate) fn settle(
        &self,
        is_settled: impl Fn(&[u8], &CertificateDetails) -> bool,
    ) -> Result<Vec<CertificateDetails>, RecordError> {
        let mut left = Vec::new();
        for path in self.notes(UNSIGNED)? {
            let note = read(&path).map(|note| note.certificate.0);
            let details = note.as_deref().and_then(|der| Some((der, CertificateDetails::read(der).ok()?)));
            match details {
                Some((der, details)) if !is_settled(der, &details) => left.push(details),
                _ => forget(&path)?,
            }
        }
        left.sort_by(|one, other| one.serial.cmp(&other.serial));
        Ok(left)
    }

    /// A new certificate was obtained: the bank gives none while the user has another.
    pub(crate) fn settle_by_new(&self, user_id: &str) {
        if let Err(error) = self.settle(|_, details| details.user_id.as_deref() == Some(user_id)) {
            tracing::warn!(%error, "the notes of erased keys can't be read");
        }
    }

    /// Tells the bank what it doesn't know yet. What it refuses for good is forgotten: it isn't its certificate.
    ///
    /// # Errors
    /// Only when the folder can't be read; what can't be told stays.
    pub(crate) fn tell(&self, api: &dyn CustodyApi) -> Result<Telling, RecordError> {
        let mut told = Telling::default();
        for path in self.notes(SIGNED)? {
            let Some(note) = read(&path).and_then(Note::signed) else {
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
        Ok(self.notes(SIGNED)?.len())
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

impl Note {
    /// As the bank takes it.
    fn signed(self) -> Option<Erasure> {
        let Self { certificate, erased_at, signature } = self;
        signature.map(|signature| Erasure { certificate, erased_at, signature })
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

fn read(note: &Path) -> Option<Note> {
    fs::read(note).ok().and_then(|json| serde_json::from_slice(&json).ok())
}
