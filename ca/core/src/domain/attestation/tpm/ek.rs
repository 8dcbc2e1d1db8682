//! Endorsement keys: storage keys that a TPM derives from its endorsement seed by the templates of the TCG EK Credential
//! Profile for TPM Family 2.0 (2.5, annex B). Each TPM makes one and the same key from a template, which is what makes it
//! the TPM's identity.

use ca_x509::KeyKind;
use sha2::{Digest, Sha256};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{
    algorithm::{self, Hash},
    attributes::Attributes,
    public::{Public, Symmetric},
    refusal::TpmRefusal,
};
use crate::domain::{
    device::{Device, DeviceKind},
    ids::TokenSerial,
    key_quality,
};

/// `PolicyA` (annex B.6.2): `PolicySecret` of the endorsement hierarchy, SHA-256.
const POLICY_A_SHA256: &str = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
/// `PolicyB` (annex B.6.3): `PolicyA` or a policy in NV, SHA-256.
const POLICY_B_SHA256: &str = "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0";
/// `PolicyB`, SHA-384.
const POLICY_B_SHA384: &str =
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12";

/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const LOW_RANGE: u32 = 0x0003_00b2;
/// The same with userWithAuth.
const HIGH_RANGE: u32 = 0x0003_00f2;

/// What a template fixes, besides the scheme, of which there is none.
struct Template {
    kind: KeyKind,
    name_hash: Hash,
    cipher_bits: u16,
    attributes: u32,
    policy: &'static str,
}

/// L-1, L-2, H-1, H-2, H-3, H-6 and H-7.
const TEMPLATES: [Template; 7] = [
    low(KeyKind::Rsa { bits: 2048 }),
    low(KeyKind::P256),
    high(KeyKind::Rsa { bits: 2048 }),
    high(KeyKind::P256),
    higher(KeyKind::P384),
    higher(KeyKind::Rsa { bits: 3072 }),
    higher(KeyKind::Rsa { bits: 4096 }),
];

const fn low(kind: KeyKind) -> Template {
    Template {
        kind,
        name_hash: Hash::Sha256,
        cipher_bits: 128,
        attributes: LOW_RANGE,
        policy: POLICY_A_SHA256,
    }
}

const fn high(kind: KeyKind) -> Template {
    Template {
        kind,
        name_hash: Hash::Sha256,
        cipher_bits: 128,
        attributes: HIGH_RANGE,
        policy: POLICY_B_SHA256,
    }
}

const fn higher(kind: KeyKind) -> Template {
    Template {
        kind,
        name_hash: Hash::Sha384,
        cipher_bits: 256,
        attributes: HIGH_RANGE,
        policy: POLICY_B_SHA384,
    }
}

/// A key of one of the templates, which nobody can break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementKey {
    public_key: SubjectPublicKeyInfoOwned,
    kind: KeyKind,
    name_hash: Hash,
    cipher_bits: u16,
    serial: TokenSerial,
}

impl EndorsementKey {
    /// Reads its public area.
    ///
    /// # Errors
    /// [`TpmRefusal`] when it is none, of another template, or weak.
    pub fn parse(octets: &[u8]) -> Result<Self, TpmRefusal> {
        const WHICH: &str = "endorsement key's public area";
        let public = Public::parse(octets, WHICH)?;
        let kind = KeyKind::of(&public.key).map_err(|_| TpmRefusal::Unsupported { which: WHICH })?;
        let template = TEMPLATES.iter().find(|template| template.is_of(&public, kind));
        let template = template.ok_or(TpmRefusal::EkTemplate)?;
        key_quality::check(&public.key).map_err(TpmRefusal::EkWeak)?;
        Ok(Self {
            serial: serial(&public.key).ok_or(TpmRefusal::Malformed { which: WHICH })?,
            public_key: public.key,
            kind,
            name_hash: template.name_hash,
            cipher_bits: template.cipher_bits,
        })
    }

    /// The key.
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    /// The TPM, by this key.
    pub fn device(&self) -> Device {
        Device { kind: DeviceKind::Tpm, serial: self.serial.clone() }
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The hash of Names and key derivation.
    pub(super) fn name_hash(&self) -> Hash {
        self.name_hash
    }

    /// The key length of the AES that protects what is wrapped for it.
    pub(super) fn cipher_bits(&self) -> u16 {
        self.cipher_bits
    }
}

impl Template {
    fn is_of(&self, public: &Public, kind: KeyKind) -> bool {
        let cipher = Symmetric { algorithm: algorithm::AES, bits: self.cipher_bits, mode: algorithm::CFB };
        self.kind == kind
            && self.name_hash == public.name_hash
            && Attributes::from_bits(self.attributes) == Some(public.attributes)
            && public.symmetric == Some(cipher)
            && public.scheme.is_none()
            && hex::encode(&public.policy) == self.policy
    }
}

/// The serial of the TPM with this endorsement key: SHA-256 over the key's `SubjectPublicKeyInfo` (DER), in lower-case
/// hexadecimal digits. `None` when the key can't be encoded, which doesn't happen.
pub fn serial(ek: &SubjectPublicKeyInfoOwned) -> Option<TokenSerial> {
    let der = der::Encode::to_der(ek).ok()?;
    TokenSerial::parse(&hex::encode(Sha256::digest(der))).ok()
}
