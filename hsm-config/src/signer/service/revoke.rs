//! Recording revocations, durably and for ever.

use signer_protocol::message::{EntryBody, JournalPosition, KeyLabel, RefusalCode, RevocationEntry};

use super::{Outcome, Service, ServiceError};
use crate::{
    journal::{Serial, not_after},
    signer::policy::{self, refuse},
};

impl Service {
    pub(super) async fn revoke(
        &self,
        label: &KeyLabel,
        audit_head: [u8; 32],
        revocations: Vec<RevocationEntry>,
    ) -> Outcome<JournalPosition> {
        let (state, _) = self.issuing(label)?;
        let now = self.time()?;
        if revocations.is_empty() {
            return refuse(RefusalCode::Malformed, "no revocation is given").map_err(Into::into);
        }
        let mut entries = Vec::with_capacity(revocations.len());
        for revocation in revocations {
            let expiry = self.expiry(label, &revocation.serial)?;
            policy::revocation::judge(&revocation, expiry, now)?;
            entries.push(EntryBody::Revocation { key: label.clone(), audit_head, revocation });
        }
        let count = entries.len();
        let _no_crl = state.revoking.read().await;
        let positions = self.journal.append(entries).await?;
        let last = positions.iter().max_by_key(|position| position.sequence).copied();
        let last =
            last.ok_or_else(|| ServiceError::Unavailable("the journal gave no position".to_owned()))?;
        tracing::info!(key = label.0, count, sequence = last.sequence, "recorded revocations");
        Ok(last)
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
