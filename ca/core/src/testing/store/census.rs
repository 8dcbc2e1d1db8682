//! Counts in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::{
    domain::{certificate::CertificateState, ids::IssuerId},
    ports::{
        census::{CrlHead, LedgerCensus, LedgerLoad, Unfinished},
        store::StoreResult,
    },
};

#[async_trait]
impl LedgerCensus for MemoryStore {
    async fn probe(&self) -> StoreResult<()> {
        self.commit("probe", |_| Ok(()))
    }

    async fn schema_fits(&self) -> StoreResult<bool> {
        self.query("schema_fits", |_| true)
    }

    async fn unfinished(&self, issuer: &IssuerId) -> StoreResult<Unfinished> {
        self.query("unfinished", |state| {
            let certificates = state.certificates.iter().map(|row| &row.record);
            let certificates = certificates.map(|row| (&row.issuer, row.not_before, &row.state));
            let responders = state.responders.iter().map(|row| &row.record);
            let responders = responders.map(|row| (&row.issuer, row.not_before, &row.state));
            let records: Vec<_> = certificates.chain(responders).collect();
            let open = || {
                let ours = records.iter().filter(|(of, ..)| *of == issuer);
                ours.filter(|(.., state)| **state == CertificateState::Intended)
            };
            let is_revoked =
                |serial: &_| state.revocations.contains_key(&(issuer.clone(), Clone::clone(serial)));
            let orphans = state.orphans.iter().filter(|orphan| orphan.issuer == *issuer);
            let signers = state.signers.values().filter(|signer| signer.issuer == *issuer);
            let told =
                signers.filter(|signer| signer.retired_at.is_none()).map(|signer| signer.revocations_to);
            let untold = told.min().map_or(0, |to| {
                let ours = state.revocations.iter().filter(|((of, _), _)| of == issuer);
                ours.filter(|(_, row)| row.number > to).count()
            });
            Unfinished {
                open_intents: open().count() as u64,
                oldest_intent: open().map(|(_, not_before, _)| *not_before).min(),
                orphans: orphans.filter(|orphan| !is_revoked(&orphan.serial)).count() as u64,
                unjournaled_revocations: untold as u64,
            }
        })
    }

    async fn crl(&self, issuer: &IssuerId) -> StoreResult<Option<CrlHead>> {
        self.query("crl", |state| {
            let current = state.crls.get(issuer)?.current.as_ref()?;
            Some(CrlHead {
                number: current.number,
                this_update: current.this_update,
                next_update: current.next_update,
                entries: current.entries,
            })
        })
    }

    async fn expiring(&self, issuer: &IssuerId, from: Timestamp, until: Timestamp) -> StoreResult<u64> {
        self.query("expiring", |state| {
            let records = state.certificates.iter().map(|row| &row.record);
            let live = records.filter(|record| {
                record.issuer == *issuer && matches!(record.state, CertificateState::Issued { .. })
            });
            live.filter(|record| record.not_after >= from && record.not_after < until).count() as u64
        })
    }

    fn load(&self) -> LedgerLoad {
        LedgerLoad::default()
    }
}
