//! PUKs in custody, and requests to unblock.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateRecord,
        custody::{KeptPuk, Sealed, Stage, Unblocking},
        device::Device,
        ids::{IdempotencyKey, UserId},
    },
    ports::{
        custody::{AskLimit, CustodyStore},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::PgConnection;
use store_rows::custody::{PukRow, UnblockingRow};
use uuid::Uuid;

use crate::{
    PostgresStore, certificate,
    failure::Failure,
    outcome::Written,
    rows::{number, unsigned},
};

/// PUKs; `$rest` is what follows.
macro_rules! select_puks {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            PukRow,
            "SELECT deposit, device_kind, device_serial, user_id, key_version, nonce, sealed, deposited_at, confirmed_at
             FROM puks " + $rest
            $(, $argument)*
        )
    };
}

/// Requests; `$rest` is what follows.
macro_rules! select_unblockings {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            UnblockingRow,
            "SELECT id, idempotency_key, user_id, device_kind, device_serial, bearer_sha256, asked_at, expires_at, stage,
                    decided_by, decided_at
             FROM unblockings " + $rest
            $(, $argument)*
        )
    };
}

#[async_trait]
impl CustodyStore for PostgresStore {
    async fn deposit_puk(&self, puk: &KeptPuk, proven: Option<Uuid>, audit: AuditEvent) -> StoreResult<()> {
        let puk = puk.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { deposit(tx, &puk, proven).await })).await
    }

    async fn confirm_puk(
        &self,
        deposit: Uuid,
        unblocking: Option<Uuid>,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.write(Some(audit), move |tx| Box::pin(async move { confirm(tx, deposit, unblocking, at).await }))
            .await
    }

    async fn puk(&self, deposit: Uuid) -> StoreResult<Option<KeptPuk>> {
        let deposit = deposit.as_bytes().as_slice();
        let row = select_puks!("WHERE deposit = $1", deposit)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(row.map(KeptPuk::try_from).transpose()?)
    }

    async fn puks_of(&self, device: &Device) -> StoreResult<Vec<KeptPuk>> {
        let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
        // What is confirmed was deposited before what isn't.
        let rows = select_puks!(
            "WHERE device_kind = $1 AND device_serial = $2 ORDER BY confirmed_at IS NOT NULL, deposited_at DESC",
            kind,
            serial
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(KeptPuk::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn puks_not_under(
        &self,
        key_version: u32,
        after: Option<Uuid>,
        limit: u32,
    ) -> StoreResult<Vec<KeptPuk>> {
        let (version, limit) = (i64::from(key_version), i64::from(limit));
        let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
        let rows = select_puks!(
            "WHERE key_version <> $1 AND deposit > $2 ORDER BY deposit LIMIT $3",
            version,
            after,
            limit
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(KeptPuk::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn reseal_puk(&self, deposit: Uuid, sealed: &Sealed, audit: AuditEvent) -> StoreResult<()> {
        let sealed = sealed.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { reseal(tx, deposit, &sealed).await })).await
    }

    async fn puk_census(&self) -> StoreResult<Vec<(u32, u64)>> {
        let rows = sqlx::query!(
            r#"SELECT key_version, count(*) AS "kept!" FROM puks GROUP BY key_version ORDER BY key_version"#
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let counts = rows
            .into_iter()
            .map(|row| Ok((number("puks.key_version", row.key_version)?, unsigned("puks", row.kept)?)));
        Ok(counts.collect::<Result<_, Failure>>()?)
    }

    async fn ask_unblocking(
        &self,
        asked: &Unblocking,
        limit: AskLimit,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let asked = asked.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { ask(tx, &asked, limit).await })).await
    }

    async fn rebear_unblocking(&self, id: Uuid, bearer_sha256: &[u8; 32]) -> StoreResult<()> {
        let bearer = *bearer_sha256;
        self.write(None, move |tx| Box::pin(async move { rebear(tx, id, &bearer).await })).await
    }

    async fn unblocking(&self, id: Uuid) -> StoreResult<Option<Unblocking>> {
        let id = id.as_bytes().as_slice();
        let row = select_unblockings!("WHERE id = $1", id)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(row.map(Unblocking::try_from).transpose()?)
    }

    async fn unblocking_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Unblocking>> {
        let key = key.as_str();
        let row = select_unblockings!("WHERE idempotency_key = $1", key)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(row.map(Unblocking::try_from).transpose()?)
    }

    async fn unblockings_of(&self, user: &UserId, limit: u32) -> StoreResult<Vec<Unblocking>> {
        let (user, limit) = (user.as_str(), i64::from(limit));
        let rows = select_unblockings!("WHERE user_id = $1 ORDER BY number DESC LIMIT $2", user, limit)
            .fetch_all(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Unblocking::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn waiting_unblockings(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Unblocking>> {
        let (now, limit) = (now.as_millisecond(), i64::from(limit));
        let rows = select_unblockings!(
            "WHERE stage = 'waiting' AND expires_at > $1 ORDER BY number LIMIT $2",
            now,
            limit
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Unblocking::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn decide_unblocking(
        &self,
        id: Uuid,
        approved: bool,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let by = audit.actor.to_string();
        let stage = if approved { Stage::Approved } else { Stage::Declined };
        self.write(Some(audit), move |tx| {
            Box::pin(async move { decide(tx, id, stage, &by, at, expires_at).await })
        })
        .await
    }

    async fn release_unblocking(
        &self,
        id: Uuid,
        at: Timestamp,
        expires_at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.write(Some(audit), move |tx| Box::pin(async move { release(tx, id, at, expires_at).await }))
            .await
    }

    async fn living_on(&self, device: &Device) -> StoreResult<Vec<CertificateRecord>> {
        Ok(certificate::living_on(self.readers(), device).await?)
    }
}

async fn deposit(tx: &mut PgConnection, puk: &KeptPuk, proven: Option<Uuid>) -> Result<Written<()>, Failure> {
    let (kind, serial) = (puk.device.kind.as_str(), puk.device.serial.as_str());
    let deposit = puk.deposit.as_bytes().as_slice();
    let proven = proven.map(|proven| proven.as_bytes().to_vec());
    let known = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM puks WHERE deposit = $1) AS "taken!",
                  EXISTS (SELECT 1 FROM puks WHERE deposit = $2 AND device_kind = $3 AND device_serial = $4)
                      AS "proven!""#,
        deposit,
        proven,
        kind,
        serial
    )
    .fetch_one(&mut *tx)
    .await?;
    if known.taken {
        return Err(Conflict::Taken.into());
    }
    if proven.is_some() && !known.proven {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!(
        "DELETE FROM puks WHERE device_kind = $2 AND device_serial = $3 AND ($1::bytea IS NULL OR deposit <> $1)",
        proven,
        kind,
        serial
    )
    .execute(&mut *tx)
    .await?;
    let (user, version) = (puk.user.as_str(), i64::from(puk.sealed.key_version));
    let (nonce, sealed) = (puk.sealed.nonce.as_slice(), puk.sealed.octets.as_slice());
    let at = puk.deposited_at.as_millisecond();
    sqlx::query!(
        "INSERT INTO puks (deposit, device_kind, device_serial, user_id, key_version, nonce, sealed, deposited_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        deposit,
        kind,
        serial,
        user,
        version,
        nonce,
        sealed,
        at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

async fn confirm(
    tx: &mut PgConnection,
    deposit: Uuid,
    unblocking: Option<Uuid>,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (deposit, at) = (deposit.as_bytes().as_slice(), at.as_millisecond());
    let kept =
        sqlx::query!("SELECT device_kind, device_serial, confirmed_at FROM puks WHERE deposit = $1", deposit)
            .fetch_optional(&mut *tx)
            .await?;
    let kept = kept.ok_or(Conflict::Missing)?;
    if kept.confirmed_at.is_some() {
        return Ok(Written::Unchanged(()));
    }
    sqlx::query!("UPDATE puks SET confirmed_at = $2 WHERE deposit = $1", deposit, at)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "DELETE FROM puks WHERE device_kind = $2 AND device_serial = $3 AND deposit <> $1",
        deposit,
        kept.device_kind,
        kept.device_serial
    )
    .execute(&mut *tx)
    .await?;
    if let Some(id) = unblocking {
        let id = id.as_bytes().as_slice();
        sqlx::query!("UPDATE unblockings SET stage = 'done' WHERE id = $1 AND stage = 'released'", id)
            .execute(tx)
            .await?;
    }
    Ok(Written::Changed(()))
}

async fn reseal(tx: &mut PgConnection, deposit: Uuid, sealed: &Sealed) -> Result<Written<()>, Failure> {
    let (deposit, version) = (deposit.as_bytes().as_slice(), i64::from(sealed.key_version));
    let (nonce, octets) = (sealed.nonce.as_slice(), sealed.octets.as_slice());
    let updated = sqlx::query!(
        "UPDATE puks SET key_version = $2, nonce = $3, sealed = $4 WHERE deposit = $1",
        deposit,
        version,
        nonce,
        octets
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

async fn ask(tx: &mut PgConnection, asked: &Unblocking, limit: AskLimit) -> Result<Written<()>, Failure> {
    let (id, key, user) =
        (asked.id.as_bytes().as_slice(), asked.idempotency_key.as_str(), asked.user.as_str());
    let since = limit.since.as_millisecond();
    let known = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM unblockings WHERE idempotency_key = $1) AS "taken!",
                  (SELECT count(*) FROM unblockings WHERE user_id = $2 AND asked_at > $3) AS "asked!""#,
        key,
        user,
        since
    )
    .fetch_one(&mut *tx)
    .await?;
    if known.taken {
        return Err(Conflict::Taken.into());
    }
    if known.asked >= i64::from(limit.at_most) {
        return Err(Conflict::Quota.into());
    }
    sqlx::query!(
        "UPDATE unblockings SET stage = 'withdrawn'
         WHERE user_id = $1 AND stage IN ('waiting', 'approved', 'released')",
        user
    )
    .execute(&mut *tx)
    .await?;
    let (kind, serial) = (asked.device.kind.as_str(), asked.device.serial.as_str());
    let bearer = asked.bearer_sha256.as_slice();
    let (asked_at, expires_at) = (asked.asked_at.as_millisecond(), asked.expires_at.as_millisecond());
    sqlx::query!(
        "INSERT INTO unblockings (id, number, idempotency_key, user_id, device_kind, device_serial, bearer_sha256,
                                  asked_at, expires_at, stage)
         SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8, 'waiting' FROM unblockings",
        id,
        key,
        user,
        kind,
        serial,
        bearer,
        asked_at,
        expires_at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

async fn rebear(tx: &mut PgConnection, id: Uuid, bearer_sha256: &[u8; 32]) -> Result<Written<()>, Failure> {
    let (id, bearer) = (id.as_bytes().as_slice(), bearer_sha256.as_slice());
    let updated = sqlx::query!("UPDATE unblockings SET bearer_sha256 = $2 WHERE id = $1", id, bearer)
        .execute(tx)
        .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

/// Of several decisions at once one finds room.
async fn decide(
    tx: &mut PgConnection,
    id: Uuid,
    stage: Stage,
    by: &str,
    at: Timestamp,
    expires_at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (id, stage) = (id.as_bytes().as_slice(), stage.as_str());
    let (at, expires_at) = (at.as_millisecond(), expires_at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE unblockings SET stage = $2, decided_by = $3, decided_at = $4, expires_at = $5
         WHERE id = $1 AND stage = 'waiting' AND expires_at > $4",
        id,
        stage,
        by,
        at,
        expires_at
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

/// Of several at once one finds room.
async fn release(
    tx: &mut PgConnection,
    id: Uuid,
    at: Timestamp,
    expires_at: Timestamp,
) -> Result<Written<()>, Failure> {
    let id = id.as_bytes().as_slice();
    let (at, expires_at) = (at.as_millisecond(), expires_at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE unblockings SET stage = 'released', expires_at = $3
         WHERE id = $1 AND stage = 'approved' AND expires_at > $2",
        id,
        at,
        expires_at
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
