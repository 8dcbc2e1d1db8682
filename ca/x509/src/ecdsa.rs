//! ECDSA signatures between PKCS #11's fixed form (r || s) and `ECDSA-Sig-Value` (RFC 3279, 2.2.3).

use der::{Encode, Sequence, asn1::UintRef};

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// DER `ECDSA-Sig-Value` from r || s, both of the same length.
///
/// # Errors
/// A `der` error when the length is odd or zero.
pub fn der_from_fixed(fixed: &[u8]) -> der::Result<Vec<u8>> {
    if fixed.is_empty() || !fixed.len().is_multiple_of(2) {
        return Err(der::Tag::Sequence.length_error().into());
    }
    let (r, s) = fixed.split_at(fixed.len() / 2);
    EcdsaSigValue { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_bits_gain_a_zero_and_leading_zeros_go() {
        let mut fixed = [0; 64];
        fixed[0] = 0x80;
        fixed[63] = 1;
        let der = der_from_fixed(&fixed).expect("DER");
        assert_eq!(der[..6], [0x30, 38, 0x02, 33, 0x00, 0x80]);
        assert_eq!(der[37..], [0x02, 1, 1]);
        assert!(der_from_fixed(&fixed[1..]).is_err());
    }
}
