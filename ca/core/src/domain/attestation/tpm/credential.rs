//! `MakeCredential` in software (TPM 2.0 Part 1, 24): wraps a secret for the one TPM that holds both an endorsement key and
//! an object of a given Name. `TPM2_ActivateCredential` unwraps it there; nothing else can.
//!
//! Composed of aws-lc's primitives by the TPM's own key derivation (Part 1, 11.4.10); the vectors of `tests` were
//! unwrapped by a TPM.

use aws_lc_rs::{
    agreement::{ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey, agree},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
    rsa::{OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use ca_x509::KeyKind;
use der::Encode;
use zeroize::Zeroizing;

use super::{algorithm::Hash, ek::EndorsementKey};

/// The label of the seed's protection, with the zero that ends it (Part 1, 24.4).
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// A wrapped secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `TPMS_ID_OBJECT` (Part 2, 12.4.2): what `TPM2B_ID_OBJECT` holds.
    pub credential_blob: Vec<u8>,
    /// What `TPM2B_ENCRYPTED_SECRET` holds.
    pub encrypted_secret: Vec<u8>,
}

/// The octets given as random are no key on the endorsement key's curve, which happens once in 2^32 times; or a primitive
/// failed. Try again with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no credential could be made with these random octets")]
pub struct NotMade;

/// Wraps `secret` for the TPM that holds `ek` and an object of the Name `name`.
///
/// `random` becomes the seed (RSA) or the ephemeral key (ECDH); use it for nothing else. OAEP draws octets of its own from
/// aws-lc.
///
/// # Errors
/// [`NotMade`].
pub fn make_credential(
    ek: &EndorsementKey,
    name: &[u8],
    secret: &[u8; 32],
    random: &Zeroizing<[u8; 48]>,
) -> Result<Credential, NotMade> {
    let (seed, encrypted_secret) = match ek.kind() {
        KeyKind::Rsa { .. } => rsa_seed(ek, random)?,
        KeyKind::P256 | KeyKind::P384 => ecdh_seed(ek, random)?,
    };
    Ok(Credential { credential_blob: wrap(ek, &seed, name, secret)?, encrypted_secret })
}

type Seed = Zeroizing<Vec<u8>>;

/// Part 1, B.10.4: a random seed of the hash's length, by OAEP with the label.
fn rsa_seed(ek: &EndorsementKey, random: &[u8; 48]) -> Result<(Seed, Vec<u8>), NotMade> {
    let seed = Zeroizing::new(random.get(..ek.name_hash().length()).ok_or(NotMade)?.to_vec());
    let algorithm = match ek.name_hash() {
        Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
        Hash::Sha1 | Hash::Sha512 => return Err(NotMade),
    };
    let spki = ek.public_key().to_der().map_err(|_| NotMade)?;
    let key = PublicEncryptingKey::from_der(&spki).map_err(|_| NotMade)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| NotMade)?;
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(algorithm, &seed, &mut ciphertext, Some(IDENTITY)).map_err(|_| NotMade)?;
    let encrypted = encrypted.to_vec();
    Ok((seed, encrypted))
}

/// Part 1, C.6.1 and C.6.3: one-pass ECDH with an ephemeral key, `KDFe` with the label and both x coordinates.
fn ecdh_seed(ek: &EndorsementKey, random: &[u8; 48]) -> Result<(Seed, Vec<u8>), NotMade> {
    let (curve, length) = match ek.kind() {
        KeyKind::P256 => (&ECDH_P256, 32),
        KeyKind::P384 => (&ECDH_P384, 48),
        KeyKind::Rsa { .. } => return Err(NotMade),
    };
    let scalar = random.get(..length).ok_or(NotMade)?;
    let ephemeral = PrivateKey::from_private_key(curve, scalar).map_err(|_| NotMade)?;
    let own = ephemeral.compute_public_key().map_err(|_| NotMade)?;
    let (own_x, own_y) = coordinates(own.as_ref(), length)?;
    let theirs = ek.public_key().subject_public_key.raw_bytes();
    let (their_x, _) = coordinates(theirs, length)?;
    let peer = UnparsedPublicKey::new(curve, theirs);
    let seed = agree(&ephemeral, peer, NotMade, |z| {
        Ok(kdf_e(ek.name_hash(), z, IDENTITY, (own_x, their_x), ek.name_hash().length()))
    })?;
    Ok((seed, [sized(own_x)?, sized(own_y)?].concat()))
}

