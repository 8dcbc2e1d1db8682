//! Serial numbers of certificates (RFC 5280, 4.1.2.2): positive, 16 octets, 126 random bits.

use super::ids::SerialNumber;

/// A serial number out of 16 random octets. The two highest bits are fixed to 0 and 1, so that the INTEGER is positive
/// and always as long; the other 126 are random, and 64 would do.
pub fn from_random(mut random: [u8; 16]) -> SerialNumber {
    random[0] = random[0] & 0x3f | 0x40;
    SerialNumber::from_bytes(&random)
        .unwrap_or_else(|_| unreachable!("0x40..=0x7f begins a minimal positive INTEGER"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_serial_is_positive_and_keeps_its_random_bits(random: [u8; 16]) {
            let serial = from_random(random);
            prop_assert_eq!(serial.as_bytes().len(), 16);
            prop_assert!((0x40..=0x7f).contains(&serial.as_bytes()[0]));
            prop_assert_eq!(serial.as_bytes()[0] & 0x3f, random[0] & 0x3f);
            prop_assert_eq!(&serial.as_bytes()[1..], &random[1..]);
        }
    }
}
