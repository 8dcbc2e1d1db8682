//! What policy asks of the past, in memory: offsets and keys, never bodies.
//!
//! It is built by reading the file once, or a checkpoint and what came after it, and then follows every append. An entry
//! that contradicts an earlier one (an intent or serial number signed twice, a CRL number that doesn't rise, a clock that
//! went back) never enters it.

use std::collections::HashMap;

use jiff::Timestamp;
use signer_protocol::message::{AuditPosition, KeyLabel};
use uuid::Uuid;

use super::{
    change::{Change, CrlState},
    extent::{Extent, KeyPast},
    frame::{Hash, Place},
    serial::Serial,
    table::{self, NUMBER, Table},
};

/// Octets of an intent, of a serial number as a key, and of what is kept about a revocation.
const INTENT: usize = 16;
const SERIAL: usize = 21;
const REVOKED: usize = 16 + NUMBER;

/// Intents, each with its entry: about 20 octets.
pub(super) type Intents = Table<INTENT, NUMBER>;
/// Serial numbers, each with its certificate's entry: about 25 octets.
pub(super) type Serials = Table<SERIAL, NUMBER>;
/// Serial numbers, each with when it was revoked, when it expires, and its entry: about 41 octets.
pub(super) type Revocations = Table<SERIAL, REVOKED>;

/// The journal's past.
#[derive(Debug)]
pub struct Index {
    /// Where each entry begins.
    pub(super) offsets: Vec<u64>,
    pub(super) extent: Extent,
    pub(super) intents: Intents,
    pub(super) keys: HashMap<KeyLabel, KeyIndex>,
}

/// The past of one key.
#[derive(Debug, Default)]
pub struct KeyIndex {
    pub(super) past: KeyPast,
    pub(super) serials: Serials,
    pub(super) revocations: Revocations,
}

/// A journaled revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Since when, in whole microseconds.
    pub revoked_at: Timestamp,
    /// When the certificate expires and may leave the CRL, in whole microseconds.
    pub not_after: Timestamp,
    /// The entry.
    pub sequence: u64,
}

impl Revoked {
    fn to_octets(self) -> [u8; REVOKED] {
        let mut octets = [0; REVOKED];
        octets[..8].copy_from_slice(&self.revoked_at.as_microsecond().to_be_bytes());
        octets[8..16].copy_from_slice(&self.not_after.as_microsecond().to_be_bytes());
        octets[16..].copy_from_slice(&octets_of(self.sequence));
        octets
    }

    /// A time that can't be is read as the latest: the certificate then stays revoked and on every CRL.
    fn of_octets(octets: &[u8; REVOKED]) -> Self {
        let time = |from: usize| {
            let octets = octets[from..].first_chunk().copied().unwrap_or_default();
            Timestamp::from_microsecond(i64::from_be_bytes(octets)).unwrap_or(Timestamp::MAX)
        };
        Self { revoked_at: time(0), not_after: time(8), sequence: table::number(octets).into() }
    }
}

/// A sequence number as tables keep it; [`Index::check`] sees to it that all fit.
fn octets_of(sequence: u64) -> [u8; NUMBER] {
    u32::try_from(sequence).unwrap_or(u32::MAX).to_be_bytes()
}

impl Index {
    /// The index of an empty journal.
    pub(super) fn new(genesis: Hash) -> Self {
        Self {
            offsets: Vec::new(),
            extent: Extent::new(genesis),
            intents: Table::default(),
            keys: HashMap::new(),
        }
    }

    /// How many entries there are; also the last sequence number.
    pub fn entries(&self) -> u64 {
        self.extent.entries
    }

    /// The chain's last hash, the genesis when there is no entry.
    pub fn head(&self) -> [u8; 32] {
        self.extent.head
    }

