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
        for driver in &self.0 {
            for reader in driver.readers()? {
                match all.iter_mut().find(|known| known.name == reader.name) {
                    None => all.push(reader),
                    Some(known) if known.state == ReaderState::Foreign => *known = reader,
                    Some(_) => {}
                }
            }
        }
        Ok(all)
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        for driver in &self.0 {
            match driver.open(serial) {
                Err(TokenError::NotConnected { .. }) => {}
                other => return other,
            }
        }
        Err(TokenError::NotConnected { serial: serial.to_owned() })
    }
}
