//! Contracts and users.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        contract::{Contract, Plan},
        device::Device,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, UserId},
        mail::EmailAddress,
        user::{User, UserState},
    },
    ports::store::{Conflict, CustomerStore, StoreResult},
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::{
    SqliteStore,
    applicant::ContractRow,
    failure::Failure,
    outbox,
    outcome::Written,
    rows::{UserRow, digest, time},
    token,
};

#[async_trait]
impl CustomerStore for SqliteStore {
    async fn register_contract(&self, contract: &Contract, audit: AuditEvent) -> StoreResult<()> {
        let contract = contract.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { register_contract(tx, &contract).await }))
            .await
    }

    async fn contract(&self, number: &ContractNumber) -> StoreResult<Option<Contract>> {
        let number = number.as_str();
        let row = sqlx::query_as!(
            ContractRow,
            "SELECT number, name, general_users, registered_at FROM contracts WHERE number = $1",
            number
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(row.map(Contract::try_from).transpose()?)
    }

    async fn contracts(&self) -> StoreResult<Vec<Contract>> {
        let rows = sqlx::query_as!(
            ContractRow,
            "SELECT number, name, general_users, registered_at FROM contracts ORDER BY number"
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Contract::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn register_user(&self, user: &User, audit: AuditEvent) -> StoreResult<()> {
        let user = user.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { register_user(tx, &user).await })).await
    }

    async fn user(&self, id: &UserId) -> StoreResult<Option<User>> {
        Ok(user(self.readers(), id).await?)
    }

    async fn users_of(&self, contract: &ContractNumber) -> StoreResult<Vec<User>> {
        let contract = contract.as_str();
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at
             FROM users WHERE contract = $1 ORDER BY role = 'general', id",
            contract
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(User::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn set_user_state(&self, id: &UserId, state: UserState, audit: AuditEvent) -> StoreResult<()> {
        let (id, at) = (id.clone(), audit.at);
        self.write(Some(audit), move |tx| Box::pin(async move { set_user_state(tx, &id, state, at).await }))
            .await
    }

    async fn assign_device(
        &self,
        id: &UserId,
        device: Option<&Device>,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (id, device, at) = (id.clone(), device.cloned(), audit.at);
        self.write(Some(audit), move |tx| {
            Box::pin(async move { assign_device(tx, &id, device.as_ref(), at).await })
        })
        .await
    }

    async fn set_acquisition_code(
        &self,
        id: &UserId,
        code: &AcquisitionCode,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (id, code) = (id.clone(), code.clone());
        self.write(Some(audit), move |tx| Box::pin(async move { set_acquisition_code(tx, &id, &code).await }))
            .await
    }

    async fn acquisition_code(&self, id: &UserId) -> StoreResult<Option<AcquisitionCode>> {
        Ok(acquisition_code(self.readers(), id).await?)
    }

    async fn spend_code_attempt(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()> {
        let id = id.clone();
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                let id = id.as_str();
                sqlx::query!(
                    "UPDATE acquisition_codes SET attempts_left = attempts_left - 1
                     WHERE user_id = $1 AND attempts_left > 0",
                    id
                )
                .execute(tx)
                .await?;
                Ok(Written::Changed(()))
            })
        })
        .await
    }
}

/// A user by ID, inside a transaction or outside.
pub(crate) async fn user(executor: impl SqliteExecutor<'_>, id: &UserId) -> Result<Option<User>, Failure> {
    let id = id.as_str();
    let row = sqlx::query_as!(
        UserRow,
        "SELECT id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at
         FROM users WHERE id = $1",
        id
    )
    .fetch_optional(executor)
    .await?;
    row.map(User::try_from).transpose()
}

/// A user's acquisition code, unless it is burnt.
pub(crate) async fn acquisition_code(
    executor: impl SqliteExecutor<'_>,
    id: &UserId,
) -> Result<Option<AcquisitionCode>, Failure> {
    let id = id.as_str();
    let row = sqlx::query!(
        "SELECT sha256, expires_at, attempts_left FROM acquisition_codes
         WHERE user_id = $1 AND attempts_left > 0",
        id
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(AcquisitionCode {
            sha256: digest("acquisition_codes.sha256", &row.sha256)?,
            expires_at: time("acquisition_codes.expires_at", row.expires_at)?,
            attempts_left: u8::try_from(row.attempts_left)
                .map_err(|_| Failure::Corrupt(format!("acquisition_codes.attempts_left of {id}")))?,
        })
    })
    .transpose()
}

async fn register_contract(tx: &mut SqliteConnection, contract: &Contract) -> Result<Written<()>, Failure> {
    let (number, name) = (contract.number.as_str(), contract.name.as_str());
    let registered_at = contract.registered_at.as_millisecond();
    let inserted = sqlx::query!(
        "INSERT INTO contracts (number, name, general_users, registered_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        number,
        name,
        contract.plan.general_users,
        registered_at
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::Taken.into()) } else { Ok(Written::Changed(())) }
}

/// A plan that the contract's users fit into.
pub(crate) async fn set_plan(
    tx: &mut SqliteConnection,
    contract: &ContractNumber,
    plan: Plan,
) -> Result<Written<()>, Failure> {
    let number = contract.as_str();
    let general_users = i64::from(plan.general_users);
    let fits = sqlx::query_scalar!(
        r#"SELECT $2 >= (SELECT count(*) FROM users u
                         WHERE u.contract = c.number AND u.role = 'general' AND u.state <> 'removed') AS "fits!: bool"
           FROM contracts c WHERE c.number = $1"#,
        number,
        general_users
    )
    .fetch_optional(&mut *tx)
    .await?;
    if !fits.ok_or(Conflict::Missing)? {
        return Err(Conflict::Quota.into());
    }
    sqlx::query!("UPDATE contracts SET general_users = $2 WHERE number = $1", number, general_users)
        .execute(tx)
        .await?;
    Ok(Written::Changed(()))
}

