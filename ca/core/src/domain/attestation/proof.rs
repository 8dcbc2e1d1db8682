//! That evidence, request and enrolment belong together: the same key, which answered this enrolment's challenge, on
//! the claimed device.

use ca_x509::{SignatureAlgorithm, verify::verify};

use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{Claim, Refusal};
use crate::domain::device::Device;

/// Begins the message that the token's key signs. The wire's constant of the same name is equal.
pub const CHALLENGE_PREFIX: &[u8] = b"inro-enrolment-challenge-v1\0";

/// The message that the token's key signs: [`CHALLENGE_PREFIX`], the challenge and the DER of the key's
/// `SubjectPublicKeyInfo`, one after the other. It is signed as any message is, with SHA-256 (P-384: SHA-384) over
/// exactly these octets, once: no digest is signed in place of the message.
pub fn challenge_message(challenge: &[u8; 32], spki_der: &[u8]) -> Vec<u8> {
    [CHALLENGE_PREFIX, challenge.as_slice(), spki_der].concat()
}

/// The request's key is the attested one, the challenge is signed by it, and the device is the claimed one.
pub(super) fn same_key_and_device(
    public_key: &SubjectPublicKeyInfoOwned,
    device: &Device,
    claim: &Claim<'_>,
) -> Result<(), Refusal> {
    if public_key != claim.csr.public_key() {
        return Err(Refusal::KeyMismatch);
    }
    answers_challenge(claim)?;
    if device != claim.device {
        return Err(Refusal::WrongDevice { found: device.serial.to_string() });
    }
    Ok(())
}

/// The challenge is signed by the request's key.
pub(super) fn answers_challenge(claim: &Claim<'_>) -> Result<(), Refusal> {
    let message = challenge_message(claim.challenge, claim.csr.public_key_der());
    let algorithm = SignatureAlgorithm::for_key(claim.csr.key_kind());
    verify(claim.csr.public_key(), algorithm, &message, claim.challenge_signature)
        .map_err(|_| Refusal::ChallengeSignature)
}
