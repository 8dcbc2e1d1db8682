//! Step 9: the certificate, durable before it leaves the house.

use std::collections::{HashMap, HashSet};

use ca_core::{
    domain::ids::{IssuerId, SerialNumber},
    ports::{signer::JournalPosition, store::Conflict},
};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::{
    bulk::Bulk,
    failure::Failure,
    heap::{Heap, Slice},
    json::json,
    outcome::{BoxFuture, Written},
};

/// A certificate that was signed, with its place in the signer's journal.
#[derive(Debug)]
pub(crate) struct NewIssued {
    pub(crate) issuer: IssuerId,
    pub(crate) serial: SerialNumber,
    pub(crate) der: Vec<u8>,
    pub(crate) position: JournalPosition,
    pub(crate) at: Timestamp,
}

/// A certificate for a statement.
#[derive(Serialize)]
pub(crate) struct JsonIssued<'a> {
    issuer: &'a str,
    serial: String,
    der: Slice,
    sequence: u64,
    hash: String,
    at: i64,
}

impl<'a> JsonIssued<'a> {
    pub(crate) fn of(issued: &'a NewIssued, heap: &mut Heap) -> Self {
        Self {
            issuer: issued.issuer.as_str(),
            serial: issued.serial.to_string(),
            der: heap.put(&issued.der),
            sequence: issued.position.sequence,
            hash: hex::encode(issued.position.hash),
            at: issued.at.as_millisecond(),
        }
    }
}

impl Bulk for NewIssued {
    /// Whether it is revoked.
    type Seen = bool;

    fn write_all<'a>(
        connection: &'a mut SqliteConnection,
        facts: &'a [&'a Self],
    ) -> BoxFuture<'a, Result<Vec<Option<bool>>, Failure>> {
        Box::pin(async move {
            // Of several for one certificate only the first goes into the statement; the others are compared with it.
            let mut seen = HashSet::new();
            let first: Vec<bool> =
                facts.iter().map(|fact| seen.insert((&fact.issuer, &fact.serial))).collect();
            let mut heap = Heap::default();
            let firsts = facts.iter().zip(&first).filter(|(_, first)| **first);
            let json = json(firsts.map(|(fact, _)| JsonIssued::of(fact, &mut heap)))?;
            let octets = heap.into_octets();
            let written = sqlx::query!(
                "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
                 UPDATE certificates
                 SET der = substr($2, j.value ->> '$.der[0]', j.value ->> '$.der[1]'), issued_at = j.value ->> 'at',
                     journal_sequence = j.value ->> 'sequence', journal_hash = unhex(j.value ->> 'hash')
                 FROM j
                 WHERE certificates.issuer = j.value ->> 'issuer' AND certificates.serial = unhex(j.value ->> 'serial')
                   AND certificates.der IS NULL AND certificates.abandoned_at IS NULL
                 RETURNING certificates.issuer, certificates.serial, certificates.revoked",
                json,
                octets
            )
            .fetch_all(connection)
            .await?;
            let written: HashMap<(String, Vec<u8>), bool> =
                written.into_iter().map(|row| ((row.issuer, row.serial), row.revoked != 0)).collect();
            let revoked = |fact: &Self| {
                written.get(&(fact.issuer.as_str().to_owned(), fact.serial.as_bytes().to_vec())).copied()
            };
            Ok(facts.iter().zip(first).map(|(fact, first)| revoked(fact).filter(|_| first)).collect())
        })
    }

    fn not_written<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
    ) -> BoxFuture<'a, Result<Written<bool>, Failure>> {
        Box::pin(async move {
            let (issuer, serial) = (self.issuer.as_str(), self.serial.as_bytes());
            let known = sqlx::query!(
                "SELECT der, revoked FROM certificates WHERE issuer = $1 AND serial = $2",
                issuer,
                serial
            )
            .fetch_optional(connection)
            .await?;
            match known {
                Some(row) if row.der.as_ref() == Some(&self.der) => Ok(Written::Unchanged(row.revoked != 0)),
                _ => Err(Conflict::Missing.into()),
            }
        })
    }
}
