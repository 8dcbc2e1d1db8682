//! Step 9: the certificate, durable before it leaves the house.

use std::collections::{HashMap, HashSet};

use ca_core::{
    domain::ids::{IssuerId, SerialNumber},
    ports::{signer::JournalPosition, store::Conflict},
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    bulk::Bulk,
    failure::Failure,
    outcome::{BoxFuture, Written},
    rows::signed,
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

impl Bulk for NewIssued {
    /// Whether it is revoked.
    type Seen = bool;

    fn write_all<'a>(
        connection: &'a mut PgConnection,
        facts: &'a [&'a Self],
    ) -> BoxFuture<'a, Result<Vec<Option<bool>>, Failure>> {
        Box::pin(async move {
            // Of several for one certificate only the first goes into the statement; the others are compared with it.
            let mut seen = HashSet::new();
            let first: Vec<bool> =
                facts.iter().map(|fact| seen.insert((&fact.issuer, &fact.serial))).collect();
            let new = || facts.iter().zip(&first).filter(|(_, first)| **first).map(|(fact, _)| *fact);
            let issuers: Vec<&str> = new().map(|fact| fact.issuer.as_str()).collect();
            let serials: Vec<&[u8]> = new().map(|fact| fact.serial.as_bytes()).collect();
            let ders: Vec<&[u8]> = new().map(|fact| fact.der.as_slice()).collect();
            let sequences = new().map(|fact| signed("the journal's sequence", fact.position.sequence));
            let sequences = sequences.collect::<Result<Vec<i64>, Failure>>()?;
            let hashes: Vec<&[u8]> = new().map(|fact| fact.position.hash.as_slice()).collect();
            let times: Vec<i64> = new().map(|fact| fact.at.as_millisecond()).collect();
            // Counted, not compared with NULL: before its first ANALYZE the planner would take a partial index with that
            // condition for almost empty, and read all of it for each batch.
            let written = sqlx::query!(
                "UPDATE certificates
                 SET der = j.der, issued_at = j.at, journal_sequence = j.sequence, journal_hash = j.hash
                 FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[])
                     AS j (issuer, serial, der, sequence, hash, at)
                 WHERE certificates.issuer = j.issuer AND certificates.serial = j.serial
                   AND num_nonnulls(certificates.der, certificates.abandoned_at) = 0
                 RETURNING certificates.issuer, certificates.serial, certificates.revoked",
                &issuers as &[&str],
                &serials as &[&[u8]],
                &ders as &[&[u8]],
                &sequences,
                &hashes as &[&[u8]],
                &times
            )
            .fetch_all(connection)
            .await?;
            let written: HashMap<(String, Vec<u8>), bool> =
                written.into_iter().map(|row| ((row.issuer, row.serial), row.revoked)).collect();
            let revoked = |fact: &Self| {
                written.get(&(fact.issuer.as_str().to_owned(), fact.serial.as_bytes().to_vec())).copied()
            };
            Ok(facts.iter().zip(first).map(|(fact, first)| revoked(fact).filter(|_| first)).collect())
        })
    }

    fn not_written<'a>(
        &'a self,
        connection: &'a mut PgConnection,
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
                Some(row) if row.der.as_ref() == Some(&self.der) => Ok(Written::Unchanged(row.revoked)),
                _ => Err(Conflict::Missing.into()),
            }
        })
    }
}
