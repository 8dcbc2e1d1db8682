//! Recording revocations, durably and for ever.

use signer_protocol::message::{
    AuditPosition, EntryBody, JournalPosition, KeyLabel, RefusalCode, RevocationEntry,
};

use tokio::time::{Instant, timeout_at};

use super::{Outcome, Service, ServiceError};
use crate::{
    journal::{Serial, not_after},
    signer::{
        policy::{self, refuse},
        reservation::Revoking,
    },
};

impl Service {
    pub(super) async fn revoke(
        &self,
        label: &KeyLabel,
        audit_head: AuditPosition,
        revocations: Vec<RevocationEntry>,
        end: Instant,
    ) -> Outcome<JournalPosition> {
        let (state, _) = self.issuing(label)?;
        self.time()?;
        if revocations.is_empty() {
            return refuse(RefusalCode::Malformed, "no revocation is given").map_err(Into::into);
        }
        // What is being signed has no notAfter in the journal yet that the revocation could be held against.
        let _not_signed_meanwhile = self.reserve_revoking(label, &revocations, end).await?;
        let mut entries = Vec::with_capacity(revocations.len());
        for revocation in revocations {
            let expiry = self.expiry(label, &revocation.serial)?;
            policy::revocation::judge(&revocation, expiry)?;
            entries.push(EntryBody::Revocation { key: label.clone(), audit_head, revocation });
        }
        let count = entries.len();
        let positions = {
            let _no_crl = state.revoking.read().await;
            self.journal.append(entries).await?
        };
        // Whatever was judged without these revocations leaves before they are acknowledged.
        drop(state.leaving.write().await);
        let last = positions.iter().max_by_key(|position| position.sequence).copied();
        let last =
            last.ok_or_else(|| ServiceError::Unavailable("the journal gave no position".to_owned()))?;
        tracing::info!(key = label.0, count, sequence = last.sequence, "recorded revocations");
        Ok(last)
    }

    /// Reserves the serial numbers that are well formed, waiting for those that are being signed; the others are refused
    /// soon.
    async fn reserve_revoking(
        &self,
        label: &KeyLabel,
        revocations: &[RevocationEntry],
        end: Instant,
    ) -> Outcome<Revoking> {
        loop {
            let serials = revocations.iter().filter_map(|entry| Serial::from_content(&entry.serial).ok());
            let mut signing = match self.reservations.revoking(label, serials) {
                Ok(revoking) => return Ok(revoking),
                Err(signing) => signing,
            };
            // An error here says that the signing has ended, which is what is waited for.
            let waited = timeout_at(end, signing.changed()).await;
            waited
                .map_err(|_| ServiceError::Unavailable("one of the certificates is being signed".to_owned()))?
                .ok();
        }
    }

    /// notAfter of a certificate that the journal has.
    fn expiry(&self, label: &KeyLabel, serial: &[u8]) -> Outcome<Option<jiff::Timestamp>> {
        let Ok(serial) = Serial::from_content(serial) else { return Ok(None) };
        let sequence = self.journal.index().key(label).and_then(|key| key.certificate(&serial));
        let Some(sequence) = sequence else { return Ok(None) };
        let Some(entry) = self.journal.read(sequence)? else { return Ok(None) };
        Ok(match entry.body {
            EntryBody::Certificate { tbs, .. } => not_after(&tbs).ok(),
            _ => None,
        })
    }
}
