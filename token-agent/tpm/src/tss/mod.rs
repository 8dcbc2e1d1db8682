//! A TPM behind tpm2-tss. `connection` reaches it and opens sessions; `endorsement`, `attestation` and `users` each know
//! one kind of key; `templates` says what keys are made from.

mod attestation;
mod connection;
mod endorsement;
mod failure;
mod templates;
mod users;

use tss_esapi::{Context, structures::Public};
use zeroize::Zeroizing;

use crate::{Address, Algorithm, Certification, Identity, Key, Lockout, Place, Scheme, Tpm, TpmError, spki};

/// An open connection.
pub(crate) struct TssTpm {
    context: Context,
    /// The endorsement key's template and public area, once known.
    endorsement: Option<endorsement::Endorsement>,
}

impl TssTpm {
    pub(crate) fn connect(address: &Address) -> Result<Self, TpmError> {
        Ok(Self { context: connection::open(address)?, endorsement: None })
    }
}

impl Tpm for TssTpm {
    fn identity(&mut self) -> Result<Identity, TpmError> {
        self.identify()
    }

    fn attestation_key(&mut self) -> Result<Vec<u8>, TpmError> {
        self.attestation_public()
    }

    fn activate(&mut self, blob: &[u8], secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        self.activate_credential(blob, secret)
    }

    fn keys(&mut self) -> Result<Vec<Key>, TpmError> {
        Ok(self.rings()?.into_iter().filter_map(|(_, ring)| ring.current).collect())
    }

    fn generate(&mut self, place: Place, algorithm: Algorithm, pin: &[u8]) -> Result<Key, TpmError> {
        self.generate_key(place, algorithm, pin)
    }

    fn certify(&mut self, key: &Key, pin: &[u8], qualifying: &[u8; 32]) -> Result<Certification, TpmError> {
        self.certify_key(key, pin, qualifying)
    }

    fn sign(&mut self, key: &Key, pin: &[u8], scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, TpmError> {
        self.sign_digest(key, pin, scheme, digest)
    }

    fn verify_pin(&mut self, key: &Key, pin: &[u8]) -> Result<(), TpmError> {
        self.verify_key_pin(key, pin)
    }

    fn change_pin(&mut self, key: &Key, current: &[u8], new: &[u8]) -> Result<Key, TpmError> {
        self.change_key_pin(key, current, new)
    }

    fn erase(&mut self, key: &Key) -> Result<(), TpmError> {
        self.erase_key(key)
    }

    fn lockout(&mut self) -> Result<Lockout, TpmError> {
        self.lockout_state()
    }

    fn storage_name(&mut self) -> Result<Vec<u8>, TpmError> {
        self.with_storage_key(|_, _, name| Ok(name.value().to_vec()))
    }
}

/// DER of a public area's key.
fn spki_of(public: &Public) -> Result<Vec<u8>, TpmError> {
    match public {
        Public::Ecc { unique, .. } => spki::of_p256(unique.x().value(), unique.y().value()),
        Public::Rsa { unique, .. } => spki::of_rsa(unique.value()),
        _ => return Err(TpmError::Malformed("a question for a public key")),
    }
    .map_err(|_| TpmError::Malformed("a question for a public key"))
}
