//! Carries revocations from the ledger into the signer's journal, after which no CRL and no OCSP answer that denies
//! them can be signed.

use jiff::Timestamp;

use super::failure::Failure;
use crate::{
    domain::ids::{IssuerId, SerialNumber},
    ports::{signer::Signer, store::RevocationStore},
};

const PAGE: u32 = 1000;

/// Pushes every revocation that the journal hasn't acknowledged; returns how many.
pub(super) async fn push_revocations(
    revocations: &dyn RevocationStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
) -> Result<u64, Failure> {
    let mut pushed = 0;
    loop {
        let (page, audit_head) = revocations.unjournaled_revocations(issuer, PAGE).await?;
        let Ok(count @ 1..) = u64::try_from(page.len()) else { return Ok(pushed) };
        let serials: Vec<SerialNumber> = page.iter().map(|revocation| revocation.serial.clone()).collect();
        let position = signer.revoke(issuer, audit_head, page).await?;
        revocations.mark_journaled(issuer, &serials, position).await?;
        pushed += count;
    }
}

/// Certificates, CRLs and OCSP express whole seconds; all three shall say the same.
pub(super) fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
