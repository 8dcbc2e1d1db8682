//! What can go wrong outside of the card's own protocol: making it, storing it, certifying for it.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A virtual YubiKey couldn't be made, loaded, stored or certified.
#[derive(Debug, Error)]
pub enum CardError {
    /// The generator failed.
    #[error("no private key could be generated")]
    KeyGeneration,
    /// A key in the state or on disk isn't one.
    #[error("a stored private key can't be read or written as PKCS#8")]
    StoredKey,
    /// A public key couldn't be encoded or decoded.
    #[error("a public key can't be encoded")]
    PublicKey(#[from] x509_cert::spki::Error),
    /// A certificate couldn't be encoded or decoded.
    #[error("a certificate can't be encoded or decoded")]
    Encoding(#[from] x509_cert::der::Error),
    /// A certificate couldn't be built.
    #[error("a certificate can't be built")]
    Certificate(#[from] x509_cert::builder::Error),
    /// A file couldn't be read or written.
    #[error("{} can't be read or written", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state file isn't one.
    #[error("{} is not the state of a virtual YubiKey", path.display())]
    State {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The state file belongs to another device.
    #[error("{} holds the state of YubiKey {found}, not of {expected}", path.display())]
    OtherDevice {
        /// Which file.
        path: PathBuf,
        /// The serial in it.
        found: u32,
        /// The serial of the profile.
        expected: u32,
    },
}

impl CardError {
    /// Wraps an I/O error with the path it happened on.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
