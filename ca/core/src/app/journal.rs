//! Carries revocations from the ledger into the signer's journal, after which no CRL and no OCSP answer that denies
//! them can be signed.

use jiff::Timestamp;

use super::{
    accord::{Accord, Verdict},
    failure::Failure,
};
use crate::{
    domain::ids::{IssuerId, SignerName},
    ports::{
        signer::{Signer, SignerError},
        store::{RevocationStore, SignerStore, Unjournaled},
    },
};

const PAGE: u32 = 1000;

/// Pushes every revocation that the journal hasn't acknowledged. One that the signer refuses holds up no other: it is
/// alarmed, stays in the ledger, which OCSP and CRL go by, and is offered again the next time, with those after it.
///
/// A journal that isn't the one that the ledger knows, or not whole, gets none: the ledger would believe that the right
/// one has them. One that nobody has introduced gets them from the reconciliation that does.
pub(super) async fn push_revocations(
    revocations: &dyn RevocationStore,
    signers: &dyn SignerStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
    accord: Option<&Accord>,
) -> Result<(), Failure> {
    let diverged = accord.is_some_and(
        |accord| matches!(accord.verdict(), Verdict::Diverged(divergence) if divergence.is_journals()),
    );
    if diverged {
        return Ok(());
    }
    let name = signer.name(issuer)?;
    let mut is_known = false;
    loop {
        let page = revocations.unjournaled_revocations(issuer, &name, PAGE).await?;
        let Some((up_to, _)) = page.revocations.last() else { return Ok(()) };
        is_known = is_known || is_known_journal(signers, signer, issuer, &name).await?;
        if !is_known {
            tracing::debug!(%issuer, signer = %name, "revocations wait for the reconciliation");
            return Ok(());
        }
        let asked = page.revocations.iter().map(|(_, revocation)| revocation.clone()).collect();
        match signer.revoke(issuer, page.audit, asked).await {
            Ok(entry) => revocations.mark_journaled(issuer, &name, (*up_to, entry)).await?,
            Err(SignerError::Refused { .. }) => {
                return push_one_by_one(revocations, signer, issuer, &name, &page).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn is_known_journal(
    signers: &dyn SignerStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
    name: &SignerName,
) -> Result<bool, Failure> {
    let head = signer.journal(issuer).await?;
    let known = signers.signers(issuer).await?.into_iter().find(|known| known.name == *name);
    let end = head.last.map_or(0, |last| last.sequence);
    Ok(known.is_some_and(|known| {
        known.journal == head.journal
            && known.retired_at.is_none()
            && known.reconciled.is_none_or(|reconciled| reconciled.sequence <= end)
    }))
}

async fn push_one_by_one(
    revocations: &dyn RevocationStore,
    signer: &dyn Signer,
    issuer: &IssuerId,
    name: &SignerName,
    page: &Unjournaled,
) -> Result<(), Failure> {
    let mut acknowledged = true;
    for (number, revocation) in &page.revocations {
        match signer.revoke(issuer, page.audit, vec![revocation.clone()]).await {
            Ok(entry) if acknowledged => revocations.mark_journaled(issuer, name, (*number, entry)).await?,
            Ok(_) => {}
            Err(SignerError::Refused { code, detail }) => {
                acknowledged = false;
                let serial = &revocation.serial;
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
