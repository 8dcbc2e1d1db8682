//! The record of a certificate that was renewed: its key and certificate stay on the token until the grace is over, and a
//! later run erases them. One file per certificate, without secrets.

use std::{fs, io, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Predecessor, RecordError, Records, record};

/// A certificate that was renewed, and its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retired {
    /// 1.
    pub(crate) version: u32,
    pub(crate) server: String,
    pub(crate) user_id: String,
    /// `yubikey-piv`, `piv`, `pkcs11` or `tpm`.
    pub(crate) kind: String,
    pub(crate) token_serial: String,
    /// When the bank took the confirmation of the successor; the old certificate has been superseded since then.
    pub(crate) confirmed_at: Timestamp,
    pub(crate) old: Seat,
    pub(crate) new: Seat,
}

/// Where a certificate with its key is, or was when this was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    /// A card's slot, or the number of a key in the TPM.
    pub(crate) place: String,
    /// The certificate's serial number in hexadecimal digits.
    pub(crate) serial: String,
    /// SHA-256 of the certificate in hexadecimal digits.
    pub(crate) certificate_sha256: String,
    /// DER of the key's `SubjectPublicKeyInfo` in hexadecimal digits.
    pub(crate) public_key: String,
}

impl Seat {
    pub(super) fn of(certificate: &Predecessor, place: String) -> Self {
        Self {
            place,
            serial: certificate.serial.clone(),
            certificate_sha256: certificate.sha256(),
            public_key: hex::encode(&certificate.spki),
        }
    }

    /// Whether this certificate (DER) is the one of this seat.
    pub(crate) fn is(&self, certificate: &[u8]) -> bool {
        self.certificate_sha256 == hex::encode(Sha256::digest(certificate))
    }
}

impl Retired {
    /// When it may be erased.
    pub(crate) fn due(&self, grace: SignedDuration) -> Timestamp {
        self.confirmed_at.checked_add(grace).unwrap_or(Timestamp::MAX)
    }

    /// Whether this certificate (DER) is the one that was renewed.
    pub(crate) fn is(&self, certificate: &[u8]) -> bool {
        self.old.is(certificate)
    }
}

impl Records {
    /// Remembers a certificate that was renewed; durable when it returns.
    pub(crate) fn retire(&self, retired: &Retired) -> Result<(), RecordError> {
        let path = self.retired_path(retired);
        let unusable = |source| RecordError::Unusable { path: path.clone(), source };
        record::create_private(&self.retired_folder()).map_err(unusable)?;
        record::write_whole(&path, retired).map_err(unusable)
    }

    /// Every certificate that was renewed and is still to be erased, the oldest first.
    pub(crate) fn retired(&self) -> Result<Vec<Retired>, RecordError> {
        let folder = self.retired_folder();
        let unusable = |source| RecordError::Unusable { path: folder.clone(), source };
        let files = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(unusable)?,
        };
        let mut all: Vec<Retired> = Vec::new();
        for file in files {
            let path = file.map_err(unusable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let json =
                    fs::read(&path).map_err(|source| RecordError::Unusable { path: path.clone(), source })?;
                let retired = serde_json::from_slice::<Retired>(&json).ok();
                let retired = retired.filter(|retired| retired.version == 1);
                all.push(retired.ok_or(RecordError::Damaged { path })?);
            }
        }
        all.sort_by_key(|retired| retired.confirmed_at);
        Ok(all)
    }

    /// Forgets one whose key and certificate are erased.
    pub(crate) fn forget_retired(&self, retired: &Retired) -> Result<(), RecordError> {
        let path = self.retired_path(retired);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RecordError::Unusable { path, source: error })
            }
            _ => Ok(()),
        }
    }

    fn retired_folder(&self) -> PathBuf {
        self.directory().join("retired")
    }

    fn retired_path(&self, retired: &Retired) -> PathBuf {
        let name = format!("{}\n{}", retired.token_serial, retired.old.certificate_sha256);
        let name = hex::encode(Sha256::digest(name));
        self.retired_folder().join(format!("{}.json", &name[..32]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(place: &str) -> Seat {
        Seat {
            place: place.to_owned(),
            serial: "01".to_owned(),
            certificate_sha256: hex::encode(Sha256::digest(place)),
            public_key: "3000".to_owned(),
        }
    }

    fn retired(place: &str, confirmed_at: Timestamp) -> Retired {
        Retired {
            version: 1,
            server: "https://bank.example".to_owned(),
            user_id: "hokkai-01".to_owned(),
            kind: "yubikey-piv".to_owned(),
            token_serial: "7".to_owned(),
            confirmed_at,
            old: seat(place),
            new: seat("9c"),
        }
    }

    #[test]
    fn what_was_retired_is_remembered_until_it_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::new(folder.path());
        assert_eq!(records.retired().expect("read"), []);
        let later = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
        let (first, second) = (retired("9a", Timestamp::UNIX_EPOCH), retired("9d", later));
        for retired in [&second, &first, &first] {
            records.retire(retired).expect("written");
        }
        assert_eq!(records.retired().expect("read"), [first.clone(), second.clone()]);
        assert!(first.is(b"9a") && !first.is(b"9d"));
        assert_eq!(first.due(SignedDuration::from_hours(1)), later);
        records.forget_retired(&first).expect("forgotten");
        records.forget_retired(&first).expect("nothing to forget");
        assert_eq!(records.retired().expect("read"), [second]);
    }

    #[test]
    fn a_damaged_record_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::new(folder.path());
        records.retire(&retired("9a", Timestamp::UNIX_EPOCH)).expect("written");
        let path = records.retired_path(&retired("9a", Timestamp::UNIX_EPOCH));
        fs::write(path, b"{}").expect("written");
        assert!(matches!(records.retired(), Err(RecordError::Damaged { .. })));
    }
}
