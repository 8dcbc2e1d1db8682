//! The person at the machine: what they are asked, and what they are told while the card works.

use agent_tpm::Place as TpmPlace;
use jiff::Timestamp;

use super::EnrolError;
use crate::{
    certificate::CertificateDetails,
    secret::{Pin, Secret, SecretError},
    token::{KeyAlgorithm, ManagementKeyOrigin, Slot, TokenIdentity},
};

/// The one who is asked.
pub(crate) trait Person {
    /// ログインパスワード.
    fn password(&mut self) -> Result<Secret, SecretError>;

    /// The acquisition code, where there is one.
    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError>;

    /// The token's PIN; after a wrong one with the tries that are left, and `None` when it can't be asked again.
    fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError>;

    /// The PIN of what is to be erased, so that the bank can be told; `None` when nobody knows it.
    fn pin_if_known(&mut self, _wrong: Option<u8>) -> Result<Option<Pin>, EnrolError> {
        Ok(None)
    }

    /// A new PIN, typed twice until it is acceptable, or [`EnrolError::WeakPin`] when it can't be asked again.
    fn new_pin(&mut self) -> Result<Pin, EnrolError>;

    /// Yes or no; no, when nobody can be asked.
    fn agrees(&mut self, question: &Question) -> bool;

    /// Says what is going on.
    fn tell(&mut self, step: Step);
}

/// What a person must agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A slot that holds a key or a certificate would be overwritten.
    Overwrite { slot: Slot, certificate: Option<Box<CertificateDetails>> },
    /// Key and certificate of a slot would be erased.
    Erase { token: TokenIdentity, slot: Slot, certificate: Option<Box<CertificateDetails>> },
    /// A whole token would be put back to what it was in the factory.
    EraseAll { token: TokenIdentity, certificates: Vec<CertificateDetails> },
    /// A key in the TPM and its certificate would be erased.
    EraseTpmKey { serial: String, place: TpmPlace, certificate: Option<Box<CertificateDetails>> },
}

#[cfg(feature = "window")]
impl Question {
    /// The end of the serial number of the device whose content nothing brings back. Whoever agrees at the window types
    /// it, so that nobody clears another device than the one that they mean.
    pub(crate) fn to_be_typed(&self) -> Option<&str> {
        let serial = match self {
            Self::EraseAll { token, .. } => &token.serial,
            Self::EraseTpmKey { serial, .. } => serial,
            Self::Overwrite { .. } | Self::Erase { .. } => return None,
        };
        let start = serial.char_indices().rev().nth(3).map_or(0, |(start, _)| start);
        Some(&serial[start..])
    }
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    CheckingVersion,
    NewerAgent {
        newest: String,
        download: String,
    },
    ClockDiffers {
        server_time: Timestamp,
    },
    Resuming,
    /// The bank has taken back what was begun.
    BeginningAnew,
    Authenticating,
    FactoryPin,
    PinReplaced,
    ReplacingManagementKey,
    PukForgotten,
    ManagementKeyKept(ManagementKeyOrigin),
    GeneratingKey {
        slot: Slot,
        algorithm: KeyAlgorithm,
    },
    KeyFound {
        slot: Slot,
    },
    Attesting,
    Signing,
    Touch,
    Requesting,
    Writing {
        slot: Slot,
    },
    Confirming,
    Erasing {
        slot: Slot,
    },
    /// The key signs that it is about to be erased.
    SigningErasure,
    Resetting,
    /// By the key of the certificate that is renewed.
    SigningRenewal,
    /// Key and certificate change their slot.
    Moving {
        from: Slot,
        to: Slot,
    },
    /// A certificate that was renewed goes, with its key, from here.
    Retiring {
        slot: Slot,
    },
    /// The bank keeps the PUK.
    PukKept,
    /// Somebody has to approve the request with this number.
    WaitingForApproval {
        number: String,
        branch_only: bool,
    },
    /// The PUK is there.
    Unblocking,
    ReplacingPuk,
    ChoosePin,
    GeneratingTpmKey {
        algorithm: KeyAlgorithm,
    },
    TpmKeyFound {
        place: TpmPlace,
    },
    KeepingCertificate,
    ErasingTpmKey {
        place: TpmPlace,
    },
}
