//! Members of staff and their sessions.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::StaffId,
        staff::{Member, MemberState, Roles},
    },
    ports::{
        staff::{StaffSession, StaffStore},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::{
    PostgresStore,
    failure::Failure,
    outcome::Written,
    rows::{digest, id, name, time},
};

#[async_trait]
impl StaffStore for PostgresStore {
    async fn put_member(&self, member: &Member, audit: AuditEvent) -> StoreResult<()> {
        let member = member.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { put_member(tx, &member).await })).await
    }

    async fn member(&self, id: &StaffId) -> StoreResult<Option<Member>> {
        Ok(member(self.readers(), id).await?)
    }

    async fn member_by_key(&self, key_sha256: &[u8; 32]) -> StoreResult<Option<Member>> {
        let key = key_sha256.as_slice();
        let row = sqlx::query_as!(
            MemberRow,
            "SELECT id, name, roles, state, key_sha256, admitted_at, certificate FROM staff
             WHERE key_sha256 = $1 ORDER BY state, id LIMIT 1",
            key
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(row.map(Member::try_from).transpose()?)
    }

    async fn members(&self) -> StoreResult<Vec<Member>> {
        let rows = sqlx::query_as!(
            MemberRow,
            "SELECT id, name, roles, state, key_sha256, admitted_at, certificate FROM staff ORDER BY id"
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Member::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn withdraw_member(&self, id: &StaffId, audit: AuditEvent) -> StoreResult<()> {
        let id = id.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { withdraw(tx, &id).await })).await
    }

    async fn open_staff_session(&self, session: &StaffSession, audit: AuditEvent) -> StoreResult<()> {
        let session = session.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { open(tx, &session).await })).await
    }

    async fn staff_session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<StaffSession>> {
        let token = token_sha256.as_slice();
        let row = sqlx::query!(
            "SELECT token_sha256, csrf_sha256, member, key_sha256, opened_at, last_used_at FROM staff_sessions
             WHERE token_sha256 = $1",
            token
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StaffSession {
            token_sha256: digest("staff_sessions.token_sha256", &row.token_sha256)?,
            csrf_sha256: digest("staff_sessions.csrf_sha256", &row.csrf_sha256)?,
            member: id("staff_sessions.member", &row.member, StaffId::parse)?,
            key_sha256: digest("staff_sessions.key_sha256", &row.key_sha256)?,
            opened_at: time("staff_sessions.opened_at", row.opened_at)?,
            last_used_at: time("staff_sessions.last_used_at", row.last_used_at)?,
        }))
    }

    async fn touch_staff_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()> {
        let (token, now) = (*token_sha256, now.as_millisecond());
        self.write(None, move |tx| {
            Box::pin(async move {
                let token = token.as_slice();
                sqlx::query!(
                    "UPDATE staff_sessions SET last_used_at = greatest(last_used_at, $2) WHERE token_sha256 = $1",
                    token,
                    now
                )
                .execute(tx)
                .await?;
                Ok(Written::Changed(()))
            })
        })
        .await
    }

    async fn close_staff_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()> {
        let token = *token_sha256;
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                let token = token.as_slice();
                let closed = sqlx::query!("DELETE FROM staff_sessions WHERE token_sha256 = $1", token)
                    .execute(tx)
                    .await?;
                Ok(if closed.rows_affected() == 0 { Written::Unchanged(()) } else { Written::Changed(()) })
            })
        })
        .await
    }

    async fn purge_staff_sessions(
        &self,
        idle_since: Timestamp,
        opened_before: Timestamp,
    ) -> StoreResult<u64> {
        let (idle, opened) = (idle_since.as_millisecond(), opened_before.as_millisecond());
        self.write(None, move |tx| {
            Box::pin(async move {
                let purged = sqlx::query!(
                    "DELETE FROM staff_sessions WHERE last_used_at < $1 OR opened_at < $2",
                    idle,
                    opened
                )
                .execute(tx)
                .await?;
                Ok(Written::Changed(purged.rows_affected()))
            })
        })
        .await
    }
}

