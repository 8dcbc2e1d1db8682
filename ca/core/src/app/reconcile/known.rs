//! What the ledger has of a page of the journal, looked up at once: nearly every entry of a long journal is in it already,
//! and asking for each by itself is what a first walk would spend its time on.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::Reconcile;
use crate::{
    domain::{anchor::Row, ids::SerialNumber},
    ports::{
        books::Entered,
        signer::{JournalBody, JournalEntry},
        store::StoreResult,
    },
};

/// Entries of a page that need no further look.
pub(super) struct Known {
    /// By the number of the journal's entry.
    certificates: HashMap<u64, Entered>,
    /// Since when.
    revoked: BTreeMap<SerialNumber, Timestamp>,
}

impl Reconcile {
    pub(super) async fn known(&self, page: &[(JournalEntry, Row)]) -> StoreResult<Known> {
        let issuer = self.issuer.id();
        let entries = || page.iter().map(|(entry, _)| entry);
        let is_certificate = |entry: &&JournalEntry| matches!(entry.body, JournalBody::Certificate(_));
        let sequences = || entries().filter(is_certificate).map(|entry| entry.position.sequence);
        let mut certificates = HashMap::new();
        if let (Some(first), Some(last), Ok(signer)) =
            (sequences().min(), sequences().max(), self.signer.name(issuer))
        {
            let entered = self.books.entered(issuer, &signer, first, last).await?;
            certificates = entered.into_iter().map(|entered| (entered.position.sequence, entered)).collect();
        }
        let serials: Vec<SerialNumber> = entries()
            .filter_map(|entry| match &entry.body {
                JournalBody::Revocation(revocation) => Some(revocation.serial.clone()),
                _ => None,
            })
            .collect();
        let revoked = if serials.is_empty() {
            BTreeMap::new()
        } else {
            self.books.revoked_among(issuer, &serials).await?
        };
        // One number stands for all CRLs of the page: numbers only rise.
        let crl = entries()
            .filter_map(|entry| if let JournalBody::Crl(n) = entry.body { Some(n) } else { None })
            .max();
        if let Some(number) = crl {
            self.revocations.raise_crl_number(issuer, number).await?;
        }
        Ok(Known { certificates, revoked })
    }
}

impl Known {
    /// Whether the ledger has what this entry says, byte for byte; a revocation also since an earlier time.
    pub(super) fn has(&self, entry: &JournalEntry) -> bool {
        match &entry.body {
            JournalBody::Certificate(journaled) => {
                self.certificates.get(&entry.position.sequence).is_some_and(|entered| {
                    entered.position == entry.position
                        && entered.intent == journaled.intent
                        && entered.tbs == journaled.tbs
                })
            }
            JournalBody::Revocation(revocation) => {
                self.revoked.get(&revocation.serial).is_some_and(|at| *at <= revocation.at)
            }
            JournalBody::Crl(_) | JournalBody::Foreign => true,
        }
    }
}
