//! What policy asks of the past, in memory: offsets and keys, never bodies.
//!
//! It is built by reading the file once and then follows every append. An entry that contradicts an earlier one (an
//! intent or serial number signed twice, a CRL number that doesn't rise, a clock that went back) never enters it.

use std::collections::HashMap;

use jiff::Timestamp;
use signer_protocol::message::{EntryBody, KeyLabel};
use uuid::Uuid;

use super::{
    frame::{HEADER, Hash, Place},
    serial::{self, Serial},
};

/// The journal's past.
#[derive(Debug)]
pub struct Index {
    /// Where each entry begins.
    offsets: Vec<u64>,
    end: u64,
    head: Hash,
    last_at: Option<Timestamp>,
    intents: HashMap<Uuid, u64>,
    keys: HashMap<KeyLabel, KeyIndex>,
}

/// The past of one key.
#[derive(Debug, Default)]
pub struct KeyIndex {
    serials: HashMap<Serial, u64>,
    revocations: HashMap<Serial, Revoked>,
    crl: Option<(CrlState, u64)>,
    ocsp_responses: u64,
}

/// A journaled revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Since when.
    pub revoked_at: Timestamp,
    /// When the certificate expires and may leave the CRL.
    pub not_after: Timestamp,
    /// The entry.
    pub sequence: u64,
}

/// The last CRL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlState {
    /// `cRLNumber`.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
}

/// What an entry adds to the index; worked out before anything changes.
#[derive(Debug)]
pub(super) enum Change {
    Certificate { key: KeyLabel, intent: Uuid, serial: Serial },
    Crl { key: KeyLabel, crl: CrlState },
    Revocation { key: KeyLabel, serial: Serial, revoked_at: Timestamp, not_after: Timestamp },
    Ocsp { key: KeyLabel, count: u64 },
}

impl Change {
    /// Reads what matters out of an entry.
    pub(super) fn of(body: &EntryBody) -> Result<Self, String> {
        Ok(match body {
            EntryBody::Certificate { key, intent, tbs, .. } => {
                let serial = serial::of_certificate(tbs)
                    .map_err(|error| format!("its certificate has no readable serial number: {error}"))?;
                Self::Certificate { key: key.clone(), intent: *intent, serial }
            }
            EntryBody::Crl { key, tbs, .. } => {
                let (number, this_update) = serial::of_crl(tbs)
                    .map_err(|error| format!("its CRL has no readable number: {error}"))?;
                Self::Crl { key: key.clone(), crl: CrlState { number, this_update } }
            }
            EntryBody::Revocation { key, revocation, .. } => Self::Revocation {
                key: key.clone(),
                serial: Serial::from_content(&revocation.serial).map_err(|error| error.to_string())?,
                revoked_at: revocation.revoked_at,
                not_after: revocation.not_after,
            },
            EntryBody::OcspCount { key, count } => Self::Ocsp { key: key.clone(), count: *count },
        })
    }
}

impl Index {
    /// The index of an empty journal.
    pub(super) fn new(genesis: Hash) -> Self {
        Self {
            offsets: Vec::new(),
            end: HEADER as u64,
            head: genesis,
            last_at: None,
            intents: HashMap::new(),
            keys: HashMap::new(),
        }
    }

    /// How many entries there are; also the last sequence number.
    pub fn entries(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// The chain's last hash, the genesis when there is no entry.
    pub fn head(&self) -> [u8; 32] {
        self.head
    }

    /// The last entry's time.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// The entry of an intent.
    pub fn intent(&self, intent: &Uuid) -> Option<u64> {
        self.intents.get(intent).copied()
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
        self.end
    }

    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        let position = usize::try_from(sequence.checked_sub(1)?).ok()?;
        let offset = *self.offsets.get(position)?;
        let end = self.offsets.get(position + 1).copied().unwrap_or(self.end);
        Some(Place { offset, length: end - offset })
    }

    /// Whether an entry may follow.
    pub(super) fn check(&self, at: Timestamp, change: &Change) -> Result<(), String> {
        if let Some(last) = self.last_at
            && at < last
        {
            return Err(format!("its time {at} is before the entry before it, {last}"));
        }
        match change {
            Change::Certificate { key, intent, serial } => {
                if let Some(earlier) = self.intents.get(intent) {
                    return Err(format!("intent {intent} was signed in entry {earlier}"));
                }
                if let Some(earlier) = self.key(key).and_then(|key| key.serials.get(serial)) {
                    return Err(format!("serial number {serial} was signed in entry {earlier}"));
                }
            }
            Change::Crl { key, crl } => {
                if let Some(last) = self.key(key).and_then(KeyIndex::crl)
                    && crl.number <= last.number
                {
                    return Err(format!("CRL number {} follows {}", crl.number, last.number));
                }
            }
            Change::Revocation { key, serial, .. } => {
                if let Some(earlier) = self.key(key).and_then(|key| key.revocation(serial)) {
                    return Err(format!("{serial} was revoked in entry {}", earlier.sequence));
                }
            }
            Change::Ocsp { .. } => {}
        }
        Ok(())
    }

    /// Takes an entry in that [`Index::check`] allowed.
    pub(super) fn push(&mut self, place: Place, hash: Hash, at: Timestamp, change: Change) {
        self.offsets.push(place.offset);
        self.end = place.offset + place.length;
        self.head = hash;
        self.last_at = Some(at);
        let sequence = self.entries();
        match change {
            Change::Certificate { key, intent, serial } => {
                self.intents.insert(intent, sequence);
                self.keys.entry(key).or_default().serials.insert(serial, sequence);
            }
            Change::Crl { key, crl } => self.keys.entry(key).or_default().crl = Some((crl, sequence)),
            Change::Revocation { key, serial, revoked_at, not_after } => {
                let revoked = Revoked { revoked_at, not_after, sequence };
                self.keys.entry(key).or_default().revocations.insert(serial, revoked);
            }
            Change::Ocsp { key, count } => self.keys.entry(key).or_default().ocsp_responses += count,
        }
    }
}

impl KeyIndex {
    /// The entry of a certificate by its serial number.
    pub fn certificate(&self, serial: &Serial) -> Option<u64> {
        self.serials.get(serial).copied()
    }

    /// The revocation of a certificate.
    pub fn revocation(&self, serial: &Serial) -> Option<&Revoked> {
        self.revocations.get(serial)
    }

    /// All revocations, in no order.
    pub fn revocations(&self) -> impl Iterator<Item = (&Serial, &Revoked)> {
        self.revocations.iter()
    }

    /// How many revocations there are. It only grows, so that equal counts mean nothing happened in between.
    pub fn revocation_count(&self) -> usize {
        self.revocations.len()
    }

    /// The last CRL.
    pub fn crl(&self) -> Option<CrlState> {
        self.crl.map(|(crl, _)| crl)
    }

    /// The last CRL's entry.
    pub fn crl_entry(&self) -> Option<u64> {
        self.crl.map(|(_, sequence)| sequence)
    }

    /// OCSP responses counted so far.
    pub fn ocsp_responses(&self) -> u64 {
        self.ocsp_responses
    }
}

#[cfg(test)]
impl Index {
    /// An index without a file.
    pub(crate) fn empty() -> Self {
        Self::new([0; 32])
    }

    /// Takes an entry without a file.
    pub(crate) fn take(&mut self, at: Timestamp, body: &EntryBody) {
        let change = Change::of(body).expect("readable");
        self.check(at, &change).expect("allowed");
        let place = Place { offset: self.end, length: 1 };
        self.push(place, [0; 32], at, change);
    }
}