    /// What no time of a further entry may be before: the last entry's.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.extent.last_at
    }

    /// The furthest place in the authority's audit trail that an entry carries.
    pub fn audit(&self) -> Option<AuditPosition> {
        self.extent.audit
    }

    /// The entry of an intent.
    pub fn intent(&self, intent: &Uuid) -> Option<u64> {
        self.intents.get(intent.as_bytes()).map(|value| table::number(&value).into())
    }

    /// The past of a key; `None` when it never signed.
    pub fn key(&self, key: &KeyLabel) -> Option<&KeyIndex> {
        self.keys.get(key)
    }

    /// The keys that have a past.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&KeyLabel, &KeyIndex)> {
        self.keys.iter()
    }

    pub(super) fn end(&self) -> u64 {
        self.extent.end
    }

    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        let position = usize::try_from(sequence.checked_sub(1)?).ok()?;
        let offset = *self.offsets.get(position)?;
        let end = self.offsets.get(position + 1).copied().unwrap_or(self.extent.end);
        Some(Place { offset, length: end - offset })
    }

    /// Whether an entry may follow.
    pub(super) fn check(&self, at: Timestamp, change: &Change) -> Result<(), String> {
        self.extent.check(at, change, |key| self.key(key).map(|key| key.past))?;
        match change {
            Change::Certificate { key, intent, serial, .. } => {
                if let Some(earlier) = self.intent(intent) {
                    return Err(format!("intent {intent} was signed in entry {earlier}"));
                }
                if let Some(earlier) = self.key(key).and_then(|key| key.certificate(serial)) {
                    return Err(format!("serial number {serial} was signed in entry {earlier}"));
                }
            }
            Change::Revocation { key, serial, .. } => {
                if let Some(earlier) = self.key(key).and_then(|key| key.revocation(serial)) {
                    return Err(format!("{serial} was revoked in entry {}", earlier.sequence));
                }
            }
            Change::Crl { .. } | Change::Ocsp { .. } | Change::Clock { .. } => {}
        }
        Ok(())
    }

    /// Takes an entry in that [`Index::check`] allowed.
    pub(super) fn push(&mut self, place: Place, hash: Hash, at: Timestamp, change: &Change) {
        self.offsets.push(place.offset);
        self.extent.take(place, hash, at, change);
        let sequence = self.extent.entries;
        if let Some(key) = change.key() {
            if !self.keys.contains_key(key) {
                self.keys.insert(key.clone(), KeyIndex::default());
            }
            if let Some(key) = self.keys.get_mut(key) {
                key.past.take(sequence, change);
                key.take(sequence, change);
            }
        }
        match change {
            Change::Certificate { intent, .. } => {
                self.intents.insert(*intent.as_bytes(), octets_of(sequence));
            }
            // No CRL is bound to a time that was never.
            Change::Clock { .. } => {
                for key in self.keys.values_mut() {
                    key.past.not_before(at);
                }
            }
            _ => {}
        }
    }

    /// Keeps tables small while a file is read.
    pub(super) fn tidy(&mut self) {
        self.intents.tidy();
        for key in self.keys.values_mut() {
            key.serials.tidy();
            key.revocations.tidy();
        }
    }

    /// Whether it has an entry of the file as it stands there.
    pub(super) fn knows(&self, sequence: u64, place: Place, change: &Change) -> bool {
        let known = match change {
            Change::Certificate { key, intent, serial, .. } => {
                self.intent(intent) == Some(sequence)
                    && self.key(key).and_then(|key| key.certificate(serial)) == Some(sequence)
            }
            Change::Revocation { key, serial, revoked_at, not_after, .. } => {
                let wanted = Revoked { revoked_at: *revoked_at, not_after: *not_after, sequence };
                let found = self.key(key).and_then(|key| key.revocation(serial));
                found.is_some_and(|found| found.to_octets() == wanted.to_octets())
            }
            Change::Crl { .. } | Change::Ocsp { .. } | Change::Clock { .. } => true,
        };
        known && self.place(sequence) == Some(place)
    }
}

impl KeyIndex {
    fn take(&mut self, sequence: u64, change: &Change) {
        match change {
            Change::Certificate { serial, .. } => self.serials.insert(serial.to_key(), octets_of(sequence)),
            Change::Revocation { serial, revoked_at, not_after, .. } => {
                let revoked = Revoked { revoked_at: *revoked_at, not_after: *not_after, sequence };
                self.revocations.insert(serial.to_key(), revoked.to_octets());
            }
            Change::Crl { .. } | Change::Ocsp { .. } | Change::Clock { .. } => {}
        }
    }

    /// The entry of a certificate by its serial number.
    pub fn certificate(&self, serial: &Serial) -> Option<u64> {
        self.serials.get(&serial.to_key()).map(|value| table::number(&value).into())
    }

    /// The revocation of a certificate.
    pub fn revocation(&self, serial: &Serial) -> Option<Revoked> {
        self.revocations.get(&serial.to_key()).map(|value| Revoked::of_octets(&value))
    }

    /// All revocations, in no order.
    pub fn revocations(&self) -> impl Iterator<Item = (Serial, Revoked)> {
        self.revocations.iter().map(|(key, value)| (Serial::of_key(&key), Revoked::of_octets(&value)))
    }

    /// How many revocations there are. It only grows, so that equal counts mean nothing happened in between.
    pub fn revocation_count(&self) -> usize {
        self.revocations.len()
    }

    /// The last CRL.
    pub fn crl(&self) -> Option<CrlState> {
        self.past.crl
    }

    /// The last CRL's entry.
    pub fn crl_entry(&self) -> Option<u64> {
        self.past.crl_entry
    }

    /// OCSP responses counted so far.
    pub fn ocsp_responses(&self) -> u64 {
        self.past.ocsp_responses
    }
}

#[cfg(test)]
impl Index {
    /// An index without a file.
    pub(crate) fn empty() -> Self {
        Self::new([0; 32])
    }

    /// Takes an entry without a file.
    pub(crate) fn take(&mut self, at: Timestamp, body: &signer_protocol::message::EntryBody) {
        let change = Change::of(body).expect("readable");
        self.check(at, &change).expect("allowed");
        let place = Place { offset: self.end(), length: 1 };
        self.push(place, [0; 32], at, &change);
    }
}
