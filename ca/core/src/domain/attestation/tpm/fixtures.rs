//! A TPM in software, for tests: it makes what a TPM 2.0 makes, and anything else that it is told to. A forger can do no
//! more, for what a TPM signs is only octets.

use aws_lc_rs::{
    agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey},
    cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey},
    digest, hmac,
    iv::FixedLength,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use ca_x509::key::KeyKind;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::{Any, Decode, Encode, asn1::BitString};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::domain::attestation::tpm::{Attributes, Credential, TpmEvidence, qualifying_data};

/// `PolicyA` of the TCG EK Credential Profile, SHA-256.
const POLICY_A: &str = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
/// `TPM_GENERATED_VALUE`.
pub const MAGIC: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`.
pub const CERTIFY: u16 = 0x8017;

/// The public area of a P-256 key.
#[derive(Clone, Debug)]
pub struct Area {
    /// `TPM_ALG_ID` of the Name's hash.
    pub name_hash: u16,
    /// `TPMA_OBJECT`.
    pub attributes: u32,
    /// authPolicy.
    pub policy: Vec<u8>,
    /// Key bits of AES in CFB mode, for storage keys.
    pub cipher_bits: Option<u16>,
    /// `TPM_ALG_ID` of the scheme and of its hash.
    pub scheme: Option<(u16, u16)>,
    /// The point's coordinates.
    pub point: (Vec<u8>, Vec<u8>),
}

impl Area {
    /// An endorsement key's, by template L-2.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn of_ek(spki: &SubjectPublicKeyInfoOwned) -> Self {
        Self {
            attributes: 0x0003_00b2,
            policy: hex::decode(POLICY_A).expect("hexadecimal digits"),
            cipher_bits: Some(128),
            scheme: None,
            ..Self::of_user(spki)
        }
    }

    /// An attestation key's.
    pub fn of_ak(spki: &SubjectPublicKeyInfoOwned) -> Self {
        Self { attributes: 0x0005_0072, scheme: Some((0x0018, 0x000b)), ..Self::of_user(spki) }
    }

    /// A user's key's: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, sign.
    pub fn of_user(spki: &SubjectPublicKeyInfoOwned) -> Self {
        let both = spki.subject_public_key.raw_bytes();
        let (x, y) = both[1..].split_at(32);
        Self {
            name_hash: 0x000b,
            attributes: 0x0004_0072,
            policy: Vec::new(),
            cipher_bits: None,
            scheme: None,
            point: (x.to_vec(), y.to_vec()),
        }
    }

    /// The same without this attribute, or with it.
    #[must_use]
    pub fn toggling(mut self, attribute: Attributes) -> Self {
        self.attributes ^= attribute.bits();
        self
    }

    /// `TPMT_PUBLIC`.
    pub fn octets(&self) -> Vec<u8> {
        let symmetric = match self.cipher_bits {
            Some(bits) => [&[0, 6][..], &bits.to_be_bytes(), &[0, 0x43]].concat(),
            None => vec![0, 0x10],
        };
        let scheme = match self.scheme {
            Some((scheme, hash)) => [scheme.to_be_bytes(), hash.to_be_bytes()].concat(),
            None => vec![0, 0x10],
        };
        [
            &[0, 0x23][..],
            &self.name_hash.to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &sized(&self.policy),
            &symmetric,
            &scheme,
            // TPM_ECC_NIST_P256, no key derivation.
            &[0, 3, 0, 0x10],
            &sized(&self.point.0),
            &sized(&self.point.1),
        ]
        .concat()
    }
}

/// The Name of a public area, with SHA-256.
pub fn name(area: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], digest::digest(&digest::SHA256, area).as_ref()].concat()
}

/// `TPMS_ATTEST`.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// Its magic number.
    pub magic: u32,
    /// Its type.
    pub kind: u16,
    /// What the caller wanted in it.
    pub extra_data: Vec<u8>,
    /// The Name of the certified key.
    pub name: Vec<u8>,
}

impl Attestation {
    /// As `TPM2_Certify` makes it for the key with this public area.
    pub fn of(area: &[u8], extra_data: &[u8]) -> Self {
        Self { magic: MAGIC, kind: CERTIFY, extra_data: extra_data.to_vec(), name: name(area) }
    }

    /// The octets.
    pub fn octets(&self) -> Vec<u8> {
        [
            &self.magic.to_be_bytes()[..],
            &self.kind.to_be_bytes(),
            &sized(&[7; 34]),
            &sized(&self.extra_data),
            // Clock, counters, whether it is safe, firmware version.
            &[0; 16],
            &[1],
            &[0; 8],
            &sized(&self.name),
            &sized(&[8; 34]),
        ]
        .concat()
    }
}

/// The TPM.
#[derive(Debug)]
pub struct SoftTpm {
    ek: PrivateKey,
    ak: EcdsaKeyPair,
}

impl Default for SoftTpm {
    fn default() -> Self {
        Self::new()
    }
}

impl SoftTpm {
    /// A new one.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn new() -> Self {
        Self {
            ek: PrivateKey::generate(&ECDH_P256).expect("a key"),
            ak: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
        }
    }

    /// One with an endorsement key of this scalar.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn with_ek(scalar: &[u8]) -> Self {
        let ek = PrivateKey::from_private_key(&ECDH_P256, scalar).expect("a key");
        Self { ek, ..Self::new() }
    }

    /// Its endorsement key.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn ek(&self) -> SubjectPublicKeyInfoOwned {
        p256(self.ek.compute_public_key().expect("a point").as_ref())
    }

    /// Its attestation key.
    pub fn ak(&self) -> SubjectPublicKeyInfoOwned {
        p256(self.ak.public_key().as_ref())
    }

    /// The Name of its attestation key.
    pub fn ak_name(&self) -> Vec<u8> {
        name(&Area::of_ak(&self.ak()).octets())
    }

    /// `TPMT_SIGNATURE` by its attestation key.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.ak.sign(&SystemRandom::new(), message).expect("a signature");
        let (r, s) = signature.as_ref().split_at(32);
        [&[0, 0x18, 0, 0x0b][..], &sized(r), &sized(s)].concat()
    }

    /// Evidence for a P-256 key of its own, without certificates.
    ///
    /// # Panics
    /// When a primitive fails.
    pub fn evidence(&self, key: &SubjectPublicKeyInfoOwned, challenge: &[u8; 32]) -> TpmEvidence {
        let qualifying = qualifying_data(challenge, &key.to_der().expect("DER"));
        self.evidence_with(Area::of_user(key).octets(), |area| Attestation::of(area, &qualifying))
    }

    /// Evidence for any area with any attestation.
    pub fn evidence_with(
        &self,
        key_public: Vec<u8>,
        attestation: impl FnOnce(&[u8]) -> Attestation,
    ) -> TpmEvidence {
        let certify_info = attestation(&key_public).octets();
        TpmEvidence {
            ek_public: Area::of_ek(&self.ek()).octets(),
            ek_certificate: None,
            ek_intermediates: Vec::new(),
            ak_public: Area::of_ak(&self.ak()).octets(),
            ak_certificates: Vec::new(),
            key_public,
            certify_signature: self.sign(&certify_info),
            certify_info,
        }
    }

    /// `TPM2_ActivateCredential`, for the object with this Name. Written from the specification by itself, so that it shows
    /// something about what made the credential.
    pub fn activate(&self, credential: &Credential, name: &[u8]) -> Option<Vec<u8>> {
        let (x, rest) = take(&credential.encrypted_secret)?;
        let (y, _) = take(rest)?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, [&[4][..], x, y].concat());
        let own = self.ek.compute_public_key().ok()?;
        let own_x = &own.as_ref()[1..33];
        let z = agreement::agree(&self.ek, peer, (), |z| Ok(z.to_vec())).ok()?;
        let seed = digest::digest(
            &digest::SHA256,
            &[&1_u32.to_be_bytes()[..], &z, b"IDENTITY\0", x, own_x].concat(),
        );
        let derive = |label: &[u8], context: &[u8], bits: u32| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref());
            let input = [&1_u32.to_be_bytes()[..], label, &[0], context, &bits.to_be_bytes()].concat();
            hmac::sign(&key, &input).as_ref()[..bits as usize / 8].to_vec()
        };
        let (tag, identity) = take(&credential.credential_blob)?;
        let integrity = hmac::Key::new(hmac::HMAC_SHA256, &derive(b"INTEGRITY", &[], 256));
        hmac::verify(&integrity, &[identity, name].concat(), tag).ok()?;
        let key = UnboundCipherKey::new(&AES_128, &derive(b"STORAGE", name, 128)).ok()?;
        let mut plain = identity.to_vec();
        let zero = DecryptionContext::Iv128(FixedLength::from([0; 16]));
        DecryptingKey::cfb128(key).ok()?.decrypt(&mut plain, zero).ok()?;
        take(&plain).filter(|(_, rest)| rest.is_empty()).map(|(secret, _)| secret.to_vec())
    }
}

fn p256(point: &[u8]) -> SubjectPublicKeyInfoOwned {
    let spki = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ID_EC_PUBLIC_KEY,
            parameters: Some(Any::encode_from(&SECP_256_R_1).expect("parameters")),
        },
        subject_public_key: BitString::from_bytes(point).expect("a bit string"),
    };
    assert_eq!(KeyKind::of(&spki), Ok(KeyKind::P256));
    SubjectPublicKeyInfoOwned::from_der(&spki.to_der().expect("DER")).expect("an SPKI")
}

/// TPM2B.
///
/// # Panics
/// When they are more than a length in two octets can say.
pub fn sized(octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).expect("a short field");
    [&length.to_be_bytes()[..], octets].concat()
}

fn take(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