/// A member by ID, also inside a fact.
pub(crate) async fn member(executor: impl PgExecutor<'_>, id: &StaffId) -> Result<Option<Member>, Failure> {
    let id = id.as_str();
    let row = sqlx::query_as!(
        MemberRow,
        "SELECT id, name, roles, state, key_sha256, admitted_at, certificate FROM staff WHERE id = $1",
        id
    )
    .fetch_optional(executor)
    .await?;
    row.map(Member::try_from).transpose()
}

/// Enters a member, inside any fact that does.
pub(crate) async fn put_member(tx: &mut PgConnection, member: &Member) -> Result<Written<()>, Failure> {
    let (id, key) = (member.id.as_str(), member.key_sha256.as_slice());
    let taken = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM staff WHERE key_sha256 = $1 AND state = 'active' AND id <> $2) AS "taken!""#,
        key,
        id
    )
    .fetch_one(&mut *tx)
    .await?;
    if taken && member.state == MemberState::Active {
        return Err(Conflict::Taken.into());
    }
    let (roles, state) = (member.roles.to_string(), member.state.as_str());
    let (certificate, admitted_at) = (member.certificate.as_slice(), member.admitted_at.as_millisecond());
    sqlx::query!(
        "INSERT INTO staff (id, name, roles, state, key_sha256, admitted_at, certificate)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, roles = excluded.roles, state = excluded.state,
             key_sha256 = excluded.key_sha256, admitted_at = excluded.admitted_at, certificate = excluded.certificate",
        id,
        member.name,
        roles,
        state,
        key,
        admitted_at,
        certificate
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM staff_sessions WHERE member = $1", id).execute(tx).await?;
    Ok(Written::Changed(()))
}

async fn withdraw(tx: &mut PgConnection, id: &StaffId) -> Result<Written<()>, Failure> {
    let id = id.as_str();
    let withdrawn =
        sqlx::query!("UPDATE staff SET state = 'withdrawn' WHERE id = $1 AND state = 'active'", id)
            .execute(&mut *tx)
            .await?;
    if withdrawn.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!("DELETE FROM staff_sessions WHERE member = $1", id).execute(tx).await?;
    Ok(Written::Changed(()))
}

async fn open(tx: &mut PgConnection, session: &StaffSession) -> Result<Written<()>, Failure> {
    let (token, csrf) = (session.token_sha256.as_slice(), session.csrf_sha256.as_slice());
    let (member, key) = (session.member.as_str(), session.key_sha256.as_slice());
    let (opened_at, last_used_at) =
        (session.opened_at.as_millisecond(), session.last_used_at.as_millisecond());
    let opened = sqlx::query!(
        "INSERT INTO staff_sessions (token_sha256, csrf_sha256, member, key_sha256, opened_at, last_used_at)
         SELECT $1, $2, id, key_sha256, $5, $6 FROM staff
         WHERE id = $3 AND key_sha256 = $4 AND state = 'active'",
        token,
        csrf,
        member,
        key,
        opened_at,
        last_used_at
    )
    .execute(tx)
    .await?;
    if opened.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}

struct MemberRow {
    id: String,
    name: String,
    roles: String,
    state: String,
    key_sha256: Vec<u8>,
    admitted_at: i64,
    certificate: Vec<u8>,
}

impl TryFrom<MemberRow> for Member {
    type Error = Failure;

    fn try_from(row: MemberRow) -> Result<Self, Failure> {
        Ok(Self {
            id: id("staff.id", &row.id, StaffId::parse)?,
            roles: name("staff.roles", &row.roles, |text| Roles::parse(text).ok())?,
            state: name("staff.state", &row.state, MemberState::parse)?,
            key_sha256: digest("staff.key_sha256", &row.key_sha256)?,
            admitted_at: time("staff.admitted_at", row.admitted_at)?,
            name: row.name,
            certificate: row.certificate,
        })
    }
}
