//! Splitting a key among custodians: Shamir's scheme over GF(2^8), by the crate `vsss-rs`. What is split is always a
//! fresh random key, never a PIN: a PIN can be guessed from its neighbours' shares and a fingerprint, a key can't.

use aws_lc_rs::digest;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use super::envelope::Key;

/// The fewest custodians that open a set together: one would be no custody.
pub const FEWEST: u8 = 2;
/// The most custodians of a set.
pub const MOST: u8 = 16;

/// One custodian's part, opened. Wiped when dropped; has no `Debug`, `Clone` or `Display`.
pub struct Octets(Zeroizing<Vec<u8>>);

impl Octets {
    /// For whoever seals, combines or sends it.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Octets {
    fn from(octets: &[u8]) -> Self {
        Self(octets.to_vec().into())
    }
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Octets(hidden)")
    }
}

/// In hexadecimal. Only sealed content and the custodians' socket carry it.
impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.expose())))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hexadecimal;
        impl de::Visitor<'_> for Hexadecimal {
            type Value = Octets;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("hexadecimal digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
                // The text isn't told: it is secret.
                hex::decode(text).map(|octets| Octets(octets.into())).map_err(|_| E::custom("no hexadecimal"))
            }
        }
        deserializer.deserialize_str(Hexadecimal)
    }
}

/// The shares don't make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shares can't be made or combined")]
pub struct SharingError;

/// Splits a key into as many shares, of which `threshold` make it again. The first octet of each is its number.
pub(super) fn split(key: &Key, threshold: u8, count: u8) -> Result<Vec<Octets>, SharingError> {
    let shares = Gf256::split_bytes(threshold.into(), count.into(), &key[..], UnwrapErr(SysRng));
    Ok(shares.map_err(|_| SharingError)?.into_iter().map(|share| Octets(share.into())).collect())
}

/// The key that these shares make. Shares that don't belong together make another key, without an error: each has to
/// be known by its fingerprint before.
pub(super) fn combine<'a>(shares: impl IntoIterator<Item = &'a Octets>) -> Result<Key, SharingError> {
    let shares = Zeroizing::new(shares.into_iter().map(|share| share.expose().to_vec()).collect::<Vec<_>>());
    let octets = Zeroizing::new(Gf256::combine_bytes(&*shares).map_err(|_| SharingError)?);
    let mut key = Zeroizing::new([0; 32]);
    if octets.len() != key.len() {
        return Err(SharingError);
    }
    key.copy_from_slice(&octets);
    Ok(key)
}

/// What only somebody can tell who has opened a share. It doesn't show the share: that has 256 random bits, which no
/// hash gives away.
pub(super) fn proof(set: &str, generation: u32, custodian: &str, share: &Octets) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(format!("inro custody share\n{set}\n{generation}\n{custodian}\n").as_bytes());
    context.update(share.expose());
    hex::encode(context.finish())
}

/// What tells a share without showing it, nor its [`proof`].
pub(super) fn fingerprint(set: &str, generation: u32, custodian: &str, share: &Octets) -> String {
    fingerprint_of(&proof(set, generation, custodian, share))
}

/// The fingerprint of the share that has this [`proof`].
pub(super) fn fingerprint_of(proof: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, format!("inro custody fingerprint\n{proof}\n").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::envelope::random_key;
    use super::*;

    #[test]
    fn every_quorum_makes_the_key_and_fewer_or_foreign_shares_don_t() {
        let key = random_key().expect("a key");
        let shares = split(&key, 3, 5).expect("split");
        for missing in 0..5_usize {
            for other in (0..5_usize).filter(|other| *other != missing) {
                let quorum = shares.iter().enumerate().filter(|(i, _)| ![missing, other].contains(i));
                assert_eq!(*combine(quorum.map(|(_, share)| share)).expect("combined"), *key);
            }
        }
        let two = combine(&shares[..2]);
        assert!(two.is_err() || two.is_ok_and(|two| *two != *key));
        let foreign = split(&key, 3, 5).expect("split");
        let mixed = combine([&shares[0], &shares[1], &foreign[2]]).expect("combined");
        assert_ne!(*mixed, *key);
        assert!(combine([&shares[0], &shares[0], &shares[1]]).is_err());
    }

    #[test]
    fn a_share_crosses_as_hexadecimal_and_is_never_shown() {
        let key = random_key().expect("a key");
        let share = &split(&key, 2, 2).expect("split")[0];
        let json = serde_json::to_string(share).expect("JSON");
        let back: Octets = serde_json::from_str(&json).expect("a share");
        assert_eq!(back.expose(), share.expose());
        assert!(!format!("{share:?}").contains(&hex::encode(share.expose())));
        assert!(serde_json::from_str::<Octets>("\"zz\"").is_err());
    }
}
