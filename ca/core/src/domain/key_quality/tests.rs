//! Moduli that are weak on purpose.

use super::*;

/// A number of 1,024 bits without small factors, the first from `start` on.
fn rough_from(start: &BigUint) -> BigUint {
    let mut candidate = start | BigUint::from(1_u32);
    while small_odd_primes().any(|prime| remainder(&candidate, prime) == 0) {
        candidate += 2_u32;
    }
    candidate
}

fn half() -> BigUint {
    // Digits of no particular number, the highest two bits set so that the product has 2,048 bits.
    let digits =
        (0..128_u32).map(|index| (index * 167 + 13).to_le_bytes()[0] | if index == 0 { 0xc0 } else { 0 });
    BigUint::from_bytes_be(&digits.collect::<Vec<u8>>())
}

#[test]
fn sound_keys_pass() {
    for _ in 0..3 {
        let key = crate::domain::fixtures::TestKey::rsa_2048().public_key();
        assert_eq!(check(&key), Ok(()));
    }
}

#[test]
fn close_primes_are_found() {
    let p = rough_from(&half());
    let q = rough_from(&(&p + 1000_u32));
    assert_eq!(check_modulus(&(&p * &q)), Err(WeakKey::ClosePrimes));
    assert_eq!(check_modulus(&(&p * &p)), Err(WeakKey::ClosePrimes), "a square");
    let far = rough_from(&(&half() >> 1));
    assert_eq!(check_modulus(&(&p * far)), Ok(()));
}

#[test]
fn small_factors_are_found() {
    let p = rough_from(&half());
    for factor in [2_u32, 3, 167, 1999] {
        assert_eq!(check_modulus(&(&p * &p * factor)), Err(WeakKey::SmallFactor), "{factor}");
    }
}

/// A modulus of the form of CVE-2017-15361: a power of 65537 modulo the product of the fingerprint's primes.
#[test]
fn the_form_of_roca_is_found() {
    let product = ROCA_PRIMES.iter().fold(BigUint::from(2_u32), |product, prime| product * prime);
    let power = BigUint::from(65_537_u32).modpow(&BigUint::from(123_456_789_u32), &product);
    let mut modulus = ((BigUint::from(1_u32) << 2047_u32) / &product + 1_u32) * &product + power;
    while small_odd_primes().any(|prime| remainder(&modulus, prime) == 0) {
        modulus += &product;
    }
    assert_eq!(modulus.bits(), 2048);
    assert_eq!(check_modulus(&modulus), Err(WeakKey::Roca));
    assert_ne!(check_modulus(&(modulus + 2_u32)), Err(WeakKey::Roca));
}

#[test]
fn squares_are_never_missed() {
    for root in 0_u32..5_000 {
        assert!(may_be_square(&BigUint::from(root * root)), "{root}²");
    }
}
