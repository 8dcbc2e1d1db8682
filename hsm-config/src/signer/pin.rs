//! A token's PIN, at the moment of a login: read from its file or credential, taken from what custodians gave, or left to
//! the token.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use tokio::time::timeout;

use crate::{
    custody::Vault,
    token::{Pin, PinSource},
};

/// A set's file may change without anybody giving a share.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where one token's PIN comes from. Clones share what custodians gave.
#[derive(Clone, Debug)]
pub struct Supply {
    source: PinSource,
    vault: Option<Vault>,
}

/// Which of a source's PINs it was, without a trace of it. It tells that there may be another by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A file's inode and when it was changed.
    File(u64, i64, i64),
    /// A custody set's generation.
    Generation(String),
    /// The token's own affair.
    Unseen,
}

/// Why there is no PIN now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoPin {
    /// Custodians are waited for; what for, in words.
    Waiting(String),
    /// Anything else, in words.
    Other(String),
}

impl Supply {
    /// From this source. Custodians are needed anew.
    pub fn new(source: PinSource) -> Self {
        let vault = match &source {
            PinSource::Custody(folder) => Some(Vault::new(folder.clone())),
            PinSource::File(_) | PinSource::Credential(_) | PinSource::ProtectedPath => None,
        };
        Self { source, vault }
    }

    /// Where it comes from.
    pub fn source(&self) -> &PinSource {
        &self.source
    }

    /// What holds the custodians' PIN, where it is theirs.
    pub(super) fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// What custodians have to give first, in words.
    pub(super) fn waits_for(&self) -> Option<String> {
        self.vault.as_ref().and_then(|vault| vault.pin().err())
    }

    /// The PIN for a login, and which one it is.
    pub(super) fn take(&self) -> Result<(Pin, Stamp), NoPin> {
        if let Some(vault) = &self.vault {
            let (pin, which) = vault.pin().map_err(NoPin::Waiting)?;
            return Ok((pin, Stamp::Generation(which)));
        }
        let before = self.stamp()?;
        let pin = self.source.read().map_err(|error| NoPin::Other(error.to_string()))?;
        if self.stamp()? == before {
            Ok((pin, before))
        } else {
            Err(NoPin::Other("the PIN file was changed while it was read".to_owned()))
        }
    }

    /// Which one [`take`](Self::take) would give now.
    pub(super) fn stamp(&self) -> Result<Stamp, NoPin> {
        if let Some(vault) = &self.vault {
            let (_, which) = vault.pin().map_err(NoPin::Waiting)?;
            return Ok(Stamp::Generation(which));
        }
        match self.source.file().map_err(|error| NoPin::Other(error.to_string()))? {
            Some(file) => stamp_of(&file),
            None => Ok(Stamp::Unseen),
        }
    }

    /// How the source is given another PIN.
    pub(super) fn remedy(&self) -> &'static str {
        match self.source {
            PinSource::File(_) => "write the right PIN into its file",
            PinSource::Credential(_) => {
                "a credential is unpacked when a service starts: stop the signer, seal the right PIN, start the signer"
            }
            PinSource::Custody(_) => {
                "change the token's PIN with `inro-hsm custody resplit` and `switch`, and unlock anew"
            }
            PinSource::ProtectedPath => "give the right PIN at the token's own device",
        }
    }

    /// Returns when there may be a PIN that wasn't there before.
    pub(super) async fn changed(&self) {
        let Some(vault) = &self.vault else { return tokio::time::sleep(LOOK_AGAIN).await };
        let mut changes = vault.changes();
        let _ = timeout(LOOK_AGAIN, changes.changed()).await;
    }
}

fn stamp_of(file: &Path) -> Result<Stamp, NoPin> {
    let seen = fs::metadata(file)
        .map_err(|error| NoPin::Other(format!("the PIN file can't be looked at: {error}")))?;
    Ok(Stamp::File(seen.ino(), seen.ctime(), seen.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn that_a_pin_was_changed_is_known_and_it_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pin");
        fs::write(&file, "987654\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode set");
        let supply = Supply::new(PinSource::File(file.clone()));
        let (pin, stamp) = supply.take().expect("a PIN");
        assert_eq!(pin.expose(), "987654");
        assert_eq!(supply.stamp().expect("there"), stamp);
        assert!(!format!("{supply:?} {stamp:?}").contains("987654"));
        fs::write(folder.path().join("new"), "123456\n").expect("written");
        fs::rename(folder.path().join("new"), &file).expect("put there");
        assert_ne!(supply.stamp().expect("there"), stamp);
        fs::remove_file(&file).expect("removed");
        assert!(matches!(supply.take(), Err(NoPin::Other(_))));
    }

    #[test]
    fn a_token_that_asks_itself_needs_none_and_custodians_are_waited_for() {
        let at_token = Supply::new(PinSource::ProtectedPath);
        let (pin, stamp) = at_token.take().expect("nothing to read");
        assert!(pin.is_at_the_token());
        assert_eq!(stamp, at_token.stamp().expect("nothing to read"));
        let custody = Supply::new(PinSource::Custody("/nowhere".into()));
        assert!(matches!(custody.take(), Err(NoPin::Waiting(_))));
        assert!(custody.vault().is_some() && at_token.vault().is_none());
    }
}
