//! Users' keys in this machine's TPM 2.0: what `inro-agent` and its PKCS#11 module ask of it.
//!
//! A TPM knows no users and no slots. A user's key is a persistent object at a [`Place`]; its PIN is the key's
//! authorization value, guarded by the TPM's own dictionary-attack protection. The certificate, which is public, lies in
//! a file of the user ([`Shelf`]).
//!
//! Invariants: nothing transient outlives a call, so a TPM without resource manager is never filled up; a PIN crosses
//! the bus only encrypted or as an HMAC, in sessions salted with the endorsement key; a key whose PIN changes is there
//! at every moment.

mod address;
#[cfg(any(target_os = "linux", windows))]
mod ecdsa;
mod error;
#[cfg(any(windows, test))]
mod platform;
mod shelf;
#[cfg(target_os = "linux")]
mod spki;
#[cfg(target_os = "linux")]
mod tss;
mod types;

use zeroize::Zeroizing;

pub use address::{Address, BadAddress};
pub use error::{Hierarchy, TpmError};
pub use shelf::{Entry, Health, Shelf, ShelfError};
pub use types::{Algorithm, Certification, Identity, Key, Lockout, Place, Scheme};

/// A TPM that was reached.
pub trait Tpm {
    /// Which TPM it is. Its endorsement key is made where it doesn't exist; that takes seconds, once in its life.
    ///
    /// # Errors
    /// [`TpmError`].
    fn identity(&mut self) -> Result<Identity, TpmError>;

    /// The attestation key's public area (`TPMT_PUBLIC`). The key is a primary object of the endorsement hierarchy: the TPM
    /// derives the same one each time, so it takes no room.
    ///
    /// # Errors
    /// [`TpmError`].
    fn attestation_key(&mut self) -> Result<Vec<u8>, TpmError>;

    /// `TPM2_ActivateCredential` (Part 3, 12.5): the secret that was made for this endorsement and attestation key.
    ///
    /// # Errors
    /// [`TpmError::OtherCredential`] when it was made for another.
    fn activate(&mut self, blob: &[u8], secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError>;

    /// The users' keys, by place. Needs no PIN.
    ///
    /// # Errors
    /// [`TpmError`].
    fn keys(&mut self) -> Result<Vec<Key>, TpmError>;

    /// Generates a key at a free place, with this PIN.
    ///
    /// # Errors
    /// [`TpmError::NoRoom`] among others.
    fn generate(&mut self, place: Place, algorithm: Algorithm, pin: &[u8]) -> Result<Key, TpmError>;

    /// `TPM2_Certify` (Part 3, 18.2) of the key by the attestation key.
    ///
    /// # Errors
    /// [`TpmError::PinWrong`] and [`TpmError::Locked`] among others.
    fn certify(&mut self, key: &Key, pin: &[u8], qualifying: &[u8; 32]) -> Result<Certification, TpmError>;

    /// Signs a digest: DER `ECDSA-Sig-Value`, or the octets of an RSA signature.
    ///
    /// # Errors
    /// [`TpmError::PinWrong`] and [`TpmError::Locked`] among others.
    fn sign(&mut self, key: &Key, pin: &[u8], scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, TpmError>;

    /// Whether the PIN is the key's. A wrong one costs a try.
    ///
    /// # Errors
    /// [`TpmError::PinWrong`] and [`TpmError::Locked`] among others.
    fn verify_pin(&mut self, key: &Key, pin: &[u8]) -> Result<(), TpmError>;

    /// Changes the PIN. Interrupted wherever, the key is there, with the one PIN or the other.
    ///
    /// # Errors
    /// [`TpmError::PinWrong`], [`TpmError::NoRoom`] among others; the PIN is then the old one.
    fn change_pin(&mut self, key: &Key, current: &[u8], new: &[u8]) -> Result<Key, TpmError>;

    /// Destroys the key for ever. Needs no PIN: who may use the TPM may clear away in it.
    ///
    /// # Errors
    /// [`TpmError`].
    fn erase(&mut self, key: &Key) -> Result<(), TpmError>;

    /// The state of the protection against guessing.
    ///
    /// # Errors
    /// [`TpmError`].
    fn lockout(&mut self) -> Result<Lockout, TpmError>;

    /// The Name of the storage key that users' keys stand under. It changes when the TPM is cleared.
    ///
    /// # Errors
    /// [`TpmError`].
    fn storage_name(&mut self) -> Result<Vec<u8>, TpmError>;

    /// Shows the key's certificate to the system's browsers, where the system has a place for that: Windows' store of the
    /// user's certificates, from which [`Self::erase`] takes it away again. On Linux each browser has its own.
    ///
    /// # Errors
    /// [`TpmError::Failed`].
    fn publish(&mut self, _key: &Key, _certificate: &[u8]) -> Result<(), TpmError> {
        Ok(())
    }
}

/// Reaches the TPM at this address.
///
/// # Errors
/// [`TpmError::Absent`], [`TpmError::NotPermitted`], [`TpmError::Busy`]; [`TpmError::Unsupported`] on systems whose TPM
/// this crate can't use.
pub fn connect(address: &Address) -> Result<Box<dyn Tpm>, TpmError> {
    match address {
        #[cfg(target_os = "linux")]
        Address::Device(_) | Address::Tcti(_) => Ok(Box::new(tss::TssTpm::connect(address)?)),
        #[cfg(windows)]
        Address::Platform => Ok(Box::new(platform::PlatformTpm::open(address.to_string())?)),
        other => Err(TpmError::Unsupported(other.to_string())),
    }
}
