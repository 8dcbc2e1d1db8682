//! The living certificates with the evidence that they rest on, a page at a time.

use std::collections::HashMap;

use async_trait::async_trait;
use ca_core::{
    domain::{
        device::Assurance,
        enrolment::Binding,
        ids::{ContractNumber, IssuerId, UserId},
    },
    ports::{
        fleet::{FleetMember, FleetPlace, FleetStore},
        store::{StoreResult, StoredEvidence},
    },
};
use jiff::Timestamp;

use crate::{
    PostgresStore,
    failure::Failure,
    rows::{device, digest, enrolment_id, id, name, number, policy_version, serial, time, unsigned},
    token::token_state,
};

#[async_trait]
impl FleetStore for PostgresStore {
    async fn fleet_size(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
    ) -> StoreResult<u64> {
        let (issuer, contract) = (issuer.as_str(), contract.map(ContractNumber::as_str));
        let at = at.as_millisecond();
        let size = sqlx::query_scalar!(
            r#"SELECT count(*) AS "size!" FROM certificates c JOIN users u ON u.id = c.user_id
               WHERE c.issuer = $1 AND c.issued_at IS NOT NULL AND NOT c.revoked AND c.not_after >= $2
                 AND ($3::text IS NULL OR u.contract = $3)"#,
            issuer,
            at,
            contract
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(unsigned("the size of the fleet", size)?)
    }

    async fn fleet(
        &self,
        issuer: &IssuerId,
        contract: Option<&ContractNumber>,
        at: Timestamp,
        after: FleetPlace,
        limit: u32,
    ) -> StoreResult<Vec<FleetMember>> {
        let (issuer, contract) = (issuer.as_str(), contract.map(ContractNumber::as_str));
        let (at, after) = (at.as_millisecond(), after.0);
        let rows = sqlx::query_as!(
            FleetRow,
            r#"SELECT c.id, c.intent, c.serial, c.user_id, u.contract, c.device_kind, c.device_serial,
                      c.assurance, c.not_after, e.binding, e.ak_name, v.format, v.csr, v.challenge,
                      v.challenge_signature, v.predecessor_signature, v.policy_name, v.policy_version, v.trust_version, v.verdict, v.decoded,
                      v.judged_at, t.state AS "token_state?", t.contract AS "token_contract?"
               FROM certificates c
               JOIN users u ON u.id = c.user_id
               JOIN enrolments e ON e.id = c.intent
               JOIN evidence v ON v.enrolment = c.intent
               LEFT JOIN tokens t ON t.kind = c.device_kind AND t.serial = c.device_serial
               WHERE c.id > $1 AND c.issuer = $2 AND c.issued_at IS NOT NULL AND NOT c.revoked
                 AND c.not_after >= $3 AND ($4::text IS NULL OR u.contract = $4)
               ORDER BY c.id LIMIT $5"#,
            after,
            issuer,
            at,
            contract,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let mut parts = self.parts(&rows).await?;
        let members = rows.into_iter().map(|row| {
            let parts = parts.remove(&row.intent).unwrap_or_default();
            row.of(parts)
        });
        Ok(members.collect::<Result<_, Failure>>()?)
    }
}

impl PostgresStore {
    /// The parts of the evidence of these, in order.
    async fn parts(&self, rows: &[FleetRow]) -> Result<HashMap<Vec<u8>, Vec<Vec<u8>>>, Failure> {
        let intents: Vec<&[u8]> = rows.iter().map(|row| row.intent.as_slice()).collect();
        let found = sqlx::query!(
            "SELECT enrolment, part FROM evidence_parts WHERE enrolment = ANY ($1) ORDER BY enrolment, position",
            &intents as &[&[u8]]
        )
        .fetch_all(self.readers())
        .await?;
        let mut parts = HashMap::<Vec<u8>, Vec<Vec<u8>>>::with_capacity(rows.len());
        for row in found {
            parts.entry(row.enrolment).or_default().push(row.part);
        }
        Ok(parts)
    }
}

struct FleetRow {
    id: i64,
    intent: Vec<u8>,
    serial: Vec<u8>,
    user_id: String,
    contract: String,
    device_kind: String,
    device_serial: String,
    assurance: String,
    not_after: i64,
    binding: String,
    ak_name: Option<Vec<u8>>,
    format: String,
    csr: Vec<u8>,
    challenge: Vec<u8>,
    challenge_signature: Vec<u8>,
    predecessor_signature: Option<Vec<u8>>,
    policy_name: String,
    policy_version: i64,
    trust_version: i64,
    verdict: String,
    decoded: String,
    judged_at: i64,
    token_state: Option<String>,
    token_contract: Option<String>,
}

impl FleetRow {
    fn of(self, parts: Vec<Vec<u8>>) -> Result<FleetMember, Failure> {
        let token = self.token_state.as_deref();
        Ok(FleetMember {
            place: FleetPlace(self.id),
            intent: enrolment_id("certificates.intent", &self.intent)?,
            serial: serial("certificates.serial", &self.serial)?,
            user: id("certificates.user_id", &self.user_id, UserId::parse)?,
            contract: id("users.contract", &self.contract, ContractNumber::parse)?,
            device: device("certificates", &self.device_kind, &self.device_serial)?,
            assurance: name("certificates.assurance", &self.assurance, Assurance::parse)?,
            not_after: time("certificates.not_after", self.not_after)?,
            binding: name("enrolments.binding", &self.binding, Binding::parse)?,
            ak_name: self.ak_name,
            token: token.map(|state| token_state(state, self.token_contract.as_deref())).transpose()?,
            evidence: StoredEvidence {
                format: self.format,
                parts,
                csr: self.csr,
                challenge: digest("evidence.challenge", &self.challenge)?,
                challenge_signature: self.challenge_signature,
                predecessor_signature: self.predecessor_signature,
                policy: policy_version("evidence", &self.policy_name, self.policy_version)?,
                trust_version: number("evidence.trust_version", self.trust_version)?,
                verdict: self.verdict,
                decoded: self.decoded,
                judged_at: time("evidence.judged_at", self.judged_at)?,
            },
        })
    }
}
