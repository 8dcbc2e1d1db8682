//! Whether a public key can be broken by what is publicly known: points off their curve, RSA with a bad exponent,
//! small factors, primes too close together (Fermat), and the primes of the ROCA library (CVE-2017-15361).

use ca_x509::key::{KeyKind, RsaPublicKey, on_curve};
use der::Decode;
use num_bigint::BigUint;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Steps of Fermat's method. Primes that it finds within these share about half of their bits; a sound generator never
/// makes such a pair.
const FERMAT_STEPS: usize = 128;
/// Odd primes below this are tried as factors.
const SMALL_FACTORS_BELOW: u32 = 2000;
/// The primes by which the ROCA fingerprint is taken.
const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// How a key is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// The point isn't on the curve, or the key isn't readable.
    #[error("the elliptic-curve point is not on its curve")]
    OffCurve,
    /// Any exponent but 65537.
    #[error("the RSA exponent is not 65537")]
    Exponent,
    /// The modulus is even, or divisible by a small prime.
    #[error("the RSA modulus has a small factor")]
    SmallFactor,
    /// The modulus is the product of two close primes.
    #[error("the RSA primes are too close together")]
    ClosePrimes,
    /// The modulus has the form of CVE-2017-15361.
    #[error("the RSA key was made by the library with the ROCA weakness (CVE-2017-15361)")]
    Roca,
}

impl WeakKey {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::OffCurve => "csr-key-off-curve",
            Self::Exponent => "csr-key-exponent",
            Self::SmallFactor => "csr-key-small-factor",
            Self::ClosePrimes => "csr-key-close-primes",
            Self::Roca => "csr-key-roca",
        }
    }
}

/// Checks a key of any kind that Inro knows.
///
/// # Errors
/// [`WeakKey`] says how it is weak.
pub fn check(public_key: &SubjectPublicKeyInfoOwned) -> Result<(), WeakKey> {
    match KeyKind::of(public_key) {
        Ok(KeyKind::Rsa { .. }) => {}
        _ if on_curve(public_key) == Ok(true) => return Ok(()),
        _ => return Err(WeakKey::OffCurve),
    }
    let key = RsaPublicKey::from_der(public_key.subject_public_key.raw_bytes())
        .map_err(|_| WeakKey::SmallFactor)?;
    if key.public_exponent.as_bytes() != [1, 0, 1] {
        return Err(WeakKey::Exponent);
    }
    check_modulus(&BigUint::from_bytes_be(key.modulus.as_bytes()))
}

fn check_modulus(modulus: &BigUint) -> Result<(), WeakKey> {
    if !modulus.bit(0) || small_odd_primes().any(|prime| remainder(modulus, prime) == 0) {
        return Err(WeakKey::SmallFactor);
    }
    if has_roca_form(modulus) {
        return Err(WeakKey::Roca);
    }
    if factors_by_fermat(modulus) {
        return Err(WeakKey::ClosePrimes);
    }
    Ok(())
}

fn small_odd_primes() -> impl Iterator<Item = u32> {
    (3..SMALL_FACTORS_BELOW)
        .step_by(2)
        .filter(|n| (3..).step_by(2).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

fn remainder(modulus: &BigUint, divisor: u32) -> u32 {
    // A remainder by a u32 has at most one digit.
    (modulus % divisor).iter_u32_digits().next().unwrap_or(0)
}

/// Whether the modulus is a power of 65537 modulo every fingerprint prime: true for each key of that library, for
/// another with a probability of about 2^-154.
fn has_roca_form(modulus: &BigUint) -> bool {
    ROCA_PRIMES.iter().all(|prime| {
        let wanted = remainder(modulus, *prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * 65_537 % prime;
            power == wanted
        })
    })
}

/// Fermat's method: looks for a² − n = b² with a from ⌈√n⌉ upward.
fn factors_by_fermat(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1_u32;
    }
    for _ in 0..FERMAT_STEPS {
        let square = &a * &a - modulus;
        if may_be_square(&square) {
            let root = square.sqrt();
            if &root * &root == square {
                return true;
            }
        }
        a += 1_u32;
    }
    false
}

/// Squares end in few ways modulo 64; most others are told apart without a root.
fn may_be_square(n: &BigUint) -> bool {
    let low = n.iter_u32_digits().next().unwrap_or(0) % 64;
    (0..32).any(|root: u32| root * root % 64 == low)
}

#[cfg(test)]
mod tests;
