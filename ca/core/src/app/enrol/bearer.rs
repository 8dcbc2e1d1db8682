//! The bearer that authorises the later steps of an enrolment: derived from its challenge with a key of this process,
//! so that repeats of the first step hand out the same one while the ledger holds no more than its hash.

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    app::token,
    domain::{enrolment::Enrolment, ids::EnrolmentId},
    ports::rng::Rng,
};

/// The process's key; another process, or this one after a restart, makes other bearers.
#[derive(Clone, Debug)]
pub struct BearerKey(hmac::Key);

/// A bearer and its hash.
pub(super) struct Bearer {
    /// What the agent sends.
    pub(super) text: SecretString,
    /// What the ledger keeps.
    pub(super) sha256: [u8; 32],
}

impl BearerKey {
    /// A fresh key.
    pub fn generate(rng: &dyn Rng) -> Self {
        let secret = zeroize::Zeroizing::new(rng.bytes::<32>());
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret))
    }

    /// The bearer of an enrolment while it has this challenge.
    pub(super) fn bearer(&self, id: EnrolmentId, challenge: &[u8; 32]) -> Bearer {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(id.0.as_bytes());
        context.update(challenge);
        let tag = context.sign();
        let mut octets = [0; 32];
        octets.copy_from_slice(tag.as_ref());
        Bearer { text: token::encode(&octets), sha256: Sha256::digest(octets).into() }
    }
}

/// Whether `presented` is the enrolment's bearer. Its expiry is another question.
pub(in crate::app) fn is_bearer_of(presented: &SecretString, enrolment: &Enrolment) -> bool {
    token::matches(presented.expose_secret(), &enrolment.bearer_sha256)
}
