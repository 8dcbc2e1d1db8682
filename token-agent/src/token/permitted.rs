//! Tokens of the kinds that the administrator's policy permits. Others are shown, so that people see why they can't be
//! used, but not opened.

use serde::Deserialize;

use super::{Kind, Reader, ReaderState, Token, TokenDriver, TokenError};

/// A kind of token, named as in the CA's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PermittedKind {
    YubikeyPiv,
    Piv,
    Pkcs11,
    Tpm,
}

/// The kinds of token that may get a certificate; all, unless the policy names some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permitted(Option<Vec<PermittedKind>>);

impl Permitted {
    /// These kinds; all, without any said.
    pub(crate) fn only(kinds: Option<Vec<PermittedKind>>) -> Self {
        Self(kinds)
    }

    pub(crate) fn everything(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn covers(&self, kind: Kind) -> bool {
        self.holds(match kind {
            Kind::YubiKeyPiv => PermittedKind::YubikeyPiv,
            Kind::Piv => PermittedKind::Piv,
            Kind::Pkcs11 => PermittedKind::Pkcs11,
        })
    }

    pub(crate) fn covers_tpm(&self) -> bool {
        self.holds(PermittedKind::Tpm)
    }

    fn holds(&self, kind: PermittedKind) -> bool {
        self.0.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// A driver within the policy.
pub(crate) struct PermittedTokens<'a> {
    pub(crate) driver: &'a dyn TokenDriver,
    pub(crate) permitted: &'a Permitted,
}

impl TokenDriver for PermittedTokens<'_> {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        self.driver.readers()
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        if !self.permitted.everything() {
            let readers = self.driver.readers()?;
            let mut identities = readers.iter().filter_map(|reader| match &reader.state {
                ReaderState::Token(identity) => Some(identity),
                _ => None,
            });
            let meant = identities.find(|identity| identity.serial == serial);
            if let Some(identity) = meant.filter(|identity| !self.permitted.covers(identity.kind)) {
                return Err(TokenError::NotPermitted { kind: identity.kind.name() });
            }
        }
        self.driver.open(serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        policy::Policy,
        token::{Firmware, fake::FakeDriver},
    };

    #[test]
    fn a_kind_that_isn_t_permitted_is_shown_but_not_opened() {
        let driver = FakeDriver::fresh(Firmware::new(5, 7, 2));
        let opened = |policy: &str| {
            let mut config = Config::default();
            toml::from_str::<Policy>(policy).expect("a policy").fix(&mut config);
            let tokens = PermittedTokens { driver: &driver, permitted: &config.permitted };
            assert_eq!(tokens.readers().expect("readers").len(), 1);
            tokens.open("7").map(drop)
        };
        assert!(opened("").is_ok());
        assert!(opened("tokens = [\"yubikey-piv\"]").is_ok());
        assert!(matches!(opened("tokens = [\"tpm\"]"), Err(TokenError::NotPermitted { .. })));
    }
}
