//! Why a token didn't do what was asked. The words for people stand in `messages`.

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
