//! Why an enrolment didn't come to its end. The words for people stand in `messages`.

use agent_tpm::{Health, Place as TpmPlace, ShelfError, TpmError};

use super::record::RecordError;
use crate::{
    certificate::Rejection,
    secret::{SecretError, WeakPin},
    server::{ServerError, Version},
    token::{Firmware, KeyAlgorithm, Slot, TokenError},
    unblock::UnblockError,
};

/// A failure, and whether running again takes the enrolment up where it stopped.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: EnrolError,
    pub(crate) resumable: bool,
}

impl<E: Into<EnrolError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), resumable: false }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Tpm(#[from] TpmError),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Unblock(UnblockError),
    #[error("this agent is too old, the server asks for {lowest}")]
    AgentTooOld { lowest: Version, download: String },
    #[error("the server's versions can't be read")]
    VersionsMalformed,
    #[error("firmware {0} is too old")]
    FirmwareTooOld(Firmware),
    #[error("the server doesn't permit slot {slot}, only {permitted}")]
    SlotNotPermitted { slot: String, permitted: String },
    #[error("the server's rules for the key name no algorithm for a {model}: {permitted}")]
    NoAlgorithm { model: String, permitted: String },
    #[error("the server's rules for the key can't be read: {0}")]
    RulesMalformed(String),
    #[error("{algorithm} is not for a {model} or not permitted")]
    AlgorithmNotPermitted { algorithm: KeyAlgorithm, model: String },
    #[error("the certificate that is to be renewed can't be read")]
    PredecessorUnreadable,
    #[error("the key of the certificate that is to be renewed is not on the token, beside its certificate")]
    PredecessorGone,
    #[error("no permitted slot but {slot}, which holds the certificate that is to be renewed")]
    NoOtherSlot { slot: Slot },
    #[error("slot {slot} is occupied")]
    Occupied { slot: Slot },
    #[error("the interrupted enrolment uses slot {0}")]
    OtherSlotUnderWay(Slot),
    #[error("the key of the interrupted enrolment is no longer in slot {0}")]
    KeyGone(Slot),
    #[error("the token gives no attestation for its new key")]
    NotAttested,
    #[error("the new PIN is not acceptable")]
    WeakPin(#[source] WeakPin),
    #[error("the token's signature is wrong")]
    SignatureWrong,
    #[error("the certification request can't be encoded")]
    Encoding(#[source] der::Error),
    #[error("the issued certificate is not accepted")]
    Rejected(#[from] Rejection),
    #[error("what was read back from slot {0} is not what was written")]
    ReadBack(Slot),
    #[error("the certificate's file is not what was written")]
    NotKept,
    #[error("the TPM has several keys")]
    WhichTpmKey { places: Vec<TpmPlace> },
    #[error("the TPM no longer has the key: {0:?}")]
    TpmKeyLost(Health),
    #[error("the TPM has no such key")]
    NoTpmKey,
    #[error("the token stays as it is")]
    KeptToken,
    #[error("the key in the TPM stays")]
    KeptTpmKey,
}

impl EnrolError {
    /// Whether the token or the connection was lost, so that running again is all there is to do.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::Token(error) => error.is_absence(),
            Self::Tpm(error) => {
                matches!(error, TpmError::Absent { .. } | TpmError::Busy { .. } | TpmError::MemoryTaken)
            }
            Self::Server(ServerError::Refused(_)) => false,
            Self::Server(_) => true,
            _ => false,
        }
    }
}
