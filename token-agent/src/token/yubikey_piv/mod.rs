//! YubiKeys through PC/SC, by the `yubikey` crate.
//!
//! The PIN and the PUK never pass through that crate: it keeps a copy of the PIN that nobody wipes and traces every
//! command. They go through [`channel`], a second connection to the same card.

mod channel;
mod management;
mod session;
mod token;

use yubikey::{Serial, YubiKey, reader::Context};

use self::{session::Session, token::PivToken};
use super::{Firmware, Kind, Reader, ReaderState, Token, TokenDriver, TokenError, TokenIdentity};

/// The YubiKeys at this machine's PC/SC readers.
pub(crate) struct YubiKeys;

impl TokenDriver for YubiKeys {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        let none = yubikey::Error::PcscError { inner: Some(pcsc::Error::NoReadersAvailable) };
        let fail = |error| TokenError::from_yubikey(error, "list the readers");
        let mut context = match Context::open() {
            Err(error) if error == none => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        let readers = match context.iter() {
            Err(error) if error == none => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        Ok(readers
            .map(|reader| Reader { name: reader.name().into_owned(), state: state_of(reader.open()) })
            .collect())
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        let absent = || TokenError::NotConnected { serial: serial.to_owned() };
        let number = serial.parse().map_err(|_| absent())?;
        let yubikey = YubiKey::open_by_serial(Serial(number)).map_err(|error| match error {
            yubikey::Error::NotFound
            | yubikey::Error::PcscError { inner: Some(pcsc::Error::NoReadersAvailable) } => absent(),
            other => TokenError::from_yubikey(other, "open the token"),
        })?;
        Ok(Box::new(PivToken::new(Session::new(yubikey)?)))
    }
}

fn state_of(opened: yubikey::Result<YubiKey>) -> ReaderState {
    use pcsc::Error as Pcsc;
    match opened {
        Ok(yubikey) => {
            let identity = identity_of(&yubikey);
            // Only looked at: nobody else's session on it shall end for that.
            let _ = yubikey.disconnect(pcsc::Disposition::LeaveCard);
            ReaderState::Token(identity)
        }
        Err(yubikey::Error::PcscError { inner: Some(error) }) => match error {
            Pcsc::NoSmartcard | Pcsc::RemovedCard | Pcsc::ReaderUnavailable => ReaderState::Empty,
            Pcsc::SharingViolation => ReaderState::Busy,
            Pcsc::ProtoMismatch | Pcsc::UnsupportedCard => ReaderState::Foreign,
            _ => ReaderState::Mute,
        },
        Err(_) => ReaderState::Foreign,
    }
}

fn firmware_of(yubikey: &YubiKey) -> Firmware {
    let version = yubikey.version();
    Firmware::new(version.major, version.minor, version.patch)
}

fn identity_of(yubikey: &YubiKey) -> TokenIdentity {
    TokenIdentity {
        kind: Kind::YubiKeyPiv,
        serial: yubikey.serial().to_string(),
        firmware: Some(firmware_of(yubikey)),
        reader: yubikey.name().to_owned(),
    }
}
