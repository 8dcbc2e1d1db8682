//! Carries revocations from the ledger into the signer's journal, after which no CRL and no OCSP answer that denies
//! them can be signed.

use jiff::Timestamp;

use super::failure::Failure;
use crate::{
    domain::{
        ids::{IssuerId, SerialNumber},
        revocation::Revocation,
    },
    ports::{
        signer::{Signer, SignerError},
        store::RevocationStore,
    },
};

const PAGE: u32 = 1000;

/// Pushes every revocation that the journal hasn't acknowledged. One that the signer refuses holds up no other: it is
/// alarmed, stays in the ledger, which OCSP and CRL go by, and is offered again the next time.
pub(super) async fn push_revocations(
    revocations: &dyn RevocationStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
) -> Result<(), Failure> {
    loop {
        let (page, audit_head) = revocations.unjournaled_revocations(issuer, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let serials: Vec<SerialNumber> = page.iter().map(|revocation| revocation.serial.clone()).collect();
        match signer.revoke(issuer, audit_head, page.clone()).await {
            Ok(position) => revocations.mark_journaled(issuer, &serials, position).await?,
            Err(SignerError::Refused { .. }) => {
                return push_one_by_one(revocations, signer, issuer, audit_head, page).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn push_one_by_one(
    revocations: &dyn RevocationStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
    audit_head: [u8; 32],
    page: Vec<Revocation>,
) -> Result<(), Failure> {
    for revocation in page {
        let serial = revocation.serial.clone();
        match signer.revoke(issuer, audit_head, vec![revocation]).await {
            Ok(position) => revocations.mark_journaled(issuer, &[serial], position).await?,
            Err(SignerError::Refused { code, detail }) => {
                tracing::error!(%issuer, %serial, code, detail, "ALARM: the signer refuses to record a revocation");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Certificates, CRLs and OCSP express whole seconds; all three shall say the same.
pub(super) fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
