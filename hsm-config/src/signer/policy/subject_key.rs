//! The key that a certificate is for: of a known kind, strong enough, well formed, and not one of the CA's own.

use ca_x509::key::{KeyKind, RsaPublicKey, on_curve};
use const_oid::db::rfc5912::RSA_ENCRYPTION;
use der::{Decode, Encode};
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::refuse;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

pub(super) fn judge(key: &SubjectPublicKeyInfoOwned) -> Result<(), Refusal> {
    let outside = |detail: String| Refusal { code: RefusalCode::OutsideProfile, detail };
    let kind = KeyKind::of(key).map_err(|error| outside(error.to_string()))?;
    match kind {
        KeyKind::P256 | KeyKind::P384 => match on_curve(key) {
            Ok(true) => Ok(()),
            _ => refuse(RefusalCode::OutsideProfile, "the subject's key is not a point of its curve"),
        },
        KeyKind::Rsa { bits } => rsa(key, bits),
    }
}

fn rsa(key: &SubjectPublicKeyInfoOwned, bits: usize) -> Result<(), Refusal> {
    if !RSA_BITS.contains(&bits) {
        return refuse(
            RefusalCode::OutsideProfile,
            format!("an RSA key of {bits} bits: {} to {} are allowed", RSA_BITS.start(), RSA_BITS.end()),
        );
    }
    let parameters_are_null = key.algorithm.parameters.as_ref().is_some_and(der::Any::is_null);
    if key.algorithm.oid != RSA_ENCRYPTION || !parameters_are_null {
        return refuse(
            RefusalCode::Malformed,
            "an RSA key's algorithm has NULL parameters (RFC 3279, 2.3.1)",
        );
    }
    let octets = key.subject_public_key.raw_bytes();
    let rsa = match RsaPublicKey::from_der(octets) {
        Ok(rsa) if rsa.to_der().is_ok_and(|again| again == octets) => rsa,
        _ => return refuse(RefusalCode::Malformed, "the RSA key is not encoded in strict DER"),
    };
    if rsa.public_exponent.as_bytes() != RSA_EXPONENT {
        return refuse(RefusalCode::OutsideProfile, "an RSA key's exponent must be 65537");
    }
    match rsa.modulus.as_bytes().last() {
        Some(last) if last & 1 == 1 => Ok(()),
        _ => refuse(RefusalCode::OutsideProfile, "an RSA key's modulus must be odd"),
    }
}
