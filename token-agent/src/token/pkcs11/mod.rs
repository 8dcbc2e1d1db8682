//! Tokens behind a vendor's PKCS#11 module. The module says that a key never leaves its token; nothing proves it, and
//! the authority is told so: it certifies such keys only where its policy says that the word is enough.
//!
//! A slot of PIV's is a key here whose `CKA_ID` is the slot's number.

mod objects;
mod token;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    slot::{Slot as ModuleSlot, TokenInfo},
};

use self::token::ModuleToken;
use super::{Kind, Reader, ReaderState, Token, TokenDriver, TokenError, TokenIdentity};

/// The tokens that a module shows. It is loaded when it is first asked.
pub(crate) struct Module {
    path: PathBuf,
    loaded: OnceLock<Pkcs11>,
}

impl Module {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), loaded: OnceLock::new() }
    }

    fn load(&self) -> Result<&Pkcs11, TokenError> {
        if let Some(pkcs11) = self.loaded.get() {
            return Ok(pkcs11);
        }
        let fail = |source| TokenError::ModuleUnusable { path: self.path.clone(), source };
        let pkcs11 = Pkcs11::new(&self.path).map_err(fail)?;
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(fail)?;
        Ok(self.loaded.get_or_init(|| pkcs11))
    }

    /// The slots with a token that was initialized.
    fn tokens(&self) -> Result<Vec<(ModuleSlot, TokenIdentity)>, TokenError> {
        let pkcs11 = self.load()?;
        let fail = |error| TokenError::from_module(error, "list the tokens");
        let mut tokens = Vec::new();
        for slot in pkcs11.get_slots_with_token().map_err(fail)? {
            let info = pkcs11.get_token_info(slot).map_err(fail)?;
            if info.token_initialized()
                && let Some(serial) = serial_of(&info)
            {
                let reader = format!("PKCS#11: {}", info.label().trim());
                let identity = TokenIdentity { kind: Kind::Pkcs11, serial, firmware: None, reader };
                tokens.push((slot, identity));
            }
        }
        Ok(tokens)
    }
}

impl TokenDriver for Module {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        let reader = |(_, identity): (ModuleSlot, TokenIdentity)| Reader {
            name: identity.reader.clone(),
            state: ReaderState::Token(identity),
        };
        Ok(self.tokens()?.into_iter().map(reader).collect())
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        let found = self.tokens()?.into_iter().find(|(_, identity)| identity.serial == serial);
        let (slot, identity) = found.ok_or_else(|| TokenError::NotConnected { serial: serial.to_owned() })?;
        Ok(Box::new(ModuleToken::open(self.load()?, slot, identity)?))
    }
}

/// `maker:serial`: two makers may number alike. `None` for a token without a number.
fn serial_of(info: &TokenInfo) -> Option<String> {
    serial(info.manufacturer_id(), info.serial_number())
}

fn serial(maker: &str, number: &str) -> Option<String> {
    let words: Vec<String> = maker
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let number: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
    // A serial number of the CA's API doesn't begin with a zero.
    let maker = match words.join("-") {
        empty if empty.is_empty() => "unknown".to_owned(),
        maker if maker.starts_with('0') => format!("maker-{maker}"),
        maker => maker,
    };
    (!number.is_empty()).then(|| format!("{maker}:{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_name_the_maker_and_suit_the_api() {
        assert_eq!(serial("SoftHSM project ", "00a1b2c3"), Some("softhsm-project:00a1b2c3".to_owned()));
        assert_eq!(serial("", "17"), Some("unknown:17".to_owned()));
        assert_eq!(serial("007", "17"), Some("maker-007:17".to_owned()));
        assert_eq!(serial("Maker", "    "), None);
        let longest = serial(&"m".repeat(32), &"9".repeat(16)).expect("a serial");
        assert!(longest.len() <= 64, "{longest}");
    }
}
