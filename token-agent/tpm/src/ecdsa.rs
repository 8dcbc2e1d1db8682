//! Numbers of ECDSA on P-256 as TPMs give them, without leading zeros, in the encoding of X.509.

const NUMBER: usize = 32;

/// `ECDSA-Sig-Value`.
pub(crate) fn signature(r: &[u8], s: &[u8]) -> der::Result<Vec<u8>> {
    ca_x509::ecdsa::der_from_fixed(&[padded(r), padded(s)].concat())
}

/// A number in all its octets.
pub(crate) fn padded(number: &[u8]) -> [u8; NUMBER] {
    let mut all = [0; NUMBER];
    let kept = number.len().min(NUMBER);
    all[NUMBER - kept..].copy_from_slice(&number[number.len() - kept..]);
    all
}
