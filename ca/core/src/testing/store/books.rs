//! The books in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::{
    domain::ids::{IssuerId, SerialNumber, SignerName},
    ports::{
        books::{Entered, LedgerBooks},
        store::StoreResult,
    },
};

#[async_trait]
impl LedgerBooks for MemoryStore {
    async fn entered(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        first: u64,
        last: u64,
    ) -> StoreResult<Vec<Entered>> {
        self.query("entered", |state| {
            let of_signer = state
                .certificates
                .iter()
                .filter(|row| row.record.issuer == *issuer && row.record.signer == *signer);
            let mut found: Vec<Entered> = of_signer
                .filter_map(|row| {
                    let position = row.position.filter(|at| (first..=last).contains(&at.sequence))?;
                    Some(Entered { intent: row.record.intent, position, tbs: row.record.tbs.clone() })
                })
                .collect();
            found.sort_by_key(|entered| entered.position.sequence);
            found
        })
    }

    async fn revoked_among(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
    ) -> StoreResult<BTreeMap<SerialNumber, Timestamp>> {
        self.query("revoked_among", |state| {
            let revoked = |serial: &SerialNumber| {
                let row = state.revocations.get(&(issuer.clone(), serial.clone()))?;
                Some((serial.clone(), row.revocation.at))
            };
            serials.iter().filter_map(revoked).collect()
        })
    }

    async fn audit_hashes(&self, first: u64, last: u64) -> StoreResult<Vec<(u64, [u8; 32])>> {
        self.query("audit_hashes", |state| {
            let rows = state.audit.iter().filter(|row| (first..=last).contains(&row.sequence));
            rows.map(|row| (row.sequence, row.hash)).collect()
        })
    }
}
