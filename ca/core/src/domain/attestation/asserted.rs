//! Keys whose home is only claimed: other makers' PIV cards and PKCS#11 tokens. The request's key answers the challenge,
//! and nothing more is known; where that isn't enough is the policy's to say.

use super::{Attested, Claim, Particulars, Refusal, proof};
use crate::domain::device::Assurance;

/// What remains: possession of the key, and a claim.
pub(super) fn judge(claim: &Claim<'_>) -> Result<Attested, Refusal> {
    proof::answers_challenge(claim)?;
    Ok(Attested {
        device: claim.device.clone(),
        assurance: Assurance::Asserted,
        root_sha256: None,
        particulars: Particulars::Asserted,
    })
}