async fn register_user(tx: &mut SqliteConnection, new: &User) -> Result<Written<()>, Failure> {
    if user(&mut *tx, &new.id).await?.is_some() {
        return Err(Conflict::Taken.into());
    }
    let (id, contract, role) = (new.id.as_str(), new.contract.as_str(), new.role.as_str());
    let room = sqlx::query_scalar!(
        r#"SELECT CASE $2 WHEN 'master' THEN 1 ELSE c.general_users END
                  > (SELECT count(*) FROM users u
                     WHERE u.contract = c.number AND u.role = $2 AND u.state <> 'removed') AS "room!: bool"
           FROM contracts c WHERE c.number = $1"#,
        contract,
        role
    )
    .fetch_optional(&mut *tx)
    .await?;
    if !room.ok_or(Conflict::Missing)? {
        return Err(Conflict::Quota.into());
    }
    if let Some(device) = &new.assigned_device {
        refuse_device_of_another(&mut *tx, &new.id, device).await?;
    }
    let (kind, serial) = columns(new.assigned_device.as_ref());
    let (state, email) = (new.state.as_str(), new.email.as_ref().map(EmailAddress::as_str));
    let locked_at = new.locked_at.map(jiff::Timestamp::as_millisecond);
    let registered_at = new.registered_at.as_millisecond();
    sqlx::query!(
        "INSERT INTO users
             (id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        contract,
        role,
        new.display_name,
        email,
        state,
        kind,
        serial,
        locked_at,
        registered_at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// A removed user keeps the ID, for the period of its retention the name, and nothing else: no address, token, code,
/// password or session.
async fn set_user_state(
    tx: &mut SqliteConnection,
    id: &UserId,
    state: UserState,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (id, name, at) = (id.as_str(), state.as_str(), at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE users SET state = $2,
             email = CASE WHEN $2 <> 'removed' THEN email END,
             device_kind = CASE WHEN $2 <> 'removed' THEN device_kind END,
             device_serial = CASE WHEN $2 <> 'removed' THEN device_serial END
         WHERE id = $1 AND state <> 'removed'",
        id,
        name
    )
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    if state == UserState::Removed {
        sqlx::query!("DELETE FROM acquisition_codes WHERE user_id = $1", id).execute(&mut *tx).await?;
        sqlx::query!("DELETE FROM passwords WHERE user_id = $1", id).execute(&mut *tx).await?;
        sqlx::query!("DELETE FROM sessions WHERE user_id = $1", id).execute(&mut *tx).await?;
        outbox::forget_addresses(&mut *tx, id).await?;
        sqlx::query!("INSERT INTO removals (user_id, removed_at) VALUES ($1, $2)", id, at)
            .execute(tx)
            .await?;
    }
    Ok(Written::Changed(()))
}

/// Assigns a token, inside any fact that does.
pub(crate) async fn assign_device(
    tx: &mut SqliteConnection,
    id: &UserId,
    device: Option<&Device>,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    if let Some(device) = device {
        refuse_device_of_another(&mut *tx, id, device).await?;
        let holder = user(&mut *tx, id).await?.ok_or(Conflict::Missing)?;
        token::assigned(&mut *tx, device, &holder.contract, at).await?;
    }
    let (kind, serial) = columns(device);
    let id = id.as_str();
    let updated = sqlx::query!(
        "UPDATE users SET device_kind = $2, device_serial = $3 WHERE id = $1 AND state <> 'removed'",
        id,
        kind,
        serial
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

fn columns(device: Option<&Device>) -> (Option<&'static str>, Option<&str>) {
    (device.map(|device| device.kind.as_str()), device.map(|device| device.serial.as_str()))
}

/// A token is another user's when it is assigned to them or carries their living certificate.
async fn refuse_device_of_another(
    tx: &mut SqliteConnection,
    user: &UserId,
    device: &Device,
) -> Result<(), Failure> {
    let (user, kind, serial) = (user.as_str(), device.kind.as_str(), device.serial.as_str());
    let of_another = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM users
                          WHERE device_kind = $2 AND device_serial = $3 AND id <> $1)
               OR EXISTS (SELECT 1 FROM certificates
                          WHERE device_kind = $2 AND device_serial = $3 AND user_id <> $1
                            AND revoked = 0 AND abandoned_at IS NULL) AS "of_another!: bool""#,
        user,
        kind,
        serial
    )
    .fetch_one(tx)
    .await?;
    if of_another { Err(Conflict::DeviceInUse.into()) } else { Ok(()) }
}

/// Replaces a code, inside any fact that does.
pub(crate) async fn set_acquisition_code(
    tx: &mut SqliteConnection,
    id: &UserId,
    code: &AcquisitionCode,
) -> Result<Written<()>, Failure> {
    let (id, sha256) = (id.as_str(), code.sha256.as_slice());
    let expires_at = code.expires_at.as_millisecond();
    let inserted = sqlx::query!(
        "INSERT INTO acquisition_codes (user_id, sha256, expires_at, attempts_left)
         SELECT id, $2, $3, $4 FROM users WHERE id = $1 AND state <> 'removed'
         ON CONFLICT DO UPDATE SET sha256 = excluded.sha256, expires_at = excluded.expires_at,
                                   attempts_left = excluded.attempts_left",
        id,
        sha256,
        expires_at,
        code.attempts_left
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
