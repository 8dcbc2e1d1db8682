//! The offline check: the chain and every entry, read by nothing but the file. Takes no lock, so that it also runs
//! beside a live signer, whose last append may then look like an incomplete end.

use std::{collections::HashMap, fs::File, path::Path};

use jiff::Timestamp;
use serde::Serialize;
use signer_protocol::message::{Entry, EntryBody, JournalPosition, KeyLabel};

use super::{OpenError, frame, open, record};

/// What a sound journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries in all.
    pub entries: u64,
    /// Certificates signed.
    pub certificates: u64,
    /// CRLs signed.
    pub crls: u64,
    /// Revocations recorded.
    pub revocations: u64,
    /// OCSP responses counted.
    pub ocsp_responses: u64,
    /// Time of the first entry.
    pub first_at: Option<Timestamp>,
    /// Time of the last entry.
    pub last_at: Option<Timestamp>,
    /// The chain's last hash, in hexadecimal.
    pub head: String,
    /// Octets of the complete entries and what stands before them.
    pub octets: u64,
    /// Octets of an incomplete end, which the signer cuts off when it starts. 0 when there is none.
    pub incomplete_octets: u64,
    /// Per key, what it did.
    pub keys: Vec<KeyReport>,
}

/// What a journal says of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// The key's label.
    pub key: String,
    /// Certificates signed.
    pub certificates: u64,
    /// CRLs signed.
    pub crls: u64,
    /// Last `cRLNumber`.
    pub last_crl_number: Option<u64>,
    /// Revocations recorded.
    pub revocations: u64,
    /// OCSP responses counted.
    pub ocsp_responses: u64,
}

/// Checks a journal.
///
/// # Errors
/// [`OpenError`], which names the first bad entry.
pub fn verify(path: &Path) -> Result<Report, OpenError> {
    let file = File::open(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let (mut certificates, mut crls, mut revocations, mut ocsp_responses) = (0, 0, 0, 0);
    let mut first_at = None;
    let mut signed: HashMap<KeyLabel, (u64, u64)> = HashMap::new();
    let scanned = open::scan(&file, path, |record| {
        first_at.get_or_insert(record.at);
        match &record.body {
            EntryBody::Certificate { key, .. } => {
                certificates += 1;
                signed.entry(key.clone()).or_default().0 += 1;
            }
            EntryBody::Crl { key, .. } => {
                crls += 1;
                signed.entry(key.clone()).or_default().1 += 1;
            }
            EntryBody::Revocation { .. } => revocations += 1,
            EntryBody::OcspCount { count, .. } => ocsp_responses += count,
            EntryBody::ClockAccepted { .. } | EntryBody::CrlDigest { .. } => {}
        }
    })?;
    let index = scanned.index;
    let mut keys: Vec<KeyReport> = index
        .keys()
        .map(|(label, key)| (label, key, signed.get(label).copied().unwrap_or_default()))
        .map(|(label, key, (certificates, crls))| KeyReport {
            key: label.0.clone(),
            certificates,
            crls,
            last_crl_number: key.crl().map(|crl| crl.number),
            revocations: key.revocation_count() as u64,
            ocsp_responses: key.ocsp_responses(),
        })
        .collect();
    keys.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Report {
        entries: index.entries(),
        certificates,
        crls,
        revocations,
        ocsp_responses,
        first_at,
        last_at: index.last_at(),
        head: hex::encode(index.head()),
        octets: index.end(),
        incomplete_octets: scanned.torn.unwrap_or(0),
        keys,
    })
}

/// Shows entries with a sequence number above `after`, in order, until `each` says stop by returning false. Checks all
/// entries on the way.
///
/// # Errors
/// [`OpenError`], after the entries before the bad one were shown.
pub fn show(path: &Path, after: u64, mut each: impl FnMut(Entry) -> bool) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let index = open::scan(&file, path, |_| {})?.index;
    for sequence in after + 1..=index.entries() {
        let Some(place) = index.place(sequence) else { break };
        let (hash, body) = frame::read_at(&file, place).map_err(io)?;
        let record = record::decode(&body).map_err(|error| OpenError::Damaged {
            path: path.to_owned(),
            sequence,
            offset: place.offset,
            fault: error.to_string(),
        })?;
        let previous = frame::read_previous(&file, index.place(sequence.saturating_sub(1))).map_err(io)?;
        let position = JournalPosition { sequence, hash };
        let entry = Entry { position, previous, at: record.at, body: record.body };
        if !each(entry) {
            break;
        }
    }
    Ok(())
}
