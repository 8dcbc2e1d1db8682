//! How signatures are asked for and given in PKCS#11, and what the TPM is asked instead.

use agent_tpm::Scheme;
use cryptoki_sys::{
    CK_MECHANISM_TYPE, CK_RV, CKM_ECDSA, CKM_RSA_PKCS, CKM_RSA_PKCS_PSS, CKR_DATA_INVALID,
    CKR_DATA_LEN_RANGE, CKR_DEVICE_ERROR, CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID,
};
use der::{
    Any, Decode, Sequence,
    asn1::{OctetStringRef, UintRef},
};

use crate::object::KeyType;

/// Octets of a coordinate on P-256.
const COORDINATE: usize = 32;

/// `DigestInfo` (RFC 8017, 9.2).
#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: Any,
    digest: &'a OctetStringRef,
}

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// What a kind of key does.
pub(crate) fn mechanisms(key: KeyType) -> &'static [CK_MECHANISM_TYPE] {
    match key {
        KeyType::Ec => &[CKM_ECDSA],
        KeyType::Rsa => &[CKM_RSA_PKCS, CKM_RSA_PKCS_PSS],
    }
}

/// The TPM's scheme for a mechanism.
pub(crate) fn scheme(mechanism: CK_MECHANISM_TYPE, key: KeyType) -> Result<Scheme, CK_RV> {
    match (mechanism, key) {
        (CKM_ECDSA, KeyType::Ec) => Ok(Scheme::Ecdsa),
        (CKM_RSA_PKCS, KeyType::Rsa) => Ok(Scheme::Pkcs1),
        (CKM_RSA_PKCS_PSS, KeyType::Rsa) => Ok(Scheme::Pss),
        (CKM_ECDSA | CKM_RSA_PKCS | CKM_RSA_PKCS_PSS, _) => Err(CKR_KEY_TYPE_INCONSISTENT),
        _ => Err(CKR_MECHANISM_INVALID),
    }
}

/// The digest in what is to be signed.
pub(crate) fn digest(scheme: Scheme, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let digest = match scheme {
        Scheme::Pkcs1 => DigestInfo::from_der(data).map_err(|_| CKR_DATA_INVALID)?.digest.as_bytes().to_vec(),
        Scheme::Ecdsa | Scheme::Pss => data.to_vec(),
    };
    if matches!(digest.len(), 20 | 32 | 48 | 64) { Ok(digest) } else { Err(CKR_DATA_LEN_RANGE) }
}

/// How many octets a signature has.
pub(crate) fn length(key: KeyType) -> usize {
    match key {
        KeyType::Ec => 2 * COORDINATE,
        KeyType::Rsa => 256,
    }
}

/// The signature in PKCS#11's form.
pub(crate) fn signature(scheme: Scheme, signature: Vec<u8>) -> Result<Vec<u8>, CK_RV> {
    if scheme != Scheme::Ecdsa {
        return Ok(signature);
    }
    let value = EcdsaSigValue::from_der(&signature).map_err(|_| CKR_DEVICE_ERROR)?;
    let mut fixed = vec![0; 2 * COORDINATE];
    for (half, number) in fixed.chunks_mut(COORDINATE).zip([value.r, value.s]) {
        let octets = number.as_bytes();
        let start = COORDINATE.checked_sub(octets.len()).ok_or(CKR_DEVICE_ERROR)?;
        half[start..].copy_from_slice(octets);
    }
    Ok(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_padded_and_digests_unwrapped() {
        let der = ca_x509::ecdsa::der_from_fixed(&[[0, 0, 1].as_slice(), &[2; 29], &[3; 32]].concat());
        let fixed = signature(Scheme::Ecdsa, der.expect("DER")).expect("64 octets");
        assert_eq!((fixed.len(), &fixed[..4]), (64, [0, 0, 1, 2].as_slice()));
        let info = [
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20".as_slice(),
            &[7; 32],
        ];
        assert_eq!(digest(Scheme::Pkcs1, &info.concat()), Ok(vec![7; 32]));
        assert_eq!(digest(Scheme::Ecdsa, &[7; 31]), Err(CKR_DATA_LEN_RANGE));
        assert_eq!(digest(Scheme::Pkcs1, &[7; 36]), Err(CKR_DATA_INVALID));
    }
}
