//! Attestation keys: restricted signing keys, which sign nothing that could pass for a TPM's word unless it is one.

use ca_x509::KeyKind;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{algorithm, attributes::Attributes, public::Public, refusal::TpmRefusal};

/// What an attestation key has.
const REQUIRED: [Attributes; 5] = [
    Attributes::FIXED_TPM,
    Attributes::FIXED_PARENT,
    Attributes::SENSITIVE_DATA_ORIGIN,
    Attributes::RESTRICTED,
    Attributes::SIGN,
];

/// A key of this form. That it is in a TPM at all is shown by activation or by a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey(Public);

impl AttestationKey {
    /// Reads its public area.
    ///
    /// # Errors
    /// [`TpmRefusal`] when it is none, or has other attributes or another scheme.
    pub fn parse(octets: &[u8]) -> Result<Self, TpmRefusal> {
        const WHICH: &str = "attestation key's public area";
        let public = Public::parse(octets, WHICH)?;
        if let Some(attribute) = public.attributes.lack(&REQUIRED) {
            return Err(TpmRefusal::AkAttributes { attribute, is_set: false });
        }
        if let Some(attribute) = public.attributes.have(&[Attributes::DECRYPT]) {
            return Err(TpmRefusal::AkAttributes { attribute, is_set: true });
        }
        let kind = KeyKind::of(&public.key).map_err(|_| TpmRefusal::Unsupported { which: WHICH })?;
        let wanted = match kind {
            KeyKind::P256 | KeyKind::P384 => algorithm::ECDSA,
            KeyKind::Rsa { .. } => algorithm::RSASSA,
        };
        match public.scheme {
            Some(scheme) if scheme.algorithm == wanted => Ok(Self(public)),
            _ => Err(TpmRefusal::AkScheme),
        }
    }

    /// Its Name, which the challenge is made for.
    pub fn name(&self) -> &[u8] {
        self.0.name()
    }

    /// The key.
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.0.key
    }
}
