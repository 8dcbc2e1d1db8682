//! Reading the journal for the authority, which compares it with its ledger.

use std::sync::Arc;

use signer_protocol::message::{Entry, EntryBody};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Held, Outcome, Service, ServiceError};

/// Most entries, and about most octets of them, in one reply. A single larger entry is still shown.
const MAX_ENTRIES: u32 = 1000;
const MAX_OCTETS: usize = 1024 * 1024;

impl Service {
    pub(super) async fn recorded(&self, intent: Uuid) -> Outcome<Option<Entry>> {
        let Some(sequence) = self.journal.index().intent(&intent) else { return Ok(None) };
        let journal = self.journal.clone();
        Ok(blocking(move || journal.read(sequence)).await??)
    }

    pub(super) async fn entries(&self, after: u64, limit: u32, end: Instant) -> Outcome<(Vec<Entry>, Held)> {
        let place = timeout_at(end, Arc::clone(&self.large_replies).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(ServiceError::Unavailable("others are reading the journal".to_owned()));
        };
        let journal = self.journal.clone();
        let read = move || {
            let mut entries = Vec::new();
            let mut octets = 0;
            let mut sequence = after;
            while entries.len() < limit.min(MAX_ENTRIES) as usize && octets < MAX_OCTETS {
                sequence = sequence.saturating_add(1);
                let Some(entry) = journal.read(sequence)? else { break };
                let size = match &entry.body {
                    EntryBody::Certificate { tbs, .. } | EntryBody::Crl { tbs, .. } => tbs.len(),
                    EntryBody::Revocation { .. } => 0,
                    EntryBody::OcspCount { .. } => continue,
                };
                if !entries.is_empty() && octets + size > MAX_OCTETS {
                    break;
                }
                octets += size + 256;
                entries.push(entry);
            }
            Ok::<_, std::io::Error>(entries)
        };
        let entries = blocking(read).await??;
        Ok((entries, Held { _large: Some(place), ..Held::default() }))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ServiceError::Unavailable("reading the journal failed".to_owned()))
}
