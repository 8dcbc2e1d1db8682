//! Why a token didn't do what was asked. The words for people stand in `messages`.

use std::path::PathBuf;

use super::Slot;

/// A failure at the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the smart-card service doesn't answer")]
    NoService(#[source] pcsc::Error),
    #[error("no token is connected")]
    NoToken,
    #[error("the token {serial} is not connected")]
    NotConnected { serial: String },
    #[error("the administrator's policy doesn't permit this kind of token ({kind})")]
    NotPermitted { kind: &'static str },
    #[error("several tokens are connected: {}", serials.join(", "))]
    Several { serials: Vec<String> },
    #[error("another program holds the token")]
    Busy,
    #[error("the token was removed")]
    Removed,
    #[error("another program reset the token")]
    Reset,
    #[error("the PIN is wrong, {tries_left} tries left")]
    PinWrong { tries_left: u8 },
    #[error("the PIN is blocked")]
    PinBlocked,
    #[error("the token refuses the new PIN")]
    PinRefused,
    #[error("the management key is neither the factory's nor kept on the token")]
    ManagementKeyUnknown,
    #[error("the object for printed information holds something else than the management key")]
    PrintedObjectTaken,
    #[error("the token doesn't support {0}")]
    Unsupported(&'static str),
    #[error("the certificate is too large for slot {slot}: {octets} octets")]
    TooLarge { slot: Slot, octets: usize },
    #[error("the token's answer to {0} is malformed")]
    Malformed(&'static str),
    #[error("the token failed to {action}")]
    Failed {
        action: &'static str,
        #[source]
        source: yubikey::Error,
    },
    #[error("the token refused to {action} with status {status:04x}")]
    Status { action: &'static str, status: u16 },
    #[error("the PKCS#11 module {} can't be used", path.display())]
    ModuleUnusable {
        path: PathBuf,
        #[source]
        source: cryptoki::error::Error,
    },
    #[error("the token's module failed to {action}")]
    Module {
        action: &'static str,
        #[source]
        source: cryptoki::error::Error,
    },
    #[error("the token would let its new key out")]
    KeyNotKept,
}

impl TokenError {
    /// What PC/SC says, where it matters to people.
    pub(crate) fn from_pcsc(error: pcsc::Error, action: &'static str) -> Self {
        use pcsc::Error as Pcsc;
        match error {
            Pcsc::NoService | Pcsc::ServiceStopped | Pcsc::ServerTooBusy => Self::NoService(error),
            Pcsc::SharingViolation => Self::Busy,
            Pcsc::NoSmartcard
            | Pcsc::RemovedCard
            | Pcsc::ReaderUnavailable
            | Pcsc::UnknownReader
            | Pcsc::NoReadersAvailable
            | Pcsc::UnpoweredCard
            | Pcsc::InvalidHandle
            | Pcsc::CommError
            | Pcsc::NotTransacted => Self::Removed,
            Pcsc::ResetCard => Self::Reset,
            other => Self::Failed { action, source: yubikey::Error::PcscError { inner: Some(other) } },
        }
    }

    /// What the `yubikey` crate says.
    pub(crate) fn from_yubikey(error: yubikey::Error, action: &'static str) -> Self {
        match error {
            yubikey::Error::PcscError { inner: Some(pcsc) } => Self::from_pcsc(pcsc, action),
            yubikey::Error::WrongPin { tries: 0 } | yubikey::Error::PinLocked => Self::PinBlocked,
            yubikey::Error::WrongPin { tries } => Self::PinWrong { tries_left: tries },
            source => Self::Failed { action, source },
        }
    }

    /// What a PKCS#11 module says, where it matters to people.
    pub(crate) fn from_module(error: cryptoki::error::Error, action: &'static str) -> Self {
        use cryptoki::error::{Error, RvError};
        match error {
            Error::Pkcs11(RvError::DeviceRemoved | RvError::TokenNotPresent, _) => Self::Removed,
            Error::Pkcs11(RvError::PinLocked, _) => Self::PinBlocked,
            source => Self::Module { action, source },
        }
    }

    /// The status of a command that carried a PIN or PUK (NIST SP 800-73-4, part 2, 3.2).
    pub(crate) fn of_pin(status: u16, action: &'static str) -> Result<(), Self> {
        match status {
            0x9000 => Ok(()),
            0x6983 | 0x63c0 => Err(Self::PinBlocked),
            0x63c1..=0x63cf => Err(Self::PinWrong { tries_left: (status & 0xf) as u8 }),
            // The new value breaks a rule of the token, such as the PIN complexity of firmware 5.7.
            0x6985 | 0x6a80 => Err(Self::PinRefused),
            status => Err(Self::Status { action, status }),
        }
    }

    /// Whether the token is gone, or not the one it was a moment ago.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoService(_) | Self::NoToken | Self::NotConnected { .. } | Self::Removed | Self::Reset
        )
    }

    pub(crate) fn is_about_the_pin(&self) -> bool {
        matches!(self, Self::PinWrong { .. } | Self::PinBlocked | Self::PinRefused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_tell_the_tries() {
        assert!(TokenError::of_pin(0x9000, "x").is_ok());
        assert!(matches!(TokenError::of_pin(0x63c2, "x"), Err(TokenError::PinWrong { tries_left: 2 })));
        assert!(matches!(TokenError::of_pin(0x63c0, "x"), Err(TokenError::PinBlocked)));
        assert!(matches!(TokenError::of_pin(0x6983, "x"), Err(TokenError::PinBlocked)));
        assert!(matches!(TokenError::of_pin(0x6985, "x"), Err(TokenError::PinRefused)));
        assert!(matches!(TokenError::of_pin(0x6f00, "x"), Err(TokenError::Status { status: 0x6f00, .. })));
    }
}
