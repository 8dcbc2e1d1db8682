//! A TPM's public keys in the encoding of X.509.

use ca_x509::key::RsaPublicKey;
use const_oid::db::{rfc5912::ID_EC_PUBLIC_KEY, rfc5912::RSA_ENCRYPTION, rfc5912::SECP_256_R_1};
use der::{
    Any, Encode,
    asn1::{BitString, Null, UintRef},
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::ecdsa::padded;

/// The exponent that a TPM writes as 0 (Part 2, 12.2.3.5).
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Of a point on P-256. TPMs leave leading zeros away.
pub(crate) fn of_p256(x: &[u8], y: &[u8]) -> der::Result<Vec<u8>> {
    let point = [&[4], &padded(x)[..], &padded(y)[..]].concat();
    info(ID_EC_PUBLIC_KEY, Any::from(SECP_256_R_1), &point)
}

/// Of a modulus, with the exponent 65537.
pub(crate) fn of_rsa(modulus: &[u8]) -> der::Result<Vec<u8>> {
    let key = RsaPublicKey { modulus: UintRef::new(modulus)?, public_exponent: UintRef::new(&EXPONENT)? };
    info(RSA_ENCRYPTION, Any::from(Null), &key.to_der()?)
}

fn info(oid: const_oid::ObjectIdentifier, parameters: Any, key: &[u8]) -> der::Result<Vec<u8>> {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters: Some(parameters) },
        subject_public_key: BitString::from_bytes(key)?,
    }
    .to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_coordinates_are_padded() {
        let short = of_p256(&[1; 31], &[2; 32]).expect("DER");
        let long = of_p256(&[&[0][..], &[1; 31]].concat(), &[2; 32]).expect("DER");
        assert_eq!(short, long);
        assert_eq!(short.len(), 91);
    }
}
