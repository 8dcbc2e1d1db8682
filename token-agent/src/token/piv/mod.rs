//! PIV cards of any maker but Yubico, through PC/SC and NIST SP 800-73-4. Nothing vouches for where their keys were
//! made: the authority is told so, and certifies such keys only where its policy says that the word is enough.

mod application;
mod connection;
mod management;
mod token;

use std::ffi::CStr;

use self::{application::Application, connection::Connection, token::PivCard};
use super::{Kind, Reader, ReaderState, Token, TokenDriver, TokenError, TokenIdentity};

/// The PIV cards at this machine's PC/SC readers.
pub(crate) struct PivCards;

impl TokenDriver for PivCards {
    fn readers(&self) -> Result<Vec<Reader>, TokenError> {
        let Some((context, names)) = connected()? else { return Ok(Vec::new()) };
        let look = |name: &CStr| {
            let state = match open(&context, name) {
                // Only looked at: nobody else's session on it shall end for that.
                Ok(Some((identity, _))) => ReaderState::Token(identity),
                Ok(None) => ReaderState::Foreign,
                Err(state) => state,
            };
            Reader { name: name.to_string_lossy().into_owned(), state }
        };
        Ok(names.iter().map(|name| look(name)).collect())
    }

    fn open(&self, serial: &str) -> Result<Box<dyn Token>, TokenError> {
        let absent = || TokenError::NotConnected { serial: serial.to_owned() };
        let (context, names) = connected()?.ok_or_else(absent)?;
        for name in &names {
            if let Ok(Some((identity, application))) = open(&context, name)
                && identity.serial == serial
            {
                return Ok(Box::new(PivCard::new(identity, application)));
            }
        }
        Err(absent())
    }
}

/// PC/SC with the names of its readers; `None` where there is none.
fn connected() -> Result<Option<(pcsc::Context, Vec<std::ffi::CString>)>, TokenError> {
    let fail = |error| TokenError::from_pcsc(error, "list the readers");
    let context = match pcsc::Context::establish(pcsc::Scope::User) {
        Err(pcsc::Error::NoReadersAvailable) => return Ok(None),
        other => other.map_err(fail)?,
    };
    match context.list_readers_owned() {
        Err(pcsc::Error::NoReadersAvailable) => Ok(None),
        names => Ok(Some((context, names.map_err(fail)?))),
    }
}

/// A card with the PIV application and an identity; `None` for any other card.
fn open(context: &pcsc::Context, name: &CStr) -> Result<Option<(TokenIdentity, Application)>, ReaderState> {
    use pcsc::Error as Pcsc;
    let connection = Connection::connect(context, name).map_err(|error| match error {
        Pcsc::NoSmartcard | Pcsc::RemovedCard | Pcsc::ReaderUnavailable => ReaderState::Empty,
        Pcsc::SharingViolation => ReaderState::Busy,
        Pcsc::ProtoMismatch | Pcsc::UnsupportedCard => ReaderState::Foreign,
        _ => ReaderState::Mute,
    })?;
    let Some(mut application) = Application::select(connection).map_err(|_| ReaderState::Mute)? else {
        return Ok(None);
    };
    // Without a GUID nothing tells it from other cards.
    let Some(guid) = application.guid().map_err(|_| ReaderState::Mute)? else { return Ok(None) };
    let identity = TokenIdentity {
        kind: Kind::Piv,
        serial: format!("guid:{}", hex::encode(guid)),
        firmware: None,
        reader: name.to_string_lossy().into_owned(),
    };
    Ok(Some((identity, application)))
}
