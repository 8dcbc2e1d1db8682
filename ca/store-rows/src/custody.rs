//! PUKs in custody, and requests to unblock.

use ca_core::domain::{
    custody::{KeptPuk, Sealed, Stage, Unblocking},
    ids::{IdempotencyKey, UserId},
};
use uuid::Uuid;

use crate::{
    failure::Failure,
    rows::{device, digest, id, name, number, time},
};

fn uuid(column: &str, bytes: &[u8]) -> Result<Uuid, Failure> {
    Uuid::from_slice(bytes).map_err(|_| Failure::Corrupt(format!("{column} is {bytes:?}")))
}

/// A row of `puks`.
pub struct PukRow {
    pub deposit: Vec<u8>,
    pub device_kind: String,
    pub device_serial: String,
    pub user_id: String,
    pub key_version: i64,
    pub nonce: Vec<u8>,
    pub sealed: Vec<u8>,
    pub deposited_at: i64,
    pub confirmed_at: Option<i64>,
}

impl TryFrom<PukRow> for KeptPuk {
    type Error = Failure;

    fn try_from(row: PukRow) -> Result<Self, Failure> {
        let nonce = row.nonce.as_slice().try_into();
        Ok(Self {
            deposit: uuid("puks.deposit", &row.deposit)?,
            device: device("puks", &row.device_kind, &row.device_serial)?,
            user: id("puks.user_id", &row.user_id, UserId::parse)?,
            sealed: Sealed {
                key_version: number("puks.key_version", row.key_version)?,
                nonce: nonce.map_err(|_| Failure::Corrupt("puks.nonce isn't 12 octets".to_owned()))?,
                octets: row.sealed,
            },
            deposited_at: time("puks.deposited_at", row.deposited_at)?,
            confirmed_at: row.confirmed_at.map(|at| time("puks.confirmed_at", at)).transpose()?,
        })
    }
}

/// A row of `unblockings`.
pub struct UnblockingRow {
    pub id: Vec<u8>,
    pub idempotency_key: String,
    pub user_id: String,
    pub device_kind: String,
    pub device_serial: String,
    pub bearer_sha256: Vec<u8>,
    pub asked_at: i64,
    pub expires_at: i64,
    pub stage: String,
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
}

impl TryFrom<UnblockingRow> for Unblocking {
    type Error = Failure;

    fn try_from(row: UnblockingRow) -> Result<Self, Failure> {
        let decided_at = row.decided_at.map(|at| time("unblockings.decided_at", at)).transpose()?;
        Ok(Self {
            id: uuid("unblockings.id", &row.id)?,
            idempotency_key: id("unblockings.idempotency_key", &row.idempotency_key, IdempotencyKey::parse)?,
            user: id("unblockings.user_id", &row.user_id, UserId::parse)?,
            device: device("unblockings", &row.device_kind, &row.device_serial)?,
            bearer_sha256: digest("unblockings.bearer_sha256", &row.bearer_sha256)?,
            asked_at: time("unblockings.asked_at", row.asked_at)?,
            expires_at: time("unblockings.expires_at", row.expires_at)?,
            stage: name("unblockings.stage", &row.stage, Stage::parse)?,
            decision: row.decided_by.zip(decided_at),
        })
    }
}
