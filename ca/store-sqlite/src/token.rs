//! The token inventory.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        device::Device,
        ids::{ContractNumber, UserId},
        policy::{ListedToken, TokenRecord, TokenState},
    },
    ports::{
        inventory::{InventoryStore, TokenFilter},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::{
    SqliteStore,
    failure::Failure,
    json::json,
    outcome::Written,
    rows::{device, id, time},
};

#[async_trait]
impl InventoryStore for SqliteStore {
    async fn register_tokens(
        &self,
        tokens: &[ListedToken],
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let tokens = tokens.to_vec();
        self.write(Some(audit), move |tx| Box::pin(async move { register(tx, &tokens, at).await })).await
    }

    async fn token(&self, device: &Device) -> StoreResult<Option<TokenRecord>> {
        let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
        let row = sqlx::query_as!(
            TokenRow,
            r#"SELECT t.kind, t.serial, t.model, t.state, t.contract, t.registered_at, t.changed_at, u.id AS "user_id?"
               FROM tokens t LEFT JOIN users u ON u.device_kind = t.kind AND u.device_serial = t.serial
               WHERE t.kind = $1 AND t.serial = $2"#,
            kind,
            serial
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(row.map(TokenRecord::try_from).transpose()?)
    }

    async fn registered_among(&self, devices: &[Device]) -> StoreResult<Vec<Device>> {
        let asked = json(devices.iter().map(JsonToken::of)).map_err(Failure::from)?;
        let rows = sqlx::query!(
            "SELECT t.kind, t.serial FROM json_each($1) j
             JOIN tokens t ON t.kind = j.value ->> 'kind' AND t.serial = j.value ->> 'serial'",
            asked
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let found = rows.into_iter().map(|row| device("tokens", &row.kind, &row.serial));
        Ok(found.collect::<Result<_, Failure>>()?)
    }

    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&Device>,
        limit: u32,
    ) -> StoreResult<Vec<TokenRecord>> {
        let kind = after.map_or("", |device| device.kind.as_str());
        let serial = after.map_or("", |device| device.serial.as_str());
        // A statement each, for each reads an index of its own.
        let rows = match filter {
            TokenFilter::All => {
                sqlx::query_as!(
                    TokenRow,
                    r#"SELECT t.kind, t.serial, t.model, t.state, t.contract, t.registered_at, t.changed_at, u.id AS "user_id?"
                   FROM tokens t LEFT JOIN users u ON u.device_kind = t.kind AND u.device_serial = t.serial
                   WHERE (t.kind, t.serial) > ($1, $2) ORDER BY t.kind, t.serial LIMIT $3"#,
                    kind,
                    serial,
                    limit
                )
                .fetch_all(self.readers())
                .await
            }
            TokenFilter::InState(state) => {
                sqlx::query_as!(
                    TokenRow,
                    r#"SELECT t.kind, t.serial, t.model, t.state, t.contract, t.registered_at, t.changed_at, u.id AS "user_id?"
                   FROM tokens t LEFT JOIN users u ON u.device_kind = t.kind AND u.device_serial = t.serial
                   WHERE t.state = $4 AND (t.kind, t.serial) > ($1, $2) ORDER BY t.kind, t.serial LIMIT $3"#,
                    kind,
                    serial,
                    limit,
                    *state
                )
                .fetch_all(self.readers())
                .await
            }
            TokenFilter::With(contract) => {
                let contract = contract.as_str();
                sqlx::query_as!(
                    TokenRow,
                    r#"SELECT t.kind, t.serial, t.model, t.state, t.contract, t.registered_at, t.changed_at, u.id AS "user_id?"
                   FROM tokens t LEFT JOIN users u ON u.device_kind = t.kind AND u.device_serial = t.serial
                   WHERE t.contract = $4 AND (t.kind, t.serial) > ($1, $2) ORDER BY t.kind, t.serial LIMIT $3"#,
                    kind,
                    serial,
                    limit,
                    contract
                )
                .fetch_all(self.readers())
                .await
            }
        };
        let rows = rows.map_err(Failure::from)?;
        Ok(rows.into_iter().map(TokenRecord::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn move_token(
        &self,
        device: &Device,
        seen: &TokenState,
        next: &TokenState,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (device, seen, next) = (device.clone(), seen.clone(), next.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { move_token(tx, &device, &seen, &next, at).await })
        })
        .await
    }
}

/// A token for a statement.
#[derive(Serialize)]
struct JsonToken<'a> {
    kind: &'a str,
    serial: &'a str,
    model: Option<&'a str>,
}

impl<'a> JsonToken<'a> {
    fn of(device: &'a Device) -> Self {
        Self { kind: device.kind.as_str(), serial: device.serial.as_str(), model: None }
    }
}

struct TokenRow {
    kind: String,
    serial: String,
    model: Option<String>,
    state: String,
    contract: Option<String>,
    registered_at: i64,
    changed_at: i64,
    user_id: Option<String>,
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = Failure;

    fn try_from(row: TokenRow) -> Result<Self, Failure> {
        Ok(Self {
            device: device("tokens", &row.kind, &row.serial)?,
            state: token_state(&row.state, row.contract.as_deref())?,
            user: row.user_id.as_ref().map(|user| id("users.id", user, UserId::parse)).transpose()?,
            registered_at: time("tokens.registered_at", row.registered_at)?,
            changed_at: time("tokens.changed_at", row.changed_at)?,
            model: row.model,
        })
    }
}

/// What the columns of `tokens` say of a token's state.
pub(crate) fn token_state(state: &str, contract: Option<&str>) -> Result<TokenState, Failure> {
    let holder = contract.map(|number| id("tokens.contract", number, ContractNumber::parse)).transpose()?;
    TokenState::parse(state, holder).ok_or_else(|| Failure::Corrupt(format!("tokens.state is {state:?}")))
}

/// Where a token is, inside a transaction or outside.
pub(crate) async fn state_of(
    executor: impl SqliteExecutor<'_>,
    device: &Device,
) -> Result<Option<TokenState>, Failure> {
    let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
    let row =
        sqlx::query!("SELECT state, contract FROM tokens WHERE kind = $1 AND serial = $2", kind, serial)
            .fetch_optional(executor)
            .await?;
    row.map(|row| token_state(&row.state, row.contract.as_deref())).transpose()
}

fn holder(state: &TokenState) -> Option<&str> {
    match state {
        TokenState::HandedOut { contract } => Some(contract.as_str()),
        _ => None,
    }
}

async fn register(
    tx: &mut SqliteConnection,
    tokens: &[ListedToken],
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let rows = json(
        tokens
            .iter()
            .map(|token| JsonToken { model: token.model.as_deref(), ..JsonToken::of(&token.device) }),
    )?;
    let at = at.as_millisecond();
    let inserted = sqlx::query!(
        "INSERT INTO tokens (kind, serial, model, state, registered_at, changed_at)
         SELECT j.value ->> 'kind', j.value ->> 'serial', j.value ->> 'model', 'in-stock', $2, $2
         FROM json_each($1) j WHERE true
         ON CONFLICT DO NOTHING",
        rows,
        at
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == tokens.len() as u64 {
        Ok(Written::Changed(()))
    } else {
        Err(Conflict::Taken.into())
    }
}

async fn move_token(
    tx: &mut SqliteConnection,
    device: &Device,
    seen: &TokenState,
    next: &TokenState,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    match state_of(&mut *tx, device).await? {
        None => return Err(Conflict::Missing.into()),
        Some(standing) if standing != *seen => return Err(Conflict::Taken.into()),
        Some(_) => {}
    }
    let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
    let (state, contract, at) = (next.as_str(), holder(next), at.as_millisecond());
    if let Some(contract) = contract {
        let user = sqlx::query!(
            r#"SELECT EXISTS (SELECT 1 FROM contracts WHERE number = $1) AS "exists!: bool",
                      EXISTS (SELECT 1 FROM users WHERE device_kind = $2 AND device_serial = $3
                                                    AND contract <> $1) AS "elsewhere!: bool""#,
            contract,
            kind,
            serial
        )
        .fetch_one(&mut *tx)
        .await?;
        if !user.exists {
            return Err(Conflict::Missing.into());
        }
        if user.elsewhere {
            return Err(Conflict::DeviceInUse.into());
        }
    } else {
        sqlx::query!(
            "UPDATE users SET device_kind = NULL, device_serial = NULL WHERE device_kind = $1 AND device_serial = $2",
            kind,
            serial
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!(
        "UPDATE tokens SET state = $3, contract = $4, changed_at = $5 WHERE kind = $1 AND serial = $2",
        kind,
        serial,
        state,
        contract,
        at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// A token that is assigned to a user is with the user's contract, as far as the inventory knows it.
pub(crate) async fn assigned(
    tx: &mut SqliteConnection,
    device: &Device,
    contract: &ContractNumber,
    at: Timestamp,
) -> Result<(), Failure> {
    let Some(state) = state_of(&mut *tx, device).await? else { return Ok(()) };
    match state {
        TokenState::HandedOut { contract: holder } if holder == *contract => return Ok(()),
        TokenState::InStock => {}
        _ => return Err(Conflict::TokenUnfit.into()),
    }
    let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
    let (contract, at) = (contract.as_str(), at.as_millisecond());
    sqlx::query!(
        "UPDATE tokens SET state = 'handed-out', contract = $3, changed_at = $4 WHERE kind = $1 AND serial = $2",
        kind,
        serial,
        contract,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}
