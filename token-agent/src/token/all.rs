//! The tokens of every kind that are connected.
//!
//! A reader is listed once: what one driver calls foreign may be another's token. Drivers are asked in their order, so
//! that a token which two of them could open is opened by the one that can prove more.

use std::path::Path;

use super::{
    Reader, ReaderState, Token, TokenDriver, TokenError, piv::PivCards, pkcs11::Module, yubikey_piv::YubiKeys,
};

/// The drivers, those first whose tokens are attested.
pub(crate) struct Tokens(Vec<Box<dyn TokenDriver>>);

impl Tokens {
    /// What is connected to this machine, and what the vendor's PKCS#11 module shows.
    pub(crate) fn connected(module: Option<&Path>) -> Self {
        let mut drivers: Vec<Box<dyn TokenDriver>> = vec![Box::new(YubiKeys), Box::new(PivCards)];
        drivers.extend(module.map(|path| Box::new(Module::new(path)) as Box<dyn TokenDriver>));
        Self(drivers)
    }
}

impl TokenDriver for Tokens {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        let mut all: Vec<Reader> = Vec::new();
        let mut without_service = None;
        for driver in &self.0 {
            let readers = match driver.readers() {
                Err(error @ TokenError::NoService(_)) => {
                    without_service.get_or_insert(error);
                    continue;
                }
                other => other?,
            };
            for reader in readers {
                match all.iter_mut().find(|known| known.name == reader.name) {
                    None => all.push(reader),
                    Some(known) if matches!(known.state, ReaderState::Foreign | ReaderState::Mute) => {
                        *known = reader;
                    }
                    Some(_) => {}
                }
            }
        }
        match without_service {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        let mut failure = TokenError::NotConnected { serial: serial.to_owned() };
        for driver in &self.0 {
            match driver.open(serial) {
                Err(TokenError::NotConnected { .. }) => {}
                // Another kind of token needs no smart-card service.
                Err(error @ TokenError::NoService(_)) => failure = error,
                other => return other,
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Firmware, fake::FakeDriver};

    /// A driver that has this in the fake's reader, or fails.
    struct Sees(fn() -> Result<ReaderState, TokenError>);

    impl TokenDriver for Sees {
        fn readers(&self) -> Result<Vec<Reader>, TokenError> {
            Ok(vec![Reader { name: "fake".to_owned(), state: (self.0)()? }])
        }

        fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
            (self.0)()?;
            Err(TokenError::NotConnected { serial: serial.to_owned() })
        }
    }

    fn no_service() -> Result<ReaderState, TokenError> {
        Err(TokenError::NoService(pcsc::Error::NoService))
    }

    fn together(first: Sees) -> Tokens {
        Tokens(vec![Box::new(first), Box::new(FakeDriver::fresh(Firmware::new(5, 7, 2)))])
    }

    #[test]
    fn a_reader_is_listed_once_by_whoever_knows_its_card() {
        for foreign in [|| Ok(ReaderState::Foreign), || Ok(ReaderState::Mute)] {
            let readers = together(Sees(foreign)).readers().expect("readers");
            assert!(
                matches!(readers.as_slice(), [Reader { state: ReaderState::Token(_), .. }]),
                "{readers:?}"
            );
        }
        let readers = together(Sees(|| Ok(ReaderState::Busy))).readers().expect("readers");
        assert!(matches!(readers.as_slice(), [Reader { state: ReaderState::Busy, .. }]), "{readers:?}");
    }

    #[test]
    fn tokens_that_need_no_service_are_there_without_one() {
        let tokens = together(Sees(no_service));
        assert_eq!(tokens.readers().expect("readers").len(), 1);
        assert_eq!(tokens.open("7").expect("the fake").identity().serial, "7");
        assert!(matches!(tokens.open("8"), Err(TokenError::NoService(_))));
        let alone = Tokens(vec![Box::new(Sees(no_service))]);
        assert!(matches!(alone.readers(), Err(TokenError::NoService(_))));
    }
}
