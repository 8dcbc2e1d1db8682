//! The judge of a TPM's evidence: what a genuine TPM says of a key, and whether the policy takes it.
//!
//! Three links hold it together. The challenge reached only the TPM that holds the endorsement and the attestation key
//! (it was wrapped for both, see `credential`), so knowing it shows that they are in one TPM. Somebody vouches for one of
//! the two. And the attestation key, which signs nothing but a TPM's own words, certified the user's key for this
//! challenge, by its Name, which fixes every attribute of the key.

use aws_lc_rs::digest::{SHA256, digest};
use der::Encode;
use jiff::Timestamp;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{
    Tpm, TpmEvidence, TpmRefusal, TpmRules,
    algorithm::Hash,
    attest::certified_key,
    attributes::Attributes,
    identity::Identity,
    key_policy::asks_for_the_auth_value,
    public::Public,
    signature::Signature,
    vouching::{Vouchers, Word},
};
use crate::domain::{
    attestation::{Anchors, Attested, Claim, Particulars, Refusal, challenge_message},
    device::{Assurance, Device},
};

/// What ties a key to its TPM: it was made there, all of it, and never leaves.
const AT_HOME: [Attributes; 3] =
    [Attributes::FIXED_TPM, Attributes::FIXED_PARENT, Attributes::SENSITIVE_DATA_ORIGIN];

/// What a genuine TPM says, before any policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The TPM.
    pub device: Device,
    /// The key that it made.
    pub key: CertifiedKey,
    /// What shows that it is genuine.
    pub word: Word,
    /// The Name of its attestation key.
    pub ak_name: Vec<u8>,
}

/// A key that was made in a TPM, never leaves it and signs what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    /// The key.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// Its Name.
    pub name: Vec<u8>,
    /// What the TPM does with it.
    pub attributes: Attributes,
    /// Whether a policy authorises its use without its auth value.
    pub has_policy: bool,
    /// The hash under the attestation key's signature.
    pub signature_hash: Hash,
}

impl CertifiedKey {
    /// Holds a certified key's attributes against what a user's key is.
    ///
    /// # Errors
    /// [`TpmRefusal::KeyAttributes`].
    pub fn new(public: Public, signature_hash: Hash) -> Result<Self, TpmRefusal> {
        if let Some(attribute) = public.attributes.lack(&AT_HOME) {
            return Err(TpmRefusal::KeyAttributes { attribute, is_set: false });
        }
        if let Some(attribute) = public.attributes.lack(&[Attributes::SIGN]) {
            return Err(TpmRefusal::KeyAttributes { attribute, is_set: false });
        }
        if let Some(attribute) = public.attributes.have(&[Attributes::RESTRICTED]) {
            return Err(TpmRefusal::KeyAttributes { attribute, is_set: true });
        }
        Ok(Self {
            name: public.name().to_vec(),
            attributes: public.attributes,
            has_policy: !asks_for_the_auth_value(&public.policy),
            signature_hash,
            public_key: public.key,
        })
    }

    /// The key is used with its auth value and in no other way, and who guesses that value is locked out.
    fn asks_for_its_auth_value(&self) -> Result<(), TpmRefusal> {
        if let Some(attribute) = self.attributes.lack(&[Attributes::USER_WITH_AUTH]) {
            return Err(TpmRefusal::KeyAttributes { attribute, is_set: false });
        }
        if let Some(attribute) = self.attributes.have(&[Attributes::NO_DA]) {
            return Err(TpmRefusal::KeyAttributes { attribute, is_set: true });
        }
        if self.has_policy { Err(TpmRefusal::KeyPolicy) } else { Ok(()) }
    }
}

/// What has to be signed for a challenge: SHA-256 of the message that the key itself signs.
pub fn qualifying_data(challenge: &[u8; 32], subject_public_key_info: &[u8]) -> [u8; 32] {
    let message = challenge_message(challenge, subject_public_key_info);
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &message).as_ref());
    out
}

/// Checks that the evidence comes from a TPM that somebody vouches for, from the one that answered this challenge, and
/// reads what it says of the key.
///
/// # Errors
/// The first [`Refusal`].
pub fn examine(
    evidence: &TpmEvidence,
    claim: &Claim<'_>,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Statement, Refusal> {
    let identity = Identity::parse(&evidence.ek_public, &evidence.ak_public)?;
    let ak = &identity.ak;
    if claim.ak_name != Some(ak.name()) {
        return Err(TpmRefusal::AkName.into());
    }
    let signature = Signature::parse(&evidence.certify_signature, ak.public_key())?;
    let (info, key_public) = (&evidence.certify_info, &evidence.key_public);
    let key = certified_key(ak.public_key(), &signature, info, key_public, |key| {
        Some(qualifying_data(claim.challenge, &key.to_der().ok()?).to_vec())
    })?;
    let key = CertifiedKey::new(key, signature.hash)?;
    let vouchers = Vouchers {
        ek_certificate: evidence.ek_certificate.as_deref(),
        ek_intermediates: &evidence.ek_intermediates,
        ak_certificates: &evidence.ak_certificates,
        is_inventoried: claim.is_inventoried,
    };
    let word = Word::of(&identity, vouchers, anchors, now)?;
    Ok(Statement { device: identity.ek.device(), key, word, ak_name: ak.name().to_vec() })
}

impl Statement {
    /// Holds the statement against the policy.
    ///
    /// That the TPM asks for an auth value is proven; that the value is a PIN which somebody has to know isn't, for a TPM
    /// doesn't say what it is. So what follows is [`Assurance::Attested`], never more.
    ///
    /// # Errors
    /// The first [`TpmRefusal`].
    pub fn judge(self, rules: &TpmRules) -> Result<Attested, TpmRefusal> {
        self.key.asks_for_its_auth_value()?;
        if self.key.signature_hash == Hash::Sha1 && !rules.accept_sha1 {
            return Err(TpmRefusal::Sha1);
        }
        self.word.judge(rules)?;
        let Word { voucher, vouched } = self.word;
        let root_sha256 = vouched.as_ref().map(|vouched| vouched.root_sha256);
        let is_expired = vouched.as_ref().is_some_and(|vouched| vouched.is_expired);
        Ok(Attested {
            device: self.device,
            assurance: Assurance::Attested,
            root_sha256,
            particulars: Particulars::Tpm(Tpm {
                voucher,
                make: vouched.map(|vouched| vouched.make).unwrap_or_default(),
                is_expired,
                signature_hash: self.key.signature_hash,
                attributes: self.key.attributes,
                ak_name: self.ak_name,
                key_name: self.key.name,
            }),
        })
    }
}
