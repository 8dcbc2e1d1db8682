//! What takes two members of staff.

use async_trait::async_trait;
use ca_core::{
    domain::{
        approval::{Approval, End, Outcome, Proposal},
        audit::AuditEvent,
        ids::StaffId,
        staff::Member,
    },
    ports::{
        staff::{ApprovalStore, Effect},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};
use uuid::Uuid;

use crate::{
    SqliteStore, customer,
    failure::Failure,
    outcome::Written,
    policy,
    rows::{id, name, time},
    staff,
};

/// Requests with their ends; `$rest` is the program's own.
macro_rules! select_approvals {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            ApprovalRow,
            r#"SELECT a.request, a.kind, a.subject, a.detail, a.reason, a.asked_by, a.asked_at, a.expires_at,
                      a.attachment, e.outcome AS "outcome?", e.ended_by AS "ended_by?", e.ended_at AS "ended_at?"
               FROM approvals a LEFT JOIN approval_ends e ON e.approval = a.request "# + $rest
            $(, $argument)*
        )
    };
}

#[async_trait]
impl ApprovalStore for SqliteStore {
    async fn ask(&self, approval: &Approval, audit: AuditEvent) -> StoreResult<()> {
        let approval = approval.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { ask(tx, &approval).await })).await
    }

    async fn approval(&self, id: Uuid) -> StoreResult<Option<Approval>> {
        Ok(by_id(self.readers(), id).await?)
    }

    async fn open_approvals(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Approval>> {
        let now = now.as_millisecond();
        let rows = select_approvals!(
            "WHERE a.expires_at > $1 AND e.approval IS NULL ORDER BY a.id LIMIT $2",
            now,
            limit
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Approval::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn recent_approvals(&self, limit: u32) -> StoreResult<Vec<Approval>> {
        let rows = select_approvals!("ORDER BY a.id DESC LIMIT $1", limit)
            .fetch_all(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Approval::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn end_approval(
        &self,
        id: Uuid,
        outcome: Outcome,
        by: &StaffId,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let by = by.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { end(tx, id, outcome, &by, at).await })).await
    }

    async fn execute_approval(
        &self,
        id: Uuid,
        by: &StaffId,
        at: Timestamp,
        effect: &Effect,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (by, effect) = (by.clone(), effect.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move {
                end(&mut *tx, id, Outcome::Executed, &by, at).await?;
                match &effect {
                    Effect::Code(user, code) => customer::set_acquisition_code(tx, user, code).await,
                    Effect::Device(user, device) => customer::assign_device(tx, user, Some(device), at).await,
                    Effect::Policy(assignment) => policy::assign(tx, assignment).await,
                    Effect::Plan(contract, plan) => customer::set_plan(tx, contract, *plan).await,
                    Effect::Member(member) => staff::put_member(tx, member).await,
                }
            })
        })
        .await
    }
}

async fn ask(tx: &mut SqliteConnection, approval: &Approval) -> Result<Written<()>, Failure> {
    let written = approval.proposal.write();
    let request = approval.id.as_bytes().as_slice();
    let (asked_at, expires_at) = (approval.asked_at.as_millisecond(), approval.expires_at.as_millisecond());
    let asked_by = approval.asked_by.as_str();
    let asked = sqlx::query!(
        "INSERT INTO approvals (request, kind, subject, detail, reason, asked_by, asked_at, expires_at, attachment)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
         WHERE NOT EXISTS (SELECT 1 FROM approvals a
                           WHERE a.kind = $2 AND a.subject = $3 AND a.expires_at > $7
                             AND NOT EXISTS (SELECT 1 FROM approval_ends e WHERE e.approval = a.request))
         ON CONFLICT DO NOTHING",
        request,
        written.kind,
        written.subject,
        written.detail,
        approval.reason,
        asked_by,
        asked_at,
        expires_at,
        written.attachment
    )
    .execute(tx)
    .await?;
    if asked.rows_affected() == 0 { Err(Conflict::Taken.into()) } else { Ok(Written::Changed(())) }
}

async fn by_id(executor: impl SqliteExecutor<'_>, id: Uuid) -> Result<Option<Approval>, Failure> {
    let request = id.as_bytes().as_slice();
    let row = select_approvals!("WHERE a.request = $1", request).fetch_optional(executor).await?;
    row.map(Approval::try_from).transpose()
}

/// Of several decisions at once one finds room, and both members are who they are at this moment.
async fn end(
    tx: &mut SqliteConnection,
    id: Uuid,
    outcome: Outcome,
    by: &StaffId,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let approval = by_id(&mut *tx, id).await?.ok_or(Conflict::Missing)?;
    let asker = staff::member(&mut *tx, &approval.asked_by).await?;
    let decider = staff::member(&mut *tx, by).await?;
    let staff: Vec<Member> = asker.into_iter().chain(decider).collect();
    approval.check(outcome, by, &staff, at).map_err(Conflict::Barred)?;
    let (request, name, by) = (id.as_bytes().as_slice(), outcome.as_str(), by.as_str());
    let at = at.as_millisecond();
    sqlx::query!(
        "INSERT INTO approval_ends (approval, outcome, ended_by, ended_at) VALUES ($1, $2, $3, $4)",
        request,
        name,
        by,
        at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

struct ApprovalRow {
    request: Vec<u8>,
    kind: String,
    subject: String,
    detail: String,
    reason: String,
    asked_by: String,
    asked_at: i64,
    expires_at: i64,
    attachment: Option<Vec<u8>>,
    outcome: Option<String>,
    ended_by: Option<String>,
    ended_at: Option<i64>,
}

impl TryFrom<ApprovalRow> for Approval {
    type Error = Failure;

    fn try_from(row: ApprovalRow) -> Result<Self, Failure> {
        let corrupt = |what: &str| Failure::Corrupt(format!("approvals.{what} of {:?}", row.subject));
        let end = match (&row.outcome, &row.ended_by, row.ended_at) {
            (Some(outcome), Some(by), Some(at)) => Some(End {
                outcome: name("approval_ends.outcome", outcome, Outcome::parse)?,
                by: id("approval_ends.ended_by", by, StaffId::parse)?,
                at: time("approval_ends.ended_at", at)?,
            }),
            _ => None,
        };
        let proposal = Proposal::read(&row.kind, &row.subject, &row.detail, row.attachment.clone());
        Ok(Self {
            id: Uuid::from_slice(&row.request).map_err(|_| corrupt("request"))?,
            proposal: proposal.ok_or_else(|| corrupt("detail"))?,
            asked_by: id("approvals.asked_by", &row.asked_by, StaffId::parse)?,
            asked_at: time("approvals.asked_at", row.asked_at)?,
            expires_at: time("approvals.expires_at", row.expires_at)?,
            reason: row.reason,
            end,
        })
    }
}
