//! The living certificates with their evidence, in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{CertificateRow, MemoryStore, State};
use crate::{
    domain::{
        certificate::CertificateState,
        ids::{ContractNumber, IssuerId},
    },
    ports::{
        fleet::{FleetMember, FleetPlace, FleetStore},
        store::StoreResult,
    },
};

#[async_trait]
impl FleetStore for MemoryStore {
    async fn fleet_size(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
    ) -> StoreResult<u64> {
        self.query("fleet_size", |state| state.living(issuer, contract, at).count() as u64)
    }

    async fn fleet(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
        after: FleetPlace,
        limit: u32,
    ) -> StoreResult<Vec<FleetMember>> {
        self.query("fleet", |state| {
            let living = state.living(issuer, contract, at);
            let later = living.filter(|(place, _)| *place > after).take(limit as usize);
            later.filter_map(|(place, row)| state.member(place, row)).collect()
        })
    }
}

impl State {
    fn living<'a>(
        &'a self,
        issuer: &'a IssuerId,
        contract: Option<&'a ContractNumber>,
        at: Timestamp,
    ) -> impl Iterator<Item = (FleetPlace, &'a CertificateRow)> {
        let placed = (1..).map(FleetPlace).zip(&self.certificates);
        placed.filter(move |(_, row)| {
            let record = &row.record;
            record.issuer == *issuer
                && matches!(record.state, CertificateState::Issued { .. })
                && record.not_after >= at
                && contract.is_none_or(|contract| record.contract == *contract)
        })
    }

    fn member(&self, place: FleetPlace, row: &CertificateRow) -> Option<FleetMember> {
        let record = &row.record;
        let enrolment = self.enrolments.get(&record.intent)?;
        Some(FleetMember {
            place,
            intent: record.intent,
            serial: record.serial.clone(),
            user: record.user.clone(),
            contract: record.contract.clone(),
            device: record.device.clone(),
            assurance: record.assurance,
            not_after: record.not_after,
            binding: enrolment.binding,
            ak_name: enrolment.ak_name.clone(),
            token: self.tokens.iter().find(|t| t.device == record.device).map(|t| t.state.clone()),
            evidence: self.evidence.get(&record.intent)?.clone(),
        })
    }
}
