//! A token's PIN, at the moment of a login: read from its file or credential, taken from what custodians gave, or left to
//! the token.

use std::{io, time::Duration};

use tokio::time::timeout;

use super::latch::Attempt;
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

    /// The PIN for a login to `token`, and which one it is.
    pub(super) fn take(&self, token: String) -> Result<(Pin, Attempt), NoPin> {
        if let Some(vault) = &self.vault {
            let (pin, which) = vault.pin().map_err(NoPin::Waiting)?;
            return Ok((pin, Attempt::named(token, which)));
        }
        let other = |error: String| NoPin::Other(error);
        let Some(file) = self.source.file().map_err(|error| other(error.to_string()))? else {
            return Ok((Pin::at_the_token(), Attempt::named(token, "asked for by the token".to_owned())));
        };
        let unseen = |error: io::Error| other(format!("the PIN file can't be looked at: {error}"));
        let before = Attempt::of(token.clone(), &file).map_err(unseen)?;
        let pin = self.source.read().map_err(|error| other(error.to_string()))?;
        if Attempt::of(token, &file).map_err(unseen)? == before {
            Ok((pin, before))
        } else {
            Err(other("the PIN file was changed while it was read".to_owned()))
        }
    }

    /// Returns when there may be a PIN that wasn't there before.
    pub(super) async fn changed(&self) {
        let Some(vault) = &self.vault else { return tokio::time::sleep(LOOK_AGAIN).await };
        let mut changes = vault.changes();
        let _ = timeout(LOOK_AGAIN, changes.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_pin_is_known_by_where_it_came_from_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pin");
        fs::write(&file, "987654\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode set");
        let supply = Supply::new(PinSource::File(file.clone()));
        let (pin, attempt) = supply.take("token".to_owned()).expect("a PIN");
        assert_eq!(pin.expose(), "987654");
        assert_eq!(attempt, Attempt::of("token".to_owned(), &file).expect("there"));
        assert!(!format!("{supply:?} {attempt:?}").contains("987654"));
        fs::remove_file(&file).expect("removed");
        assert!(matches!(supply.take("token".to_owned()), Err(NoPin::Other(_))));
    }

    #[test]
    fn a_token_that_asks_itself_needs_none_and_custodians_are_waited_for() {
        let at_token = Supply::new(PinSource::ProtectedPath);
        let (pin, attempt) = at_token.take("token".to_owned()).expect("nothing to read");
        assert!(pin.is_at_the_token());
        assert_eq!(attempt, at_token.take("token".to_owned()).expect("nothing to read").1);
        let custody = Supply::new(PinSource::Custody("/nowhere".into()));
        assert!(matches!(custody.take("token".to_owned()), Err(NoPin::Waiting(_))));
        assert!(custody.vault().is_some() && at_token.vault().is_none());
    }
}