/// The two halves of an uncompressed point.
fn coordinates(point: &[u8], length: usize) -> Result<(&[u8], &[u8]), NotMade> {
    match point.split_first() {
        Some((4, both)) if both.len() == 2 * length => Ok(both.split_at(length)),
        _ => Err(NotMade),
    }
}

/// Part 1, 24.4 and 24.5: the secret encrypted with a key derived from the seed and the Name, and an HMAC over both.
fn wrap(ek: &EndorsementKey, seed: &[u8], name: &[u8], secret: &[u8]) -> Result<Vec<u8>, NotMade> {
    let hash = ek.name_hash();
    let cipher = match ek.cipher_bits() {
        128 => &AES_128,
        256 => &AES_256,
        _ => return Err(NotMade),
    };
    let storage_key = kdf_a(hash, seed, STORAGE, name, usize::from(ek.cipher_bits() / 8));
    let mut identity = sized(secret)?;
    // The key is for this message alone, so the initialisation vector is zero (Part 1, 24.4).
    let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    UnboundCipherKey::new(cipher, &storage_key)
        .and_then(EncryptingKey::cfb128)
        .and_then(|key| key.less_safe_encrypt(&mut identity, zero))
        .map_err(|_| NotMade)?;
    let integrity_key = kdf_a(hash, seed, INTEGRITY, &[], hash.length());
    let mut integrity = hmac::Context::with_key(&hmac::Key::new(hash.hmac(), &integrity_key));
    integrity.update(&identity);
    integrity.update(name);
    Ok([sized(integrity.sign().as_ref())?, identity].concat())
}

/// TPM2B: the length in two octets, then the octets.
fn sized(octets: &[u8]) -> Result<Vec<u8>, NotMade> {
    let length = u16::try_from(octets.len()).map_err(|_| NotMade)?;
    Ok([&length.to_be_bytes()[..], octets].concat())
}

/// `KDFa` (Part 1, 11.4.10.2), NIST SP 800-108 in counter mode with HMAC; `label` ends with its zero.
fn kdf_a(hash: Hash, key: &[u8], label: &[u8], context: &[u8], length: usize) -> Seed {
    let key = hmac::Key::new(hash.hmac(), key);
    let bits = u32::try_from(length * 8).unwrap_or(u32::MAX);
    let block = |counter: u32| {
        let mut mac = hmac::Context::with_key(&key);
        for part in [&counter.to_be_bytes()[..], label, context, &bits.to_be_bytes()] {
            mac.update(part);
        }
        mac.sign().as_ref().to_vec()
    };
    blocks(length, block)
}

/// `KDFe` (Part 1, 11.4.10.3), NIST SP 800-56A with a hash; `label` ends with its zero.
fn kdf_e(hash: Hash, z: &[u8], label: &[u8], (ours, theirs): (&[u8], &[u8]), length: usize) -> Seed {
    let block = |counter: u32| {
        let input = Zeroizing::new([&counter.to_be_bytes()[..], z, label, ours, theirs].concat());
        hash.of(&input)
    };
    blocks(length, block)
}

/// As many octets as wanted, from numbered blocks.
fn blocks(length: usize, block: impl Fn(u32) -> Vec<u8>) -> Seed {
    let mut out = Zeroizing::new(Vec::with_capacity(length + 64));
    let mut counter = 1;
    while out.len() < length {
        out.extend_from_slice(&Zeroizing::new(block(counter)));
        counter += 1;
    }
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests;
