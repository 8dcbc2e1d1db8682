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
    Make, Manufacturer, Tpm, TpmEvidence, TpmRefusal, TpmRules, Voucher,
    ak::AttestationKey,
    algorithm::Hash,
    attest::certified_key,
    attributes::Attributes,
    certificate::{self, Vouched},
    ek::EndorsementKey,
    public::Public,
    signature::Signature,
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
    pub voucher: Voucher,
    /// What its certificate says of it.
    pub make: Make,
    /// SHA-256 of the trusted root's certificate, where there is one.
    pub root_sha256: Option<[u8; 32]>,
    /// Whether a certificate that vouches for it has expired.
    pub is_expired: bool,
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
    /// Whether a policy authorises its use.
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
            has_policy: !public.policy.is_empty(),
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

/// The keys by which a TPM is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub ek: EndorsementKey,
    /// What speaks for it.
    pub ak: AttestationKey,
}

impl Identity {
    /// Reads both public areas.
    ///
    /// # Errors
    /// The first [`TpmRefusal`].
    pub fn parse(ek_public: &[u8], ak_public: &[u8]) -> Result<Self, TpmRefusal> {
        Ok(Self { ek: EndorsementKey::parse(ek_public)?, ak: AttestationKey::parse(ak_public)? })
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
    let Identity { ek, ak } = Identity::parse(&evidence.ek_public, &evidence.ak_public)?;
    if claim.ak_name != Some(ak.name()) {
        return Err(TpmRefusal::AkName.into());
    }
    let signature = Signature::parse(&evidence.certify_signature, ak.public_key())?;
    let (info, key_public) = (&evidence.certify_info, &evidence.key_public);
    let key = certified_key(ak.public_key(), &signature, info, key_public, |key| {
        Some(qualifying_data(claim.challenge, &key.to_der().ok()?).to_vec())
    })?;
    let key = CertifiedKey::new(key, signature.hash)?;
    let (voucher, word) = vouched(evidence, &ek, &ak, claim, anchors, now)?;
    Ok(Statement {
        device: ek.device(),
        key,
        voucher,
        root_sha256: word.as_ref().map(|vouched| vouched.root_sha256),
        is_expired: word.as_ref().is_some_and(|vouched| vouched.is_expired),
        make: word.map(|vouched| vouched.make).unwrap_or_default(),
        ak_name: ak.name().to_vec(),
    })
}

/// Who vouches: the maker by a certificate of the endorsement key, else an authority by one of the attestation key, else
/// the bank itself.
fn vouched(
    evidence: &TpmEvidence,
    ek: &EndorsementKey,
    ak: &AttestationKey,
    claim: &Claim<'_>,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<(Voucher, Option<Vouched>), Refusal> {
    if let Some(der) = &evidence.ek_certificate {
        let (above, key) = (&evidence.ek_intermediates, ek.public_key());
        let vouched = certificate::of_endorsement_key(der, above, key, anchors, now)?;
        return Ok((Voucher::EkCertificate, Some(vouched)));
    }
    if !evidence.ak_certificates.is_empty() {
        let (key, vouched) = certificate::of_attestation_key(&evidence.ak_certificates, anchors, now)?;
        if key != *ak.public_key() {
            return Err(TpmRefusal::AkCertificateKey.into());
        }
        return Ok((Voucher::AkCertificate, Some(vouched)));
    }
    if claim.is_inventoried { Ok((Voucher::Inventory, None)) } else { Err(TpmRefusal::EkUnknown.into()) }
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
        if self.is_expired && !rules.accept_expired_ek_certificates {
            return Err(TpmRefusal::EkExpired);
        }
        if self.voucher == Voucher::Inventory && !rules.accept_ek_by_inventory {
            return Err(TpmRefusal::EkUnknown);
        }
        // The bank vouches for what is in its inventory, whoever made it.
        let is_listed =
            |makers: &Vec<Manufacturer>| self.make.manufacturer.is_some_and(|found| makers.contains(&found));
        if self.voucher != Voucher::Inventory && !rules.manufacturers.as_ref().is_none_or(is_listed) {
            return Err(TpmRefusal::Manufacturer { found: self.make.manufacturer });
        }
        Ok(Attested {
            device: self.device,
            assurance: Assurance::Attested,
            root_sha256: self.root_sha256,
            particulars: Particulars::Tpm(Tpm {
                voucher: self.voucher,
                make: self.make,
                is_expired: self.is_expired,
                signature_hash: self.key.signature_hash,
                attributes: self.key.attributes,
                ak_name: self.ak_name,
                key_name: self.key.name,
            }),
        })
    }
}
