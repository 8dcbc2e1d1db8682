//! Reading the journal for the authority, which compares it with its ledger.

use std::sync::Arc;

use signer_protocol::message::{Entry, EntryBody};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Held, Outcome, Service, ServiceError};
use crate::journal::crl_digest;

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
                let Some(mut entry) = journal.read(sequence)? else { break };
                if let Some(digest) = digest(&entry.body)? {
                    entry.body = digest;
                }
                let size = match &entry.body {
                    EntryBody::Certificate { tbs, .. } => tbs.len(),
                    EntryBody::OcspCount { .. } => continue,
                    _ => 0,
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

/// What stands for a CRL in a reply: nobody who compares books wants a million revocations for one number.
fn digest(body: &EntryBody) -> std::io::Result<Option<EntryBody>> {
    let EntryBody::Crl { key, audit_head, tbs, .. } = body else { return Ok(None) };
    let (state, digest) = crl_digest(tbs)?;
    let (number, this_update) = (state.number, state.this_update);
    Ok(Some(EntryBody::CrlDigest { key: key.clone(), audit_head: *audit_head, number, this_update, digest }))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ServiceError::Unavailable("reading the journal failed".to_owned()))
}
