//! Why a TPM didn't do what was asked.

use std::{error::Error, io};

use crate::Place;

type Cause = Box<dyn Error + Send + Sync>;

/// A hierarchy of the TPM that may have a password of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Of keys for storage.
    Owner,
    /// Of the TPM's identity.
    Endorsement,
}

/// A failure at the TPM.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// This system's TPM can't be used.
    #[error("the TPM of this system can't be used ({0})")]
    Unsupported(String),
    /// There is none.
    #[error("there is no TPM at {address}")]
    Absent {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// This user may not use it.
    #[error("no permission for {address}")]
    NotPermitted {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another program has it, and there is no resource manager.
    #[error("another program holds the TPM at {address}")]
    Busy {
        /// Which.
        address: String,
    },
    /// The PIN isn't the key's.
    #[error("the PIN is wrong, {tries_left} tries left")]
    PinWrong {
        /// Before the TPM locks itself against guessing.
        tries_left: u32,
    },
    /// Too many wrong PINs or passwords, of whatever key: the TPM waits.
    #[error("the TPM is locked against guessing; a try comes back every {seconds} seconds")]
    Locked {
        /// Until the next try.
        seconds: u32,
    },
    /// An administrator gave the hierarchy a password.
    #[error("the TPM's {0:?} hierarchy has a password")]
    HierarchyLocked(Hierarchy),
    /// No persistent object more fits in.
    #[error("the TPM has no room for another key")]
    NoRoom,
    /// Its few places for objects in use are taken by others.
    #[error("other programs occupy the TPM's memory")]
    MemoryTaken,
    /// Every place has a key.
    #[error("every place for a key is taken")]
    NoPlace,
    /// A place has a key already.
    #[error("place {0} has a key already")]
    PlaceTaken(Place),
    /// A standard handle holds something else.
    #[error("handle {0:#010x} holds another object than it should")]
    ForeignObject(u32),
    /// No such key.
    #[error("the key at place {0} is gone")]
    KeyGone(Place),
    /// The credential was made for another TPM or attestation key.
    #[error("the challenge was not made for this TPM")]
    OtherCredential,
    /// It doesn't do that.
    #[error("the TPM doesn't support {0}")]
    NotCapable(&'static str),
    /// It said something that can't be.
    #[error("the TPM's answer to {0} is malformed")]
    Malformed(&'static str),
    /// Anything else.
    #[error("the TPM failed to {action}")]
    Failed {
        /// What was asked.
        action: &'static str,
        /// What it said.
        #[source]
        source: Cause,
    },
}

impl TpmError {
    /// Whether it is about the PIN.
    pub fn is_about_the_pin(&self) -> bool {
        matches!(self, Self::PinWrong { .. } | Self::Locked { .. })
    }
}
