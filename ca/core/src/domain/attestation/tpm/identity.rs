//! Which TPM it is: the key that its maker gave it, and the key that speaks for it.

use super::{TpmRefusal, ak::AttestationKey, ek::EndorsementKey};

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
