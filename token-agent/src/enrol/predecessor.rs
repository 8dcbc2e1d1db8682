//! The certificate that a renewal renews: which it is, which slot its key is in, and that key's word for the new one.

use ca_wire::enrolment::renewal_message;
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;

use super::EnrolError;
use crate::token::{KeyAlgorithm, KeyPresence, Slot, Token};

/// A certificate that is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Predecessor {
    /// As the CA's API names it.
    pub(crate) serial: String,
    /// DER.
    pub(crate) certificate: Vec<u8>,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) public_key: SubjectPublicKeyInfoOwned,
    /// DER of the same.
    pub(crate) spki: Vec<u8>,
}

impl Predecessor {
    /// Reads a certificate as it stands on a token.
    ///
    /// # Errors
    /// [`EnrolError::PredecessorUnreadable`] when it isn't one, or its key of a kind that the agent doesn't use.
    pub(crate) fn read(certificate: &[u8]) -> Result<Self, EnrolError> {
        let unreadable = || EnrolError::PredecessorUnreadable;
        let parsed = Certificate::from_der(certificate).map_err(|_| unreadable())?;
        let tbs = parsed.tbs_certificate();
        let public_key = tbs.subject_public_key_info().clone();
        Ok(Self {
            serial: hex::encode(tbs.serial_number().as_bytes()),
            certificate: certificate.to_vec(),
            algorithm: KeyAlgorithm::of_public_key(&public_key).ok_or_else(unreadable)?,
            spki: public_key.to_der().map_err(|_| unreadable())?,
            public_key,
        })
    }

    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }

    /// The slot that its key is in, beside the certificate. Where a card can't say of a key which it is, the certificate
    /// is believed; the signature shows it.
    pub(crate) fn locate(&self, token: &mut dyn Token) -> Result<Option<Slot>, EnrolError> {
        let mut believed = None;
        for slot in Slot::all() {
            if token.certificate(slot)?.as_ref() != Some(&self.certificate) {
                continue;
            }
            match token.attest(slot)? {
                Some(attestation) => {
                    if attestation.public_key().map_err(EnrolError::Encoding)? == self.spki {
                        return Ok(Some(slot));
                    }
                }
                None => match token.slot(slot)?.key {
                    KeyPresence::Absent | KeyPresence::Destroyed => {}
                    KeyPresence::Present { .. } | KeyPresence::Unknown => {
                        believed.get_or_insert(slot);
                    }
                },
            }
        }
        Ok(believed)
    }

    /// What its key signs.
    pub(super) fn message(challenge: &[u8], new_spki: &[u8]) -> Vec<u8> {
        renewal_message(challenge, new_spki)
    }

    /// Holds a signature against its key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), EnrolError> {
        ca_x509::verify::verify(&self.public_key, self.algorithm.signature(), message, signature)
            .map_err(|_| EnrolError::PredecessorGone)
    }
}
