//! Where a journal ends, and what of its past is small: everything of the index but its tables.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use signer_protocol::message::{AuditPosition, KeyLabel};

use super::{
    change::{Change, CrlState},
    frame::{HEADER, Hash, Place},
};

/// Entries that one journal takes: tables keep sequence numbers in four octets.
const MAX_ENTRIES: u64 = u32::MAX as u64 - 1;

/// A journal's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    /// How many entries.
    pub(super) entries: u64,
    /// Octets.
    pub(super) end: u64,
    /// The chain's last hash.
    #[serde(with = "serde_bytes")]
    pub(super) head: Hash,
    /// The last entry's time.
    pub(super) last_at: Option<Timestamp>,
    /// The furthest place in the authority's audit trail.
    pub(super) audit: Option<AuditPosition>,
}

/// What of a key's past is small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyPast {
    pub(super) crl: Option<CrlState>,
    pub(super) crl_entry: Option<u64>,
    pub(super) ocsp_responses: u64,
}

impl Extent {
    /// Of an empty journal.
    pub(super) fn new(genesis: Hash) -> Self {
        Self { entries: 0, end: HEADER as u64, head: genesis, last_at: None, audit: None }
    }

    /// Whether an entry may follow, as far as can be told without tables.
    pub(super) fn check(
        &self,
        at: Timestamp,
        change: &Change,
        past: impl FnOnce(&KeyLabel) -> Option<KeyPast>,
    ) -> Result<(), String> {
        if self.entries >= MAX_ENTRIES {
            return Err(format!("a journal ends at {MAX_ENTRIES} entries"));
        }
        match (self.last_at, change) {
            (last, Change::Clock { before }) if last != Some(*before) => {
                return Err("it accepts another clock than the last entry's".to_owned());
            }
            (Some(last), change) if at < last && !matches!(change, Change::Clock { .. }) => {
                return Err(format!("its time {at} is before the entry before it, {last}"));
            }
            _ => {}
        }
        if let Change::Crl { key, crl, .. } = change
            && let Some(last) = past(key).and_then(|past| past.crl)
            && crl.number <= last.number
        {
            return Err(format!("CRL number {} follows {}", crl.number, last.number));
        }
        Ok(())
    }

    /// Takes in an entry.
    pub(super) fn take(&mut self, place: Place, hash: Hash, at: Timestamp, change: &Change) {
        self.entries += 1;
        self.end = place.offset + place.length;
        self.head = hash;
        self.last_at = Some(at);
        if let Some(audit) = change.audit()
            && self.audit.is_none_or(|furthest| furthest.sequence < audit.sequence)
        {
            self.audit = Some(audit);
        }
    }
}

impl KeyPast {
    /// Takes in an entry of this key.
    pub(super) fn take(&mut self, sequence: u64, change: &Change) {
        match change {
            Change::Crl { crl, .. } => {
                self.crl = Some(*crl);
                self.crl_entry = Some(sequence);
            }
            Change::Ocsp { count, .. } => self.ocsp_responses += count,
            Change::Certificate { .. } | Change::Revocation { .. } | Change::Clock { .. } => {}
        }
    }

    /// After the clock was set back: the next CRL may be of any time from `at` on. Its number still rises.
    pub(super) fn not_before(&mut self, at: Timestamp) {
        if let Some(crl) = &mut self.crl {
            crl.this_update = crl.this_update.min(at);
        }
    }
}
