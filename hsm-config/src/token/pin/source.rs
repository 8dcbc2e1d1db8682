//! Where a PIN comes from: a file, a sealed credential of the service manager's, custodians, or the token's own way.

use std::{
    env,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Pin, PinError};

/// Which of a token's PINs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinKind {
    /// The user's, which uses the keys.
    User,
    /// The security officer's, which can set the user's anew: as good as a key.
    So,
}

impl std::fmt::Display for PinKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user PIN",
            Self::So => "SO PIN",
        })
    }
}

/// Where the service manager puts credentials (systemd.exec(5), `LoadCredentialEncrypted=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The one value of the key `pin`.
const PROTECTED_PATH: &str = "protected-path";

/// Where a PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// A file that its owner alone can read: `pin_file`.
    File(PathBuf),
    /// A credential of the service, sealed at rest with the host's TPM by `systemd-creds`: `pin_credential`.
    Credential(String),
    /// The custodians of the set in this folder: `pin_custody`. The signer's parent holds it in locked memory.
    Custody(PathBuf),
    /// The token asks for it itself, at a PIN pad or by operators' cards: `pin = "protected-path"`. Nothing here ever
    /// sees it.
    ProtectedPath,
}

/// The keys of a table that say where a PIN comes from, of which exactly one is given.
#[derive(Clone, Debug, Default)]
pub struct PinKeys {
    /// `pin_file`.
    pub pin_file: Option<PathBuf>,
    /// `pin_credential`.
    pub pin_credential: Option<String>,
    /// `pin_custody`.
    pub pin_custody: Option<PathBuf>,
    /// `pin`.
    pub pin: Option<String>,
}

/// What is wrong with a table's [`PinKeys`]: the key, the problem and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinMistake {
    /// Which key.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Why there is no PIN.
#[derive(Debug, thiserror::Error)]
pub enum PinSourceError {
    /// Its file isn't accepted.
    #[error(transparent)]
    File(#[from] PinError),
    /// The service manager gave no credentials.
    #[error(
        "there are no credentials for {0:?}: start this program as a systemd service with \
         LoadCredentialEncrypted={0}:FILE"
    )]
    NoCredentials(String),
    /// People are needed.
    #[error("the PIN is kept by custodians ({0:?}), who have to be asked")]
    Custodians(PathBuf),
}

impl PinKeys {
    /// The one source that is meant; paths are taken from `folder`.
    ///
    /// # Errors
    /// [`PinMistake`], unless exactly one key is given and is sound.
    pub fn source(self, folder: &Path) -> Result<PinSource, PinMistake> {
        match (self.pin_file, self.pin_credential, self.pin_custody, self.pin) {
            (Some(path), None, None, None) => Ok(PinSource::File(folder.join(path))),
            (None, Some(name), None, None) if is_credential(&name) => Ok(PinSource::Credential(name)),
            (None, Some(name), None, None) => Err(PinMistake {
                key: "pin_credential",
                problem: format!("{name:?} is no name of a credential"),
                remedy: "write the name that LoadCredentialEncrypted= gives it, without a path",
            }),
            (None, None, Some(path), None) => Ok(PinSource::Custody(folder.join(path))),
            (None, None, None, Some(word)) if word == PROTECTED_PATH => Ok(PinSource::ProtectedPath),
            (None, None, None, Some(_)) => Err(PinMistake {
                key: "pin",
                problem: "holds something else than \"protected-path\"".to_owned(),
                remedy: "a PIN never stands in a configuration: write it into a file of its own and name that in pin_file",
            }),
            _ => Err(PinMistake {
                key: "pin_file",
                problem: "not exactly one source of the PIN is given".to_owned(),
                remedy: "give one of pin_file, pin_credential, pin_custody and pin = \"protected-path\"",
            }),
        }
    }
}

fn is_credential(name: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn credential(name: &str) -> Result<PathBuf, PinSourceError> {
    match env::var_os(CREDENTIALS) {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(PinSourceError::NoCredentials(name.to_owned())),
    }
}

impl PinSource {
    /// The file that holds the PIN, for the sources that have one.
    ///
    /// # Errors
    /// [`PinSourceError::NoCredentials`] when this program wasn't given any.
    pub fn file(&self) -> Result<Option<PathBuf>, PinSourceError> {
        match self {
            Self::File(path) => Ok(Some(path.clone())),
            Self::Credential(name) => credential(name).map(Some),
            Self::Custody(_) | Self::ProtectedPath => Ok(None),
        }
    }

    /// The PIN, where nobody has to be asked; [`Pin::at_the_token`] where the token asks for it itself.
    ///
    /// # Errors
    /// [`PinSourceError`]; [`PinSourceError::Custodians`] when people have to be asked, by
    /// [`Set::assemble`](crate::custody::Set::assemble).
    pub fn read(&self) -> Result<Pin, PinSourceError> {
        match self {
            Self::Custody(folder) => Err(PinSourceError::Custodians(folder.clone())),
            Self::ProtectedPath => Ok(Pin::at_the_token()),
            Self::File(path) => Ok(Pin::from_file(path)?),
            Self::Credential(name) => Ok(Pin::from_credential(&credential(name)?)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[(&str, &str)]) -> Result<PinSource, PinMistake> {
        let find =
            |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        PinKeys {
            pin_file: find("pin_file").map(PathBuf::from),
            pin_credential: find("pin_credential"),
            pin_custody: find("pin_custody").map(PathBuf::from),
            pin: find("pin"),
        }
        .source(Path::new("/etc/inro"))
    }

    #[test]
    fn exactly_one_source_is_taken() {
        assert_eq!(keys(&[("pin_file", "pin")]), Ok(PinSource::File("/etc/inro/pin".into())));
        assert_eq!(keys(&[("pin_credential", "hsm-pin")]), Ok(PinSource::Credential("hsm-pin".to_owned())));
        assert_eq!(
            keys(&[("pin_custody", "custody/online")]),
            Ok(PinSource::Custody("/etc/inro/custody/online".into()))
        );
        assert_eq!(keys(&[("pin", "protected-path")]), Ok(PinSource::ProtectedPath));
        assert_eq!(keys(&[]).expect_err("none").key, "pin_file");
        assert!(keys(&[("pin_file", "pin"), ("pin_custody", "set")]).is_err());
        assert_eq!(keys(&[("pin_credential", "../pin")]).expect_err("a path").key, "pin_credential");
    }

    #[test]
    fn a_pin_in_the_configuration_is_refused_and_not_repeated() {
        let mistake = keys(&[("pin", "987654")]).expect_err("a PIN");
        assert!(mistake.key == "pin" && !format!("{mistake:?}").contains("987654"));
    }

    #[test]
    fn custodians_are_never_asked_by_the_way() {
        let source = PinSource::Custody("/etc/inro/set".into());
        assert!(matches!(source.read(), Err(PinSourceError::Custodians(_))));
        assert!(PinSource::ProtectedPath.read().expect("no PIN of ours").is_at_the_token());
    }
}
